// A private certificate authority for the nodes: `everstep pki`. ECDSA P-256, SHA-256; keys are
// PKCS#8 PEM, 0600. Thread: any; blocks on disk.
#pragma once

#include <string>

#include "common/base/status.hpp"

namespace everstep::net {
// Makes DIR/ca.crt and DIR/ca.key (10 years). exists: never overwrites one.
[[nodiscard]] Status pki_init(const std::string& directory);
// Makes DIR/NAME.crt and DIR/NAME.key (CN and DNS subjectAltName = NAME, serverAuth and clientAuth,
// 5 years). `days` may be negative (an expired certificate) for tests.
[[nodiscard]] Status pki_issue(const std::string& directory, const std::string& name,
                               int days = 5 * 365);
}  // namespace everstep::net
