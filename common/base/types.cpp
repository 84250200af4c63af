#include "common/base/types.hpp"

#include <sys/random.h>

#include <cerrno>

#include "common/base/assert.hpp"

namespace everstep {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

}  // namespace

Uuid Uuid::random() {
    std::array<std::uint8_t, 16> bytes{};
    do {
        std::size_t filled = 0;
        while (filled < bytes.size()) {
            const ssize_t got = ::getrandom(bytes.data() + filled, bytes.size() - filled, 0);
            EVERSTEP_ASSERT(got >= 0 || errno == EINTR, "the system gives no random bytes");
            if (got > 0) filled += static_cast<std::size_t>(got);
        }
    } while (Uuid(bytes).nil());  // nil means "none"
    return Uuid(bytes);
}

bool Uuid::parse(std::string_view hex32, Uuid& out) {
    std::array<std::uint8_t, 16> bytes{};
    if (hex32.size() != 2 * bytes.size()) return false;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const int high = hex_value(hex32[2 * i]);
        const int low = hex_value(hex32[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
    }
    out = Uuid(bytes);
    return true;
}

std::string Uuid::hex() const {
    std::string text;
    text.reserve(2 * bytes_.size());
    for (const std::uint8_t byte : bytes_) {
        text.push_back(kHexDigits[byte >> 4]);
        text.push_back(kHexDigits[byte & 15]);
    }
    return text;
}

}  // namespace everstep
