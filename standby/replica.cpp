#include "standby/replica.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "standby/standby.hpp"

namespace everstep::standby {
namespace {

std::string parent_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

// Makes the image file, all holes, durably.
Result<std::unique_ptr<io::File>> make_image(io::FileSystem& files, const VolumeFile& volume) {
    const std::string parent = parent_of(volume.path);
    EVERSTEP_TRY(files.make_directory(parent));
    auto file = files.open(volume.path,
                           {.mode = io::OpenMode::create, .exclusive_lock = true, .once = true});
    if (!file.ok()) return file;
    EVERSTEP_TRY((*file)->resize(volume.size));
    EVERSTEP_TRY((*file)->sync());
    EVERSTEP_TRY(files.sync_directory(parent));
    return file;
}

// `made` is set when the image is new: all holes.
Result<std::unique_ptr<io::File>> open_image(io::FileSystem& files, const VolumeFile& volume,
                                             bool& made) {
    const Result<bool> exists = files.exists(volume.path);
    if (!exists.ok()) return exists.status();
    made = !*exists;
    if (made) return make_image(files, volume);
    auto file = files.open(
        volume.path, {.mode = io::OpenMode::read_write, .exclusive_lock = true, .once = true});
    if (!file.ok()) return file;
    const Result<ByteCount> size = (*file)->size();
    if (!size.ok()) return size.status();
    if (*size == volume.size) return file;
    // An empty file is one that a crash left between its making and its sizing.
    made = size->value() == 0 && (*file)->resize(volume.size).ok();
    if (made) {
        EVERSTEP_TRY((*file)->sync());
        return file;
    }
    return Status(ErrorCode::refused, fmt::format("{}: found {} bytes, wanted {}", volume.path,
                                                  size->value(), volume.size.value()));
}

}  // namespace

Result<std::unique_ptr<Replica>> Replica::open(io::FileSystem& files,
                                               const std::vector<VolumeFile>& volumes) {
    auto replica = std::make_unique<Replica>();
    for (const VolumeFile& volume : volumes) {
        bool made = false;
        auto file = open_image(files, volume, made);
        if (!file.ok()) return file.status().with_context(fmt::format("volume {}", volume.name));
        replica->files_.push_back(std::move(*file));
        replica->bytes_.push_back(volume.size.value());
        replica->made_.push_back(made);
        replica->dirty_.push_back(false);
    }
    return replica;
}

Status Replica::read(VolumeIndex volume, ByteOffset offset, MutableBytes to) const {
    const io::ReadOp op{offset, to};
    return read_all(volume, {&op, 1});
}

std::vector<io::ReadOp> Replica::inside(VolumeIndex volume, std::span<const io::ReadOp> ops) const {
    EVERSTEP_ASSERT(volume.value() < files_.size(), "a volume that the replica does not have");
    const std::uint64_t size = bytes_[volume.value()];
    std::vector<io::ReadOp> out;
    out.reserve(ops.size());
    for (const auto& [offset, to] : ops) {
        const std::uint64_t start = std::min(offset.value(), size);
        const std::size_t count = std::min<std::uint64_t>(to.size(), size - start);
        if (count < to.size()) std::memset(to.data() + count, 0, to.size() - count);
        if (count > 0) out.push_back({offset, to.first(count)});
    }
    return out;
}

Status Replica::read_all(VolumeIndex volume, std::span<const io::ReadOp> ops) const {
    const std::vector<io::ReadOp> wanted = inside(volume, ops);
    return wanted.empty() ? Status() : files_[volume.value()]->read(wanted);
}

Status Replica::read_once(VolumeIndex volume, std::span<const io::ReadOp> ops) const {
    const std::vector<io::ReadOp> wanted = inside(volume, ops);
    return wanted.empty() ? Status() : files_[volume.value()]->read_once(wanted);
}

Result<std::vector<io::DataExtent>> Replica::extents(VolumeIndex volume, ByteOffset offset,
                                                     ByteCount length) const {
    EVERSTEP_ASSERT(volume.value() < files_.size(), "a volume that the replica does not have");
    return files_[volume.value()]->extents(offset, length);
}

Status Replica::write(VolumeIndex volume, std::span<const io::WriteOp> ops) {
    EVERSTEP_ASSERT(volume.value() < files_.size(), "a volume that the replica does not have");
    if (ops.empty()) return {};
    dirty_[volume.value()] = true;
    return files_[volume.value()]->write(ops);
}

Status Replica::zero(VolumeIndex volume, ByteOffset offset, ByteCount length) {
    EVERSTEP_ASSERT(volume.value() < files_.size(), "a volume that the replica does not have");
    if (length.value() == 0) return {};
    dirty_[volume.value()] = true;
    return files_[volume.value()]->punch(offset, length);
}

Status Replica::sync() {
    for (std::size_t i = 0; i < files_.size(); ++i) {
        if (!dirty_[i]) continue;
        EVERSTEP_TRY(files_[i]->sync());
        dirty_[i] = false;
    }
    return {};
}

bool Replica::made(VolumeIndex volume) const {
    return made_[volume.value()];
}

ByteCount Replica::size(VolumeIndex volume) const {
    return ByteCount(bytes_[volume.value()]);
}

}  // namespace everstep::standby
