// The target that must fail: it reads one byte past its input when that begins with four certain
// bytes. scripts/test requires libFuzzer to find them and AddressSanitizer to report the read; if
// not, the passes of the other targets prove nothing.
#include <cstddef>
#include <cstdint>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::vector<std::uint8_t> copy(data, data + size);
    const std::uint8_t* bytes = copy.data();
    if (size < 4) return 0;
    if (bytes[0] == 's' && bytes[1] == 't' && bytes[2] == 'e' && bytes[3] == 'p') {
        const volatile std::uint8_t beyond = bytes[size];
        static_cast<void>(beyond);
    }
    return 0;
}
