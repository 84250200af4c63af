// Any bytes as a value of the catalogue: a whole entry or state that packs to the same bytes, or
// nothing.
#include <algorithm>
#include <array>
#include <cstdlib>

#include "journal/catalogue.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace everstep;
    using namespace everstep::journal;
    const Bytes bytes = std::as_bytes(std::span(data, size));
    if (const auto entry = unpack_entry(bytes)) {
        const BodyBytes again = pack_entry(*entry);
        if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) std::abort();
        (void)segment_of(*entry);
    }
    std::array<std::uint8_t, 16> id{};
    id.fill(0x11);  // the corpus's
    const auto state = unpack_catalogue_state(bytes, Uuid(id), "fuzz");
    if (state.ok()) {
        const BodyBytes again = pack_catalogue_state(Uuid(id), *state);
        if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) std::abort();
    }
    return 0;
}
