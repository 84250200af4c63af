// A byte stream from a peer: cut into messages and decoded, in pieces whose size the first byte
// chooses. Any bytes give messages or an error; what was taken in can be encoded again.
#include <algorithm>
#include <cstdint>

#include "proto/message_reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace everstep;
    if (size == 0) return 0;
    wire::MessageReader reader({
        .on_control =
            [](const wire::Control& message) {
                (void)wire::encode(message);
                return Status();
            },
        .on_frame = [](Buffer body) { return wire::decode(body.bytes()).status(); },
        .on_data = [](const Buffer&) { return Status(); },
    });
    const std::size_t piece = 1 + std::size_t{data[0]} * 16;
    Bytes rest(reinterpret_cast<const std::byte*>(data + 1), size - 1);
    // The whole input as one control body, too: a fuzzer finds those without a header sooner.
    wire::decode(rest).status().ignore("either answer is right");
    while (!rest.empty()) {
        const Bytes next = rest.first(std::min(piece, rest.size()));
        rest = rest.subspan(next.size());
        if (!reader.feed(next).ok()) return 0;
    }
    return 0;
}
