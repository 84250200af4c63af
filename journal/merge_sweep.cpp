#include "journal/merge_sweep.hpp"

#include <algorithm>

#include "journal/paged_index.hpp"

namespace everstep::journal {

// Runs of blocks in growing order that neither touch nor overlap.
class BlockCursor {
  public:
    BlockCursor() = default;
    BlockCursor(const BlockCursor&) = delete;
    BlockCursor& operator=(const BlockCursor&) = delete;
    virtual ~BlockCursor() = default;
    // The first one that is not passed; nothing behind the last one.
    [[nodiscard]] const std::optional<MergedExtent>& now() const { return now_; }
    // Everything before the block is passed.
    Status pass(VolumeIndex volume, std::uint64_t block) {
        while (now_ && (now_->volume < volume || (now_->volume == volume && now_->end() <= block)))
            EVERSTEP_TRY(advance());
        if (now_ && now_->volume == volume && now_->first < block) {
            now_->count = now_->end() - block;
            now_->first = block;
        }
        return {};
    }
    Status advance() {
        now_ = next_;
        if (!now_) return {};
        while (true) {
            EVERSTEP_TRY(read(next_));
            if (!next_ || next_->volume != now_->volume || next_->first > now_->end()) return {};
            now_->count = std::max(now_->end(), next_->end()) - now_->first;
        }
    }
    Status begin() {
        EVERSTEP_TRY(read(next_));
        return advance();
    }

  private:
    virtual Status read(std::optional<MergedExtent>& to) = 0;
    std::optional<MergedExtent> now_;
    std::optional<MergedExtent> next_;
};

namespace {

class ListCursor final : public BlockCursor {
  public:
    explicit ListCursor(std::vector<MergedExtent> sorted) : sorted_(std::move(sorted)) {}

  private:
    Status read(std::optional<MergedExtent>& to) override {
        to = at_ < sorted_.size() ? std::optional(sorted_[at_++]) : std::nullopt;
        return {};
    }
    std::vector<MergedExtent> sorted_;
    std::size_t at_ = 0;
};

class MergedCursor final : public BlockCursor {
  public:
    struct From {
        IndexCache& indexes;
        const MergedIndex& index;
    };
    MergedCursor(const From& from, std::shared_ptr<const IndexPages> pages)
        : from_(from), reader_(std::move(pages)) {}

  private:
    Status read(std::optional<MergedExtent>& to) override {
        to = reader_.next();
        if (!reader_.status().ok()) from_.indexes.note_damaged(from_.index);
        return reader_.status();
    }
    From from_;
    MergedReader reader_;
};

bool before(const MergedExtent& a, const MergedExtent& b) {
    return std::tie(a.volume, a.first) < std::tie(b.volume, b.first);
}

MergedExtent blocks_of(const UnitRange& sectors) {
    const std::uint64_t first = sectors.first >> kBlockLevel;
    const std::uint64_t end = ((sectors.first + sectors.count - 1) >> kBlockLevel) + 1;
    return {.volume = sectors.volume, .first = first, .count = end - first};
}

// Behind the others, joined where it continues the last one.
void gather(std::vector<MergedExtent>& to, const MergedExtent& extent) {
    if (!to.empty() && to.back().volume == extent.volume && to.back().first <= extent.first &&
        extent.first <= to.back().end()) {
        to.back().count = std::max(to.back().end(), extent.end()) - to.back().first;
        return;
    }
    to.push_back(extent);
}

}  // namespace

MergeSweep::MergeSweep(From from, const MergedIndex& index)
    : from_(std::move(from)), index_(index) {}
MergeSweep::~MergeSweep() = default;

Result<std::unique_ptr<BlockCursor>> MergeSweep::read_segment(const FixedSegment& segment) {
    std::vector<MergedExtent> blocks;
    const IndexedFile of = from_.indexes.of(segment.number, segment.redo_salt);
    const auto pages = open_index_pages(
        from_.files,
        from_.options.directory + "/" + file_name(FileKind::redo_index, segment.number), of,
        FileKind::redo);
    Status read = pages.status();
    if (pages.ok())
        read = for_each_written(*pages, [&](const UnitRange& sectors) {
            if (sectors.count > 0) gather(blocks, blocks_of(sectors));
        });
    if (!read.ok() && !from_.mend) return read;
    if (!read.ok()) {
        blocks.clear();
        const auto whole = from_.indexes.redo(segment.number, segment.redo_salt);
        if (!whole.ok()) return whole.status();
        const SegmentIndex& writes = (*whole)->writes;
        for (std::uint32_t n = 0; n < writes.unit_count(); ++n) {
            const Unit& unit = writes.unit(n);
            gather(blocks, blocks_of({VolumeIndex(unit.volume), unit.offset.value() / kSectorBytes,
                                      unit.length / kSectorBytes}));
        }
    }
    std::sort(blocks.begin(), blocks.end(), before);
    return std::unique_ptr<BlockCursor>(std::make_unique<ListCursor>(std::move(blocks)));
}

Result<std::unique_ptr<BlockCursor>> MergeSweep::read_merged(const MergedIndex& index) {
    auto pages = from_.indexes.merged_pages(index.salt);
    if (!pages.ok()) {
        from_.indexes.note_damaged(index);
        return pages.status();
    }
    return std::unique_ptr<BlockCursor>(std::make_unique<MergedCursor>(
        MergedCursor::From{from_.indexes, index}, std::move(*pages)));
}

Status MergeSweep::begin() {
    for (std::size_t n = 0; n < index_.child_count(); ++n) {
        auto cursor =
            index_.level == 1 ? read_segment(index_.segments[n]) : read_merged(*index_.children[n]);
        if (!cursor.ok()) return cursor.status();
        EVERSTEP_TRY((*cursor)->begin());
        cursors_.push_back(std::move(*cursor));
    }
    return take(ahead_);
}

// The next run of blocks in which the same ones have writes; empty behind the last one.
Status MergeSweep::take(MergedExtent& out) {
    out = {};
    const MergedExtent* first = nullptr;
    for (const auto& cursor : cursors_)
        if (cursor->now() && (first == nullptr || before(*cursor->now(), *first)))
            first = &*cursor->now();
    if (first == nullptr) return {};
    out.volume = first->volume;
    out.first = first->first;
    std::uint64_t end = first->end();
    for (std::size_t n = 0; n < cursors_.size(); ++n) {
        const auto& now = cursors_[n]->now();
        if (!now || now->volume != out.volume) continue;
        const bool begun = now->first == out.first;
        end = std::min(end, begun ? now->end() : now->first);
        if (begun) out.children |= 1U << n;
    }
    out.count = end - out.first;
    for (const auto& cursor : cursors_) EVERSTEP_TRY(cursor->pass(out.volume, end));
    return {};
}

Status MergeSweep::next(MergedExtent& out) {
    out = ahead_;
    while (out.count > 0) {
        EVERSTEP_TRY(take(ahead_));
        if (ahead_.count == 0 || ahead_.volume != out.volume || ahead_.first != out.end() ||
            ahead_.children != out.children)
            break;
        out.count += ahead_.count;
    }
    return {};
}

}  // namespace everstep::journal
