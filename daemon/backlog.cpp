#include "daemon/backlog.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace everstep::daemon {

namespace {
constexpr std::uint64_t kSpoolFileBytes = 64ULL << 20;  // a new file is begun behind this
}

Backlog::Backlog(io::FileSystem& files, BacklogOptions options)
    : files_(files), options_(std::move(options)) {}

void Backlog::forget() {
    frames_.clear();
    open_ = nullptr;
    bytes_ = memory_bytes_ = spool_bytes_ = 0;
}

Status Backlog::discard_spool() {
    forget();
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
        spool_bytes_ += *bytes;
        at += *bytes;
    }
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
    const bool to_memory = memory_bytes_ + frame->bytes().size() <= options_.memory_bytes.value();
    if (!to_memory && spool_bytes_ + frame->bytes().size() > options_.spool_bytes.value()) {
        return Status(ErrorCode::no_space,
                      fmt::format("the spool {} holds {} bytes, its limit is {}",
                                  options_.directory, spool_bytes_, options_.spool_bytes.value()));
    }
    keep(frame->header(), static_cast<std::uint32_t>(frame->bytes().size()), frame);
    return to_memory ? Status() : spill(frames_.back());
}

Status Backlog::spill(Kept& kept) {
    if (!open_ || open_->bytes >= kSpoolFileBytes) {
        auto spool = std::make_shared<SpoolFile>();
        spool->path = fmt::format("{}/{:016x}", options_.directory, next_file_);
        auto file = files_.open(spool->path, {io::OpenMode::create, false, false});
        if (!file.ok()) return file.status();
        spool->file = std::move(file.value());
        ++next_file_;
        open_ = std::move(spool);
    }
    EVERSTEP_TRY(open_->file->write_at(ByteOffset(open_->bytes), kept.memory->bytes()));
    kept.file = open_;
    kept.offset = ByteOffset(open_->bytes);
    kept.memory = nullptr;
    open_->bytes += kept.bytes;
    memory_bytes_ -= kept.bytes;
    spool_bytes_ += kept.bytes;
    return {};
}

Status Backlog::store_all() {
    // Frames lie in the spool in order only when all of them are written anew.
    std::deque<Kept> old;
    old.swap(frames_);
    open_ = nullptr;
    spool_bytes_ = 0;
    std::vector<std::shared_ptr<SpoolFile>> written;
    for (Kept& one : old) {
        Kept copy = one;
        if (!copy.memory) {
            frames_.push_back(one);
            const auto frame = this->frame(one.header.seq);
            frames_.pop_back();
            if (!frame.ok()) return frame.status();
            copy.memory = *frame;
            memory_bytes_ += copy.bytes;
        }
        EVERSTEP_TRY(spill(copy));
        if (written.empty() || written.back() != copy.file) written.push_back(copy.file);
        frames_.push_back(copy);
    }
    for (const auto& spool : written) EVERSTEP_TRY(spool->file->sync());
    for (const Kept& one : old) {
        if (one.file && std::find(written.begin(), written.end(), one.file) == written.end()) {
            const auto there = files_.exists(one.file->path);
            if (there.ok() && *there) EVERSTEP_TRY(files_.remove(one.file->path));
        }
    }
    return files_.sync_directory(options_.directory);
}

void Backlog::drop_through(FrameSeq seq) {
    while (!frames_.empty() && frames_.front().header.seq <= seq) {
        const Kept& first = frames_.front();
        bytes_ -= first.bytes;
        if (first.memory) {
            memory_bytes_ -= first.bytes;
        } else {
            spool_bytes_ -= first.bytes;
            const bool last_of_file = first.file.use_count() == (first.file == open_ ? 2 : 1);
            if (last_of_file) {
                files_.remove(first.file->path)
                    .ignore("a spool file left over is emptied at the next start");
                if (first.file == open_) open_ = nullptr;
            }
        }
        frames_.pop_front();
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

}  // namespace everstep::daemon
