#include "journal/merger.hpp"

namespace everstep::journal {
namespace {

constexpr std::size_t kStepExtents = 1U << 16;  // of one piece
constexpr std::size_t kWriteBytes = 256U << 10;

}  // namespace

Merger::Merger(MergeSweep::From from, MergedIndexPtr index)
    : from_(std::move(from)), index_(std::move(index)), pages_(index_->salt) {}

Status Merger::begin() {
    sweep_.emplace(from_, *index_);
    EVERSTEP_TRY(sweep_->begin());
    const std::string path = path_of(unfinished_name(FileKind::merged_index, index_->salt));
    const auto there = from_.files.exists(path);
    if (!there.ok()) return there.status();
    if (*there) EVERSTEP_TRY(from_.files.remove(path));
    auto file = from_.files.open(path, {.mode = io::OpenMode::create});
    if (!file.ok()) return file.status();
    file_ = std::move(*file);
    const BodyBytes head = pack_merged_head(from_.options.group, *index_);
    EVERSTEP_TRY(write(head));
    pages_at_ = end_;
    end_ += kIndexPageBytes;  // the directory, last
    pages_.begin();
    return {};
}

Status Merger::write(Bytes bytes) {
    EVERSTEP_TRY(file_->write_at(ByteOffset(end_), bytes));
    end_ += bytes.size();
    return {};
}

Result<bool> Merger::step() {
    if (file_ == nullptr) EVERSTEP_TRY(begin());
    for (std::size_t done = 0; done < kStepExtents; ++done) {
        MergedExtent extent;
        EVERSTEP_TRY(sweep_->next(extent));
        if (extent.count == 0) {
            EVERSTEP_TRY(finish());
            return true;
        }
        pages_.add(extent);
        if (pages_.ready_bytes() >= kWriteBytes) EVERSTEP_TRY(write(pages_.take_pages()));
    }
    return false;
}

Status Merger::finish() {
    const BodyBytes directory = pages_.finish();
    EVERSTEP_TRY(write(pages_.take_pages()));
    EVERSTEP_TRY(file_->write_at(ByteOffset(pages_at_), directory));
    file_.reset();
    sweep_.reset();
    const Status named =
        from_.files.rename(path_of(unfinished_name(FileKind::merged_index, index_->salt)),
                           path_of(file_name(FileKind::merged_index, index_->salt)));
    from_.indexes.forget_merged(index_->salt);  // the file before
    return named;
}

void Merger::discard() {
    file_.reset();
    sweep_.reset();
    const std::string path = path_of(unfinished_name(FileKind::merged_index, index_->salt));
    const auto there = from_.files.exists(path);
    if (there.ok() && *there) from_.files.remove(path).ignore("it goes when the store is opened");
}

}  // namespace everstep::journal
