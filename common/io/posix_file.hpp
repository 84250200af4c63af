// PosixFile: an open file or block device of the machine.
//
// Direct I/O: two descriptors of the same inode, one buffered and one with O_DIRECT. A call goes to
// the direct one when every op of it is aligned to 4096 (offset, length, memory), else as a whole
// to the buffered one: never both in one call, for a direct write beside a buffered one in the same
// page could leave a stale page. Between calls the kernel keeps the two in step (a direct transfer
// writes back and drops the pages of its range first). A gathered write (OpenOptions) is aligned
// by the buffers that it is copied into; where there is no O_DIRECT it goes from them to the page
// cache.
//
// Thread: as File. Invariants: after a failed sync every call that changes the file gives that
// error.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "common/io/file.hpp"
#include "common/io/space.hpp"
#include "common/io/unique_fd.hpp"
#include "common/io/uring.hpp"

namespace everstep::io {

class PosixFile final : public File {
  public:
    [[nodiscard]] static Result<std::unique_ptr<File>> open(const std::string& path,
                                                            const OpenOptions& options);
    [[nodiscard]] const std::string& path() const override { return path_; }
    [[nodiscard]] Status read(std::span<const ReadOp> ops) const override;
    [[nodiscard]] Status read_once(std::span<const ReadOp> ops) const override;
    [[nodiscard]] Status write(std::span<const WriteOp> ops) override;
    [[nodiscard]] Status write_cached(std::span<const WriteOp> ops) override;
    [[nodiscard]] Status sync() override;
    [[nodiscard]] Status allocate(ByteOffset offset, ByteCount count) override;
    [[nodiscard]] Status zero(ByteOffset offset, ByteCount count) override;
    [[nodiscard]] Status punch(ByteOffset offset, ByteCount count) override;
    [[nodiscard]] Status resize(ByteCount size) override;
    [[nodiscard]] Result<ByteCount> size() const override { return size_of(opened()); }
    [[nodiscard]] Result<std::vector<DataExtent>> extents(ByteOffset offset,
                                                          ByteCount length) const override;
    void will_read(ByteOffset offset, ByteCount count) const override;

  private:
    struct Kind {
        bool block_device = false;
        bool gather = false;
    };
    PosixFile(std::string path, UniqueFd fd, Kind kind)
        : path_(std::move(path)), fd_(std::move(fd)), kind_(kind) {}
    [[nodiscard]] Status lock() const;
    [[nodiscard]] UniqueFd open_direct(int access) const;
    [[nodiscard]] OpenedFile opened() const { return {fd_.get(), kind_.block_device, &path_}; }
    [[nodiscard]] Status run(Direction direction, std::span<Transfer> transfers, int fd) const;
    [[nodiscard]] Status finish(Direction direction, Transfer& transfer, int fd) const;
    template <class Op>
    [[nodiscard]] Status transfer(Direction direction, std::span<const Op> ops) const;
    [[nodiscard]] Status sync_failure() const;

    std::string path_;
    UniqueFd fd_;
    UniqueFd direct_fd_;
    UniqueFd once_fd_;  // O_DIRECT, of read_once() alone
    Kind kind_;
    mutable std::mutex mutex_;  // guards failure_: a reader's thread may ask while the writer syncs
    Status failure_;
};

}  // namespace everstep::io
