#include "journal/merged_index.hpp"

#include <cstring>

#include "common/base/assert.hpp"
#include "common/base/checksum.hpp"
#include "common/base/pack.hpp"

namespace everstep::journal {
namespace {

MergedIndexPtr with_salt(const std::shared_ptr<MergedIndex>& index) {
    EVERSTEP_ASSERT(index->child_count() <= kMergeFanInMax, "a bit for each that is covered");
    index->salt = merged_salt(index->level, covered_by(*index));
    return index;
}

}  // namespace

MergedIndexPtr merged_of(std::vector<FixedSegment> segments) {
    auto index = std::make_shared<MergedIndex>();
    index->first = segments.front().first;
    index->last = segments.back().last;
    index->segments = std::move(segments);
    return with_salt(index);
}

MergedIndexPtr merged_of(std::vector<MergedIndexPtr> children) {
    auto index = std::make_shared<MergedIndex>();
    index->level = children.front()->level + 1;
    index->first = children.front()->first;
    index->last = children.back()->last;
    index->children = std::move(children);
    return with_salt(index);
}

std::vector<Covered> covered_by(const MergedIndex& index) {
    std::vector<Covered> out;
    for (const FixedSegment& segment : index.segments)
        out.push_back({segment.number, segment.redo_salt});
    for (const MergedIndexPtr& child : index.children) out.push_back({0, child->salt});
    return out;
}

std::uint64_t merged_salt(unsigned level, const std::vector<Covered>& covered) {
    std::vector<std::byte> bytes(8 + covered.size() * 16);
    put<std::uint64_t>(bytes, 0, level);
    for (std::size_t n = 0; n < covered.size(); ++n) {
        put<std::uint64_t>(bytes, 8 + n * 16, covered[n].number);
        put<std::uint64_t>(bytes, 16 + n * 16, covered[n].salt);
    }
    const Hash128 hash = xxh3_128(bytes);
    return get<std::uint64_t>(std::as_bytes(std::span(hash)), 0);
}

void list_segments(const MergedIndex& index, std::vector<FixedSegment>& out) {
    out.insert(out.end(), index.segments.begin(), index.segments.end());
    for (const MergedIndexPtr& child : index.children) list_segments(*child, out);
}

}  // namespace everstep::journal
