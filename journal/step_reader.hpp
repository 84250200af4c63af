// StepReader: a step of a store in the place of a replica's image, for a store that lies over it (a
// branch).
//
// Thread: as Store::read. Ownership: the store and what lies under it outlive it; the step stays
// reachable as long as the caller holds it.
#pragma once

#include "journal/store.hpp"

namespace everstep::journal {

class StepReader final : public ReplicaReader {
  public:
    // `under`: what the store's history lies over. `volume_bytes`: by VolumeIndex; behind a
    // volume's end it reads as zeroes.
    StepReader(const Store& store, const ReplicaReader& under, View view,
               std::vector<ByteCount> volume_bytes)
        : store_(store),
          under_(under),
          view_(std::move(view)),
          volume_bytes_(std::move(volume_bytes)) {}
    [[nodiscard]] const View& view() const { return view_; }
    [[nodiscard]] Status read(VolumeIndex volume, ByteOffset offset,
                              MutableBytes to) const override;
    [[nodiscard]] Status read_once(VolumeIndex volume,
                                   std::span<const io::ReadOp> ops) const override;
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(VolumeIndex volume, ByteOffset offset,
                                                              ByteCount length) const override;

  private:
    [[nodiscard]] Status read_from(const ReplicaReader& under, VolumeIndex volume,
                                   ByteOffset offset, MutableBytes to) const;
    const Store& store_;
    const ReplicaReader& under_;
    View view_;
    std::vector<ByteCount> volume_bytes_;
};

}  // namespace everstep::journal
