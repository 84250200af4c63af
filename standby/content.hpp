// What the journal thread does with a frame beside appending it: the extents of a resync become a
// frame of this node's own that holds only what differs; the content of an initial sync goes to the
// replica. And the hashes of what this node holds.
// Thread: the journal thread, but hash_content(): any; blocks on the disk.
#pragma once

#include "journal/store.hpp"
#include "proto/messages.hpp"
#include "standby/replica.hpp"

namespace everstep::standby {

// Every range of the frame lies inside its volume. corrupt: names entry, offset, length and the
// volume's size.
[[nodiscard]] Status check_ranges(const SealedFrame& frame, const Replica& replica);

// Compares each extent with the content at the store's tip, by blocks of 4 KiB, and appends what
// differs (adjacent blocks merged, zero blocks as zero entries). When it returns ok the content at
// the tip is the frame's.
[[nodiscard]] Status journal_resync(journal::Store& store, const Replica& replica,
                                    const FramePtr& frame);

// What a range holds at `view` (null: in the replica), as hashes. An error is in the reply.
[[nodiscard]] wire::HashReply hash_content(const journal::Store& store, const Replica& replica,
                                           const wire::HashRequest& request,
                                           const journal::View* view);

// Writes a frame's content to the replica, entry by entry. Not flushed. Zeroes over holes cost
// nothing.
[[nodiscard]] Status write_initial(Replica& replica, const SealedFrame& frame);

}  // namespace everstep::standby
