// The process's heap.
#pragma once

namespace everstep {

// For programs that make and drop frames all the time, called once, first in main(): a frame's
// memory is used again by the next one, instead of going back to the kernel and coming from it page
// by page, which costs more than all that is done with the frame. At most 64 MiB stay unused.
void keep_freed_memory();

}  // namespace everstep
