// OnceReader: an image of which what is read through it is not read soon again.
//
// Thread: any. Ownership: the image outlives it.
#pragma once

#include "journal/store_types.hpp"

namespace everstep::journal {

class OnceReader final : public ReplicaReader {
  public:
    explicit OnceReader(const ReplicaReader& image) : image_(image) {}
    [[nodiscard]] Status read(VolumeIndex volume, ByteOffset offset,
                              MutableBytes to) const override {
        const io::ReadOp op{offset, to};
        return image_.read_once(volume, {&op, 1});
    }
    [[nodiscard]] Status read_all(VolumeIndex volume,
                                  std::span<const io::ReadOp> ops) const override {
        return image_.read_once(volume, ops);
    }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(VolumeIndex volume, ByteOffset offset,
                                                              ByteCount length) const override {
        return image_.extents(volume, offset, length);
    }

  private:
    const ReplicaReader& image_;
};

}  // namespace everstep::journal
