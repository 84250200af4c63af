#include "journal/merged_check.hpp"

#include <fmt/format.h>

namespace everstep::journal {
namespace {

// As its file says; nothing where some of what it covers is not there.
Result<MergedIndexPtr> as_stored(const MergeSweep::From& from, std::uint64_t salt,
                                 const MergedBody& body) {
    const auto there = [&](FileKind kind, std::uint64_t number) {
        return from.files.exists(from.options.directory + "/" + file_name(kind, number));
    };
    std::vector<FixedSegment> segments;
    std::vector<MergedIndexPtr> children;
    for (const Covered& one : body.covered) {
        const auto found = body.level == 1 ? there(FileKind::redo, one.number)
                                           : there(FileKind::merged_index, one.salt);
        if (!found.ok()) return found.status();
        if (!*found) return MergedIndexPtr();
        segments.push_back({one.number, one.salt, 0, {}, {}});
        auto child = std::make_shared<MergedIndex>();
        child->salt = one.salt;
        children.push_back(std::move(child));
    }
    auto index = std::make_shared<MergedIndex>();
    index->salt = salt;
    index->level = body.level;
    if (body.level == 1)
        index->segments = std::move(segments);
    else
        index->children = std::move(children);
    return MergedIndexPtr(std::move(index));
}

Status compare(MergeSweep& sweep, MergedReader& stored) {
    while (true) {
        MergedExtent wanted;
        EVERSTEP_TRY(sweep.next(wanted));
        // A long one is several in the file.
        for (std::uint64_t done = 0; done < wanted.count;) {
            const auto found = stored.next();
            const bool fits =
                found && found->volume == wanted.volume && found->first == wanted.first + done &&
                found->count <= wanted.count - done && found->children == wanted.children;
            if (!stored.status().ok()) return stored.status();
            if (!fits)
                return {ErrorCode::corrupt,
                        fmt::format("it differs from what it covers at volume {} block {}",
                                    wanted.volume.value(), wanted.first + done)};
            done += found->count;
        }
        if (wanted.count > 0) continue;
        if (stored.next()) return {ErrorCode::corrupt, "it has more than what it covers"};
        return stored.status();
    }
}

Status read_all(MergedReader& stored) {
    while (stored.next()) continue;
    return stored.status();
}

}  // namespace

std::optional<Finding> check_merged(const MergeSweep::From& from, std::uint64_t salt) {
    const std::string name = file_name(FileKind::merged_index, salt);
    const std::string path = from.options.directory + "/" + name;
    const auto status = [&]() -> Status {
        const auto head = read_index_head(from.files, path);
        if (!head.ok()) return head.status();
        const IndexedFile of{from.options.group, 0, salt, {}};
        const auto body = unpack_merged_head(head->bytes(), of, name);
        if (!body.ok()) return body.status();
        const auto pages = open_index_pages(from.files, path, of, FileKind::merged_index);
        if (!pages.ok()) return pages.status();
        PageView fences(*pages);
        for (std::uint32_t n = 0; n < (*pages)->items(kMergedFences); ++n)
            (void)fences.item(kMergedFences, n);
        EVERSTEP_TRY(fences.status());
        const auto index = as_stored(from, salt, *body);
        if (!index.ok()) return index.status();
        MergedReader stored(*pages);
        if (*index == nullptr) return read_all(stored);
        MergeSweep sweep({from.files, from.indexes, from.options, false}, **index);
        if (!sweep.begin().ok()) return read_all(stored);  // their own damage
        return compare(sweep, stored);
    }();
    if (status.ok() || status.code() == ErrorCode::not_found) return std::nullopt;
    Finding finding;
    finding.file = path;
    finding.what = status.message() + "; no step is hit, it is made again";
    return finding;
}

}  // namespace everstep::journal
