// Space: how large an open file or block device is, which parts of it are holes, and how blocks are
// reserved, zeroed and freed, each with the fallback for file systems and devices that cannot.
//
// Thread: any; each call works on the descriptor that it is given and blocks.
// Invariants: what these functions zero reads as zeroes (a discard alone is not trusted for that);
// reserving never changes a byte that was written.
#pragma once

#include <string>
#include <vector>

#include "common/io/file.hpp"

namespace everstep::io {

struct OpenedFile {
    int fd = -1;
    bool block_device = false;
    const std::string* path = nullptr;  // for messages
};

struct Range {
    std::uint64_t offset = 0;
    std::uint64_t count = 0;
    [[nodiscard]] std::uint64_t end() const { return offset + count; }
};

[[nodiscard]] Result<ByteCount> size_of(const OpenedFile& file);
[[nodiscard]] Status allocate_range(const OpenedFile& file, Range range);
[[nodiscard]] Status zero_range(const OpenedFile& file, Range range);
[[nodiscard]] Status punch_range(const OpenedFile& file, Range range);
// Covers the part of the range that lies before the end of the file.
[[nodiscard]] Result<std::vector<DataExtent>> extents_of(const OpenedFile& file, Range range);

}  // namespace everstep::io
