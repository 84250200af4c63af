// BatchWriter: the content of one batch, read from the store and written to the replica.
// Thread: the apply thread; blocks on the disk. The caller keeps the order of law 4 (apply.hpp).
#pragma once

#include "common/base/buffer.hpp"
#include "standby/apply_cover.hpp"
#include "standby/replica.hpp"

namespace everstep::standby {

class BatchWriter {
  public:
    BatchWriter(const journal::Store& store, Replica& replica) : store_(store), replica_(replica) {}
    // Not flushed when it returns. On an error any part may be written: (low, high] is to be
    // written again.
    [[nodiscard]] Status write(std::span<const journal::ApplyUnit> units);

  private:
    [[nodiscard]] Status read_payloads(std::span<const journal::ApplyUnit> units,
                                       const std::vector<CoverPiece>& pieces);
    [[nodiscard]] Status flush(VolumeIndex volume);

    const journal::Store& store_;
    Replica& replica_;
    ApplyCover cover_;
    Buffer payloads_;
    std::vector<std::size_t> payload_at_;  // by unit; where its bytes lie in payloads_
    std::vector<io::WriteOp> ops_;
};

}  // namespace everstep::standby
