// RecordWriter: appends records to one redo or undo file in batches (walk, stage 6 and 7).
//
// Thread: one at a time (redo: under the store's writer lock; undo: the apply thread).
// Invariants
//  - what one write() writes is one batch: it begins at a multiple of kBatchAlign and is padded to
//  one, so that a
//    block that holds a written record is never written again;
//  - a record is in the file when write() returned ok, and survives power loss when sync() returned
//  ok; if write()
//    fails the tail stands where it stood and the next batch goes to the same place;
//  - a failed sync() is final: every later write() and sync() gives the same error.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "common/base/buffer.hpp"
#include "common/io/file.hpp"
#include "journal/record_format.hpp"

namespace everstep::journal {

// How a redo file is opened for records: past the page cache, from registered buffers.
inline constexpr io::OpenOptions kAppendOptions{
    .mode = io::OpenMode::read_write, .direct = true, .gather = true};

// A gathered write copies what it is given; a longer body is not copied once more before.
inline constexpr std::size_t kBorrowedBytesMin = 16U << 10;

// Where a file's chain of records ends.
struct LogTail {
    std::uint64_t end = kFileHeaderBytes;  // behind the last record
    std::uint32_t crc = 0;                 // of the last record's envelope, or of the file's header
    std::uint64_t synced_to = kFileHeaderBytes;
};

class RecordWriter {
  public:
    struct Setup {
        std::unique_ptr<io::File> file;
        std::uint64_t salt = 0;
        LogTail tail;
        ByteCount capacity;                              // of a redo file; 0: it grows
        std::atomic<std::uint64_t>* sequence = nullptr;  // the store's; the next record's number
    };
    explicit RecordWriter(Setup setup);
    // True when a record of this body still fits behind what is staged, and a footer behind it.
    [[nodiscard]] bool fits(std::uint64_t body_bytes) const;
    // Copies the record (its body in parts) behind what is staged; gives where its body will lie in
    // the file.
    ByteOffset stage(RecordKind kind, std::span<const Bytes> parts);
    ByteOffset stage(RecordKind kind, Bytes body) { return stage(kind, {&body, 1}); }
    // The same without a copy of a body from kBorrowedBytesMin on: it stays valid and as it is
    // until write() or drop_staged(). The caller knows its CRC32C.
    ByteOffset stage_borrowed(RecordKind kind, Bytes body, std::uint32_t body_crc);
    [[nodiscard]] std::uint64_t staged_bytes() const { return staged_.size() + borrowed_bytes_; }
    // `soon`: a sync follows, so it need not lie in the page cache first.
    [[nodiscard]] Status write(bool soon = true);
    [[nodiscard]] Status sync();
    [[nodiscard]] Status cut();  // gives back what an earlier use left behind the tail
    void drop_staged();
    [[nodiscard]] const LogTail& tail() const { return written_; }
    // Back to an earlier tail of this file: what was written since and not synced is written over.
    void rewind(const LogTail& tail);
    [[nodiscard]] bool clean() const { return written_.synced_to == written_.end; }

  private:
    struct Borrowed {
        std::size_t behind = 0;  // so many bytes of staged_
        Bytes bytes;
    };
    [[nodiscard]] std::uint64_t next_record_at() const;
    struct Body {
        std::uint64_t bytes = 0;
        std::uint32_t crc = 0;
    };
    ByteOffset stage_envelope(RecordKind kind, const Body& body);
    void end_record(std::uint64_t body_bytes);
    void list_ops(ByteOffset at);
    Setup setup_;
    Buffer staged_;  // what was copied
    std::vector<Borrowed> borrowed_;
    std::uint64_t borrowed_bytes_ = 0;
    std::vector<io::WriteOp> ops_;  // of the batch that is written; kept for its memory
    LogTail written_;               // what is in the file
    LogTail staged_tail_;           // what will be when the staged batch is
    Status failure_;
};

}  // namespace everstep::journal
