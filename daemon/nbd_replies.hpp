// NbdReplies: the replies of one batch, in order, until they leave together. Small ones lie side by
// side in a chunk and leave as one piece; read data leave from the buffer that they were read into.
//
// Thread: the loop's. Invariants: order is kept; a piece's bytes stay as they are while its `keep`
// is held. A chunk is filled to its end before the next is taken and used again when nothing holds
// it: no allocation per reply.
#pragma once

#include <memory>
#include <vector>

#include "common/base/buffer.hpp"

namespace everstep::daemon {

class NbdReplies {
  public:
    static constexpr std::size_t kChunkBytes = 64U << 10;

    struct Piece {
        Bytes bytes;
        std::shared_ptr<const void> keep;
    };

    NbdReplies();
    // Room for a reply of `count` bytes (up to kChunkBytes), to be filled before the next call.
    [[nodiscard]] MutableBytes add(std::size_t count);
    void add_data(Bytes bytes, std::shared_ptr<const void> keep);
    [[nodiscard]] bool empty() const { return pieces_.empty(); }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }  // of all pieces
    // The pieces, for whoever sends them; clear() follows.
    [[nodiscard]] const std::vector<Piece>& pieces() const { return pieces_; }
    void clear();

  private:
    void next_chunk();

    std::vector<Piece> pieces_;
    std::size_t bytes_ = 0;
    std::vector<std::shared_ptr<Buffer>> chunks_;  // the last one is being filled
    bool extendable_ = false;  // the last piece ends where the chunk's next byte goes
};

}  // namespace everstep::daemon
