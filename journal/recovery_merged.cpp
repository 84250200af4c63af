// Recovery: the merged indexes whose files are there and fit the segments. What does not fit is
// removed by who tends the store.
#include <algorithm>
#include <unordered_map>

#include "journal/merged_file.hpp"
#include "journal/recovery.hpp"

namespace everstep::journal {

// A segment that is gone has no positions: no path goes over it.
MergedIndexPtr Recovery::merged_over(const std::vector<Covered>& covered) const {
    std::vector<FixedSegment> segments;
    for (const Covered& one : covered) {
        FixedSegment fixed{one.number, one.salt, 0, {}, {}};
        const Segment* segment = s_.history.segment(one.number);
        if (segment != nullptr && segment->redo.salt == one.salt) fixed = fixed_of(*segment);
        segments.push_back(fixed);
    }
    return merged_of(std::move(segments));
}

void Recovery::take_merged() {
    struct OnDisk {
        std::uint64_t salt = 0;
        MergedBody body;
    };
    std::vector<OnDisk> found;
    for (const std::uint64_t salt : s_.merges.files) {
        const std::string path = s_.path_of(file_name(FileKind::merged_index, salt));
        const auto head = read_index_head(s_.files, path);
        if (!head.ok()) continue;
        auto body = unpack_merged_head(head->bytes(), {s_.options.group, 0, salt, {}}, path);
        if (body.ok()) found.push_back({salt, std::move(*body)});
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const OnDisk& a, const OnDisk& b) { return a.body.level < b.body.level; });
    std::unordered_map<std::uint64_t, MergedIndexPtr> made;
    for (const OnDisk& one : found) {
        if (one.body.level == 1) {
            made[one.salt] = merged_over(one.body.covered);
            continue;
        }
        std::vector<MergedIndexPtr> children;
        for (const Covered& child : one.body.covered) {
            const auto below = made.find(child.salt);
            if (below != made.end() && below->second->level + 1 == one.body.level)
                children.push_back(below->second);
        }
        if (children.size() == one.body.covered.size())
            made[one.salt] = merged_of(std::move(children));
    }
    std::vector<MergedIndexPtr> all;
    for (const auto& [salt, index] : made) all.push_back(index);
    s_.history.take_merged(all);
}

}  // namespace everstep::journal
