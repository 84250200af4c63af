// Backlog (walk, stage 2 to 4): the sealed frames that some standby has not made durable, oldest
// first: the newest in memory up to a limit, older ones in the spool on disk. At a clean stop all
// of them go to the spool, so that a start continues.
//
// Thread: the node's loop. Blocks on the spool's disk (buffered writes).
// Invariants: frames are consecutive by seq; those in the spool come before those in memory; a
// frame is dropped only by drop_through() and clear(), whose caller knows who needs it; the newest
// frame is in memory, whatever the limit; the spool holds the frames' own bytes, and its files
// together are never larger than its limit (but for what a clean stop adds). After a crash the
// spool is void: what a start reads is only what stop() stored (the group's record says so).
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "common/base/frame.hpp"
#include "common/io/file.hpp"

namespace everstep::daemon {

struct BacklogOptions {
    std::string directory;  // of the spool
    ByteCount memory_bytes;
    ByteCount spool_bytes;
};

class Backlog {
  public:
    Backlog(io::FileSystem& files, BacklogOptions options);
    // Counts from the next push() on; nothing that is kept is dropped for it.
    void set_limits(ByteCount memory_bytes, ByteCount spool_bytes);
    // Empties the spool's directory, durably: what it holds belongs to another life. An error: it
    // is tried again before anything goes there, and until then the spool cannot be written.
    [[nodiscard]] Status discard_spool();
    // Reads what stop() stored; the frames must chain up to `tip`. corrupt names file and offset.
    [[nodiscard]] Status load_spool(const Uuid& group);
    // An error: no room in memory, and the spool is full (no_space) or cannot be written. The frame
    // was not taken, all others are still there: the caller drops some, and tries again. An empty
    // backlog takes any frame.
    [[nodiscard]] Status push(const FramePtr& frame);
    [[nodiscard]] Status store_all();  // everything is in the spool and durable
    void drop_through(FrameSeq seq);
    void clear();

    [[nodiscard]] bool empty() const { return frames_.empty(); }
    [[nodiscard]] FrameSeq first_seq() const;  // of an empty one: 0
    [[nodiscard]] FrameSeq last_seq() const;
    [[nodiscard]] bool has(FrameSeq seq) const;
    [[nodiscard]] Result<FramePtr> frame(FrameSeq seq) const;  // from memory or the spool
    [[nodiscard]] const FrameHeader& header(FrameSeq seq) const;
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
    [[nodiscard]] std::uint64_t bytes_behind(FrameSeq seq) const;  // of the frames after `seq`
    // Some frame after `seq` lies in the spool.
    [[nodiscard]] bool spooled_behind(FrameSeq seq) const;
    [[nodiscard]] ByteCount memory_bytes() const { return ByteCount(memory_bytes_); }
    [[nodiscard]] ByteCount spool_bytes() const { return ByteCount(spool_bytes_); }  // on the disk
    [[nodiscard]] const BacklogOptions& options() const { return options_; }

  private:
    struct SpoolFile {
        std::string path;
        std::unique_ptr<io::File> file;
        std::uint64_t bytes = 0;
        std::uint64_t frames = 0;  // that are still kept
    };
    struct Kept {
        FrameHeader header;
        std::uint32_t bytes = 0;
        std::uint64_t end_bytes = 0;  // of all frames ever pushed, behind this one
        FramePtr memory;              // null: in the spool
        std::shared_ptr<SpoolFile> file;
        ByteOffset offset;
    };
    [[nodiscard]] const Kept& kept(FrameSeq seq) const;
    [[nodiscard]] Status room_in_spool(std::uint64_t bytes) const;
    [[nodiscard]] Result<std::shared_ptr<SpoolFile>> make_file(std::string path);
    [[nodiscard]] Status open_file();
    [[nodiscard]] Status empty_directory();
    [[nodiscard]] Status trim_first();
    [[nodiscard]] Status copy_frames(const std::shared_ptr<SpoolFile>& from, io::File& to,
                                     std::uint64_t before) const;
    [[nodiscard]] Status spill_oldest();  // of those in memory
    [[nodiscard]] Status load_file(const std::string& name, const Uuid& group);
    void forget();  // as clear(), but the spool's files stay
    void keep(FrameHeader header, std::uint32_t bytes, FramePtr memory);
    void remove_file(const std::shared_ptr<SpoolFile>& file);

    io::FileSystem& files_;
    BacklogOptions options_;
    std::deque<Kept> frames_;
    std::size_t spooled_ = 0;  // that many of the oldest lie in the spool
    std::shared_ptr<SpoolFile> open_;
    bool unknown_files_ = false;  // the directory could not be emptied: nothing goes there before
    std::uint64_t next_file_ = 1;
    std::uint64_t bytes_ = 0;
    std::uint64_t memory_bytes_ = 0;
    std::uint64_t spool_bytes_ = 0;  // of files
    std::uint64_t pushed_bytes_ = 0;
};

}  // namespace everstep::daemon
