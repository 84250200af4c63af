#include "daemon/backlog.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "common/base/config.hpp"

namespace everstep::daemon {

namespace {
// A new file is begun behind this. What is dropped of a file frees nothing before the rest of it
// goes, so it is no large part of the spool; and each file is an open descriptor.
constexpr std::uint64_t kSpoolFileBytes = 64ULL << 20;
constexpr std::uint64_t kSpoolFilesMin = 8;
constexpr std::uint64_t kSpoolFilesMax = 256;

std::uint64_t spool_file_bytes(std::uint64_t spool_bytes) {
    return std::min(std::max(kSpoolFileBytes, spool_bytes / kSpoolFilesMax),
                    spool_bytes / kSpoolFilesMin);
}
}  // namespace

Backlog::Backlog(io::FileSystem& files, BacklogOptions options)
    : files_(files), options_(std::move(options)) {}

void Backlog::set_limits(ByteCount memory_bytes, ByteCount spool_bytes) {
    options_.memory_bytes = memory_bytes;
    options_.spool_bytes = spool_bytes;
}

void Backlog::forget() {
    frames_.clear();
    spooled_ = 0;
    open_ = nullptr;
    bytes_ = memory_bytes_ = spool_bytes_ = 0;
}

Status Backlog::discard_spool() {
    forget();
    const Status emptied = empty_directory();
    unknown_files_ = !emptied.ok();
    return emptied;
}

Status Backlog::empty_directory() {
    EVERSTEP_TRY(files_.make_directory(options_.directory));
    const auto names = files_.list(options_.directory);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
        EVERSTEP_TRY(files_.remove(options_.directory + "/" + name));
    }
    return files_.sync_directory(options_.directory);
}

Status Backlog::load_spool(const Uuid& group) {
    forget();
    EVERSTEP_TRY(files_.make_directory(options_.directory));
    const auto names = files_.list(options_.directory);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) EVERSTEP_TRY(load_file(name, group));
    return {};
}

Status Backlog::load_file(const std::string& name, const Uuid& group) {
    auto spool = std::make_shared<SpoolFile>();
    spool->path = options_.directory + "/" + name;
    auto file = files_.open(spool->path, {io::OpenMode::read_only, false, false});
    if (!file.ok()) return file.status();
    spool->file = std::move(file.value());
    const auto size = spool->file->size();
    if (!size.ok()) return size.status();
    std::uint64_t at = 0;
    while (at < size->value()) {
        const std::string where = fmt::format("{}: offset {}", spool->path, at);
        std::array<std::byte, kFrameHeaderBytes> head{};
        EVERSTEP_TRY(spool->file->read_at(ByteOffset(at), head).with_context(where));
        const auto bytes = SealedFrame::frame_bytes(head);
        if (!bytes.ok()) return bytes.status().with_context(where);
        Buffer buffer;
        buffer.resize(*bytes);
        EVERSTEP_TRY(spool->file->read_at(ByteOffset(at), buffer.bytes()).with_context(where));
        const auto frame = SealedFrame::parse(std::move(buffer));
        if (!frame.ok()) return frame.status().with_context(where);
        const FrameHeader& header = (*frame)->header();
        if (header.group != group)
            return Status(ErrorCode::corrupt, where + ": a frame of another group");
        if (!frames_.empty() && header.seq != last_seq() + 1) {
            return Status(ErrorCode::corrupt,
                          fmt::format("{}: frame {} found, {} wanted", where, header.seq.value(),
                                      last_seq().value() + 1));
        }
        keep(header, *bytes, nullptr);
        frames_.back().file = spool;
        frames_.back().offset = ByteOffset(at);
        ++spooled_;
        ++spool->frames;
        at += *bytes;
    }
    spool->bytes = size->value();
    spool_bytes_ += spool->bytes;
    next_file_ = std::max<std::uint64_t>(next_file_, std::strtoull(name.c_str(), nullptr, 16) + 1);
    return {};
}

void Backlog::keep(FrameHeader header, std::uint32_t bytes, FramePtr memory) {
    pushed_bytes_ += bytes;
    bytes_ += bytes;
    if (memory) memory_bytes_ += bytes;
    frames_.push_back({header, bytes, pushed_bytes_, std::move(memory), nullptr, ByteOffset(0)});
}

Status Backlog::push(const FramePtr& frame) {
    EVERSTEP_ASSERT(frames_.empty() || frame->header().seq == last_seq() + 1,
                    "frames are consecutive");
    keep(frame->header(), static_cast<std::uint32_t>(frame->bytes().size()), frame);
    Status spilled;
    while (spilled.ok() && memory_bytes_ > options_.memory_bytes.value() &&
           spooled_ + 1 < frames_.size()) {
        spilled = room_in_spool(frames_[spooled_].bytes);
        if (spilled.ok()) spilled = spill_oldest();
    }
    if (spilled.ok()) return {};
    const std::uint64_t bytes = frames_.back().bytes;
    pushed_bytes_ -= bytes;
    bytes_ -= bytes;
    memory_bytes_ -= bytes;
    frames_.pop_back();
    return spilled;
}

Status Backlog::room_in_spool(std::uint64_t bytes) const {
    if (spool_bytes_ + bytes <= options_.spool_bytes.value()) return {};
    return {ErrorCode::no_space,
            fmt::format("the backlog is full: {} bytes in the queue (queue_bytes = {}), {} in the "
                        "spool (spool_bytes = {})",
                        memory_bytes_, format_byte_count(options_.memory_bytes), spool_bytes_,
                        format_byte_count(options_.spool_bytes))};
}

Status Backlog::open_file() {
    if (unknown_files_) EVERSTEP_TRY(empty_directory());
    unknown_files_ = false;
    if (open_ && open_->bytes < spool_file_bytes(options_.spool_bytes.value())) return {};
    Result<std::shared_ptr<SpoolFile>> made =
        make_file(fmt::format("{}/{:016x}", options_.directory, next_file_));
    ++next_file_;
    if (!made.ok()) return made.status();
    open_ = std::move(*made);
    return {};
}

Result<std::shared_ptr<Backlog::SpoolFile>> Backlog::make_file(std::string path) {
    auto file = files_.open(path, {io::OpenMode::create, false, false});
    if (!file.ok()) return file.status();
    auto spool = std::make_shared<SpoolFile>();
    spool->path = std::move(path);
    spool->file = std::move(file.value());
    return spool;
}

Status Backlog::spill_oldest() {
    Kept& kept = frames_[spooled_];
    EVERSTEP_TRY(open_file().with_context("the spool"));
    const Status written = open_->file->write_at(ByteOffset(open_->bytes), kept.memory->bytes());
    if (!written.ok()) {
        // What was written of it is no frame; the next try gets a file of its own.
        open_->file->resize(ByteCount(open_->bytes)).ignore("a start that finds it loses order");
        if (open_->frames == 0) remove_file(open_);
        open_ = nullptr;
        return written.with_context("the spool");
    }
    kept.file = open_;
    kept.offset = ByteOffset(open_->bytes);
    kept.memory = nullptr;
    ++open_->frames;
    open_->bytes += kept.bytes;
    memory_bytes_ -= kept.bytes;
    spool_bytes_ += kept.bytes;
    ++spooled_;
    return {};
}

Status Backlog::store_all() {
    if (unknown_files_) EVERSTEP_TRY(empty_directory());
    unknown_files_ = false;
    while (spooled_ < frames_.size()) EVERSTEP_TRY(spill_oldest());
    EVERSTEP_TRY(trim_first());
    const SpoolFile* synced = nullptr;
    for (const Kept& one : frames_) {
        if (one.file.get() != synced) EVERSTEP_TRY(one.file->file->sync());
        synced = one.file.get();
    }
    return files_.sync_directory(options_.directory);
}

// The first file may begin with frames that were dropped: a file without them takes its place.
Status Backlog::trim_first() {
    if (frames_.empty() || frames_.front().offset == ByteOffset(0)) return {};
    const std::shared_ptr<SpoolFile> old = frames_.front().file;
    const auto made = make_file(old->path + ".new");
    if (!made.ok()) return made.status();
    const std::shared_ptr<SpoolFile>& spool = *made;
    const std::uint64_t before = frames_.front().offset.value();
    Status moved = copy_frames(old, *spool->file, before);
    if (moved.ok()) moved = files_.rename(spool->path, old->path);
    if (!moved.ok()) {  // a start would take it for frames that nobody lacks
        files_.remove(spool->path).ignore("then every standby is compared");
        return moved;
    }
    for (Kept& one : frames_) {
        if (one.file == old) one.offset = ByteOffset(one.offset.value() - before);
    }
    old->file = std::move(spool->file);
    old->bytes -= before;
    spool_bytes_ -= before;
    return {};
}

// Of one file, into another, `before` bytes nearer to its begin.
Status Backlog::copy_frames(const std::shared_ptr<SpoolFile>& from, io::File& to,
                            std::uint64_t before) const {
    for (const Kept& one : frames_) {
        if (one.file != from) break;
        const Result<FramePtr> frame = this->frame(one.header.seq);
        if (!frame.ok()) return frame.status();
        EVERSTEP_TRY(to.write_at(ByteOffset(one.offset.value() - before), (*frame)->bytes()));
    }
    return {};
}

void Backlog::remove_file(const std::shared_ptr<SpoolFile>& file) {
    files_.remove(file->path).ignore("a spool file left over is emptied at the next start");
    spool_bytes_ -= file->bytes;
    if (file == open_) open_ = nullptr;
}

void Backlog::drop_through(FrameSeq seq) {
    while (!frames_.empty() && frames_.front().header.seq <= seq) {
        const Kept first = std::move(frames_.front());
        frames_.pop_front();
        bytes_ -= first.bytes;
        if (first.memory) {
            memory_bytes_ -= first.bytes;
        } else {
            --spooled_;
            if (--first.file->frames == 0) remove_file(first.file);
        }
    }
}

void Backlog::clear() {
    if (!frames_.empty()) drop_through(last_seq());
}

FrameSeq Backlog::first_seq() const {
    return empty() ? FrameSeq(0) : frames_.front().header.seq;
}
FrameSeq Backlog::last_seq() const {
    return empty() ? FrameSeq(0) : frames_.back().header.seq;
}

bool Backlog::has(FrameSeq seq) const {
    return !empty() && seq >= first_seq() && seq <= last_seq();
}

const Backlog::Kept& Backlog::kept(FrameSeq seq) const {
    EVERSTEP_ASSERT(has(seq), "the frame is kept");
    return frames_[seq - first_seq()];
}

Result<FramePtr> Backlog::frame(FrameSeq seq) const {
    const Kept& one = kept(seq);
    if (one.memory) return one.memory;
    Buffer buffer;
    buffer.resize(one.bytes);
    EVERSTEP_TRY(one.file->file->read_at(one.offset, buffer.bytes()));
    return SealedFrame::parse(std::move(buffer));
}

const FrameHeader& Backlog::header(FrameSeq seq) const {
    return kept(seq).header;
}

std::uint64_t Backlog::bytes_behind(FrameSeq seq) const {
    if (empty() || seq >= last_seq()) return 0;
    if (seq < first_seq()) return bytes_;
    return pushed_bytes_ - kept(seq).end_bytes;
}

bool Backlog::spooled_behind(FrameSeq seq) const {
    return spooled_ > 0 && seq < frames_[spooled_ - 1].header.seq;
}

}  // namespace everstep::daemon
