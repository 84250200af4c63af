// Hostile configuration text. Either it is refused with a place and a reason, or everything that is
// derived from it works: the look-ups, the canonical form.
#include <algorithm>

#include "common/base/config.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto config = everstep::parse_config(text, "/fuzz/everstep.toml");
    if (!config.ok()) {
        const std::string message = config.status().message();
        EVERSTEP_ASSERT(message.starts_with("/fuzz/everstep.toml:"), message);
        EVERSTEP_ASSERT(message.find('\n') == std::string::npos, message);
    } else {
        for (const everstep::GroupConfig& group : config->groups) {
            EVERSTEP_ASSERT(config->group(group.name) == &group, "a group by its name");
            const auto canonical = group.canonical();
            const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
            EVERSTEP_ASSERT(std::is_sorted(canonical.begin(), canonical.end()), "sorted");
            EVERSTEP_ASSERT(
                std::adjacent_find(canonical.begin(), canonical.end(), same) == canonical.end(),
                "a key twice");
            for (const std::string& member : group.members()) {
                EVERSTEP_ASSERT(config->node(member) != nullptr, "a member without a node");
            }
        }
    }
    if (const auto time = everstep::parse_time(text); time.ok()) {
        EVERSTEP_ASSERT(everstep::parse_time(everstep::format_time(*time)).ok(), "a time again");
    }
    if (const auto count = everstep::parse_byte_count(text); count.ok()) {
        const auto again = everstep::parse_byte_count(everstep::format_byte_count(*count));
        EVERSTEP_ASSERT(again.ok() && *again == *count, "a size again");
    }
    (void)everstep::parse_duration(text);
    return 0;
}
