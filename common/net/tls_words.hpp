// What OpenSSL found, in plain words. Thread: any; reads the calling thread's OpenSSL error queue.
#pragma once

#include <openssl/x509.h>

#include <string>
#include <vector>

namespace everstep::net {
[[nodiscard]] std::string common_name(const X509_NAME* name);
[[nodiscard]] std::vector<std::string> dns_names(const X509* certificate);
// Why a certificate was not verified; `error` is an X509_V_ERR value.
[[nodiscard]] std::string certificate_words(int error, const X509* certificate);
// The oldest error of the queue (the root of the others), which is emptied.
[[nodiscard]] std::string last_tls_words();
}  // namespace everstep::net
