#include "common/base/heap.hpp"

#include <malloc.h>

namespace everstep {
namespace {

constexpr int kHeapPieceMax = 16 << 20;  // larger ones go back at once
constexpr int kHeapKept = 64 << 20;

}  // namespace

void keep_freed_memory() {
    // Both are wishes to the C library; a refused one costs time only.
    static_cast<void>(::mallopt(M_MMAP_THRESHOLD, kHeapPieceMax));
    static_cast<void>(::mallopt(M_TRIM_THRESHOLD, kHeapKept));
}

}  // namespace everstep
