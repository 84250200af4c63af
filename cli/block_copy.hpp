// Copies blocks from one NBD disk to another, many requests in flight, and neither reads holes nor
// writes zeroes as data. Thread: the command line's; blocks, and looks for signals that are held
// (HeldSignals, tool.hpp) ten times a second.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.hpp"
#include "common/base/types.hpp"

struct nbd_handle;

namespace everstep::cli {

// A connection to a disk.
class NbdDisk {
  public:
    // `name`: of what is served, for messages. `description`: what its server has to say of it;
    // empty: anything. io: nobody serves it, or somebody something else; closed: interrupted.
    [[nodiscard]] static Result<NbdDisk> open(const std::string& uri, std::string name,
                                              const std::string& description = "");
    [[nodiscard]] ByteCount size() const { return size_; }
    [[nodiscard]] const std::string& name() const { return name_; }
    // What was written is durable. io, no_space; closed: interrupted, it may not be.
    [[nodiscard]] Status flush();
    void close();    // tells the server
    void abandon();  // without that; what is in flight is forgotten
    [[nodiscard]] nbd_handle* handle() const { return handle_.get(); }

  private:
    [[nodiscard]] Status check_description(const std::string& uri, const std::string& wanted) const;
    struct Free {
        void operator()(nbd_handle* handle) const;
    };
    std::unique_ptr<nbd_handle, Free> handle_;
    std::string name_;
    ByteCount size_;
};

struct DiskExtent {
    ByteOffset offset;
    ByteCount length;
    bool operator==(const DiskExtent&) const = default;
};
// Widened to whole blocks of `grain` bytes, but not beyond `size`; sorted, and none touches the
// next one.
[[nodiscard]] std::vector<DiskExtent> in_blocks(std::vector<DiskExtent> extents, ByteCount grain,
                                                ByteCount size);

struct CopyPlan {
    std::vector<DiskExtent> extents;  // of in_blocks()
    ByteCount grain;                  // a block of zeroes is no data
    bool write_zeroes = false;        // the target does not read as zeroes already
    bool skip_equal = false;          // data that the target holds already is not written
    bool only_compare = false;        // nothing is written; ends where they differ
    // Bytes of the extents that are done, some times a second. An error ends the copy.
    using OnProgress = std::function<Status(ByteCount done, ByteCount total)>;
    OnProgress on_progress;
};
struct Copied {
    ByteCount read;     // bytes that were asked of the source: no holes
    ByteCount written;  // bytes of data: no zeroes
};
// Where it may hold something but zeroes, in blocks of `grain`. io; closed: interrupted.
[[nodiscard]] Result<std::vector<DiskExtent>> data_extents(NbdDisk& disk, ByteCount grain);

// The same of two disks of one size: where one of them may.
[[nodiscard]] Result<std::vector<DiskExtent>> data_of_both(NbdDisk& a, NbdDisk& b, ByteCount grain);

// io, no_space: with the disk's name, what was done, and where; closed: interrupted; refused: they
// differ, where only that was asked, and where. Then both
// connections are ended, and the target holds some of it. Nothing is durable before flush().
[[nodiscard]] Result<Copied> copy_blocks(NbdDisk& from, NbdDisk& to, const CopyPlan& plan);

}  // namespace everstep::cli
