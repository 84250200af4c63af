// Replica: the volumes' live images on a standby. Opened with an exclusive lock; made (sparse)
// where missing.
// Thread: reads from any; writes and sync from the apply thread (or, during an initial sync, the
// journal thread).
#pragma once

#include <memory>
#include <vector>

#include "journal/store.hpp"

namespace everstep::standby {

struct VolumeFile;

class Replica final : public journal::ReplicaReader {
  public:
    // Errors name the volume and the file: another size, locked, unreadable.
    [[nodiscard]] static Result<std::unique_ptr<Replica>> open(
        io::FileSystem& files, const std::vector<VolumeFile>& volumes);
    [[nodiscard]] Status read(VolumeIndex volume, ByteOffset offset,
                              MutableBytes to) const override;
    [[nodiscard]] Status read_all(VolumeIndex volume,
                                  std::span<const io::ReadOp> ops) const override;
    [[nodiscard]] Status read_once(VolumeIndex volume,
                                   std::span<const io::ReadOp> ops) const override;
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(VolumeIndex volume, ByteOffset offset,
                                                              ByteCount length) const override;
    [[nodiscard]] Status write(VolumeIndex volume, std::span<const io::WriteOp> ops);
    [[nodiscard]] Status zero(VolumeIndex volume, ByteOffset offset,
                              ByteCount length);        // frees blocks where it can
    [[nodiscard]] Status sync();                        // every volume written since the last one
    [[nodiscard]] bool made(VolumeIndex volume) const;  // by this open: all holes
    [[nodiscard]] ByteCount size(VolumeIndex volume) const;
    [[nodiscard]] std::size_t volumes() const { return files_.size(); }

  private:
    // Those of the ops that lie in the volume; the rest of their memory is zeroes.
    [[nodiscard]] std::vector<io::ReadOp> inside(VolumeIndex volume,
                                                 std::span<const io::ReadOp> ops) const;
    std::vector<std::unique_ptr<io::File>> files_;
    std::vector<std::uint64_t> bytes_;
    std::vector<bool> made_;
    std::vector<bool> dirty_;
};

}  // namespace everstep::standby
