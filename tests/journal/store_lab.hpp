// What the tests of the store share: a scratch directory, a replica in memory, a primary that seals
// frames, and a full image of every step to compare with.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <random>

#include "journal/store.hpp"

namespace everstep::journal::lab {

// The seed of a random test: EVERSTEP_SEED, else `fallback`; printed, so that a failure can be run
// again.
[[nodiscard]] std::uint64_t seed_of(const char* test, std::uint64_t fallback);

class ScratchDirectory {
  public:
    ScratchDirectory();
    ~ScratchDirectory();
    [[nodiscard]] std::string path() const { return path_.string(); }
    [[nodiscard]] std::filesystem::path file(const std::string& name) const { return path_ / name; }

  private:
    std::filesystem::path path_;
};

// Volumes in memory. Blocks that were never written are holes.
class MemoryReplica final : public ReplicaReader {
  public:
    explicit MemoryReplica(const std::vector<ByteCount>& sizes);
    [[nodiscard]] Status read(VolumeIndex volume, ByteOffset offset,
                              MutableBytes to) const override;
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(VolumeIndex volume, ByteOffset offset,
                                                              ByteCount length) const override;
    void write(VolumeIndex volume, ByteOffset offset, Bytes from);
    void zero(VolumeIndex volume, ByteOffset offset, ByteCount length);
    std::vector<std::vector<std::byte>> volumes;
    mutable std::uint64_t asked = 0;  // reads and extents
};

// A file as a whole.
[[nodiscard]] std::string content_of(const std::filesystem::path& path);
void put_content(const std::filesystem::path& path, const std::string& content);

using Image = std::vector<std::byte>;

// One write of a test's workload.
struct TestWrite {
    VolumeIndex volume;
    EntryKind kind = EntryKind::data;
    ByteOffset offset;
    ByteCount length;
    bool fua = false;
};

// Content that says which write it is of: each sector bears lsn, timeline number, volume and its
// own number. That of every third cannot be packed.
[[nodiscard]] std::vector<std::byte> content(const TestWrite& write, Lsn lsn, std::uint64_t line);

// Packs frames by any level; of four numbers one says that it is left as it is.
[[nodiscard]] Packer* any_packer(std::uint64_t number);

// Seals frames along a line and keeps the image behind every step.
class Primary {
  public:
    Primary(Uuid group, TimelineId timeline, std::vector<ByteCount> sizes);
    // A new line from a step of `parent`.
    Primary(const Primary& parent, TimelineId timeline, Lsn branch);
    // `flushed`: behind the writes, a flush mark of volume 0 at that step.
    [[nodiscard]] FramePtr frame(const std::vector<TestWrite>& writes,
                                 std::optional<Lsn> flushed = std::nullopt);
    [[nodiscard]] FramePtr flush_frame(VolumeIndex volume, Lsn lsn);
    // batch_begin or batch_end, behind the writes.
    [[nodiscard]] FramePtr batch_frame(EntryKind kind, const std::vector<TestWrite>& writes = {});
    [[nodiscard]] const std::vector<Image>& image(Lsn lsn) const;
    [[nodiscard]] Lsn head() const { return tip_.point.lsn; }
    [[nodiscard]] const Tip& tip() const { return tip_; }
    // Of the frame that holds the step.
    [[nodiscard]] const Tip& tip_at(Lsn lsn) const {
        return tips_.lower_bound(lsn.value())->second;
    }
    [[nodiscard]] const TimelineInfo& timeline() const { return info_; }
    void skip_to(Lsn lsn);  // the steps between are lost to the standby
    std::vector<Image> now;
    bool packs = false;  // most of its frames, and of the lines that branch from it

  private:
    void add(const std::vector<TestWrite>& writes);
    void add(EntryKind kind, Lsn lsn, VolumeIndex volume);
    [[nodiscard]] FramePtr seal(std::size_t steps);
    void apply(const TestWrite& write, Bytes payload);
    Uuid group_;
    TimelineInfo info_;
    Tip tip_;
    std::map<std::uint64_t, std::vector<Image>> images_;
    std::map<std::uint64_t, Tip> tips_;
    FrameBuilder builder_;
    bool first_ = true;
};

// A store with its replica: opens, reopens, applies, rewinds and compares.
class StoreLab {
  public:
    explicit StoreLab(std::vector<ByteCount> sizes = {ByteCount(64 << 10)},
                      ByteCount segment_bytes = ByteCount(64 << 10));
    void open();  // expects ok
    [[nodiscard]] Status try_open();
    void reopen() {
        store.reset();
        open();
    }
    // One batch towards goal; without `land`, only parts of its writes reach the replica.
    Status apply_batch(Point goal, ByteCount limit = ByteCount(1 << 20), bool land = true);
    Status apply_all(Point goal);
    Status redo();
    Status move(Point target);
    // Through the meeting point, with moves over what is passed, else with batches.
    Status go_to(Point target);
    [[nodiscard]] Image read(const View& view, VolumeIndex volume) const;
    // The first difference between the store's content at a point and `wanted`; empty if there is
    // none.
    [[nodiscard]] std::string compare(Point at, const std::vector<Image>& wanted) const;

    ScratchDirectory directory;
    StoreOptions options;
    io::FileSystem* files = &io::system_files();
    std::vector<std::string> report;
    MemoryReplica replica;
    std::unique_ptr<Store> store;

  private:
    Status apply_units(const ApplyBatch& batch);
};

[[nodiscard]] Uuid test_uuid(std::uint8_t n);
[[nodiscard]] TimelineInfo root_timeline(TimelineId id);

}  // namespace everstep::journal::lab
