// Plain data as JSON text. Integers are exact, whatever their size; keys keep their order; bytes
// that are not UTF-8 become U+FFFD, for JSON has no others. One line, no line break at its end.
// Pure; any thread.
#pragma once

#include <string>

#include "common/base/value.hpp"

namespace everstep::cli {

[[nodiscard]] std::string json_text(const Value& value);

}  // namespace everstep::cli
