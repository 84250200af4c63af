// The real store, replica and mover on a disk in memory, opened as a standby opens them; what the
// workload and the recovery both drive.
//
// Thread: one.
#pragma once

#include "standby/time_travel.hpp"
#include "tests/power/memory_disk.hpp"
#include "tests/power/past.hpp"

namespace everstep::power {

// Bugs that are planted, to see that they are found.
enum class Bug : std::uint8_t {
    none,
    low_before_flush,  // `low` is stored before the replica is flushed
    ack_before_sync,   // a frame is acknowledged before it is synced
    redo_sync_lies,    // syncs of a kind of files do nothing
    undo_sync_lies,
    image_sync_lies,
    directory_sync_lies,
    condensed_sync_lies,
};

struct NodeOptions {
    std::vector<ByteCount> sizes;
    ByteCount segment_bytes;
    Uuid group;
    ByteCount whole_index_bytes{0};  // every read of an index file by its pages
    ByteCount move_bytes{6 << 10};   // at once, so that a move is one of several pieces
};

inline constexpr const char* kStoreDirectory = "/store";

class Node {
  public:
    // Both outlive it.
    Node(MemoryDisk& disk, journal::Catalogue& catalogue, NodeOptions options)
        : disk_(disk), catalogue_(catalogue), options_(std::move(options)) {}
    [[nodiscard]] Status open();
    void close();
    [[nodiscard]] Status begin(const Past& past);
    [[nodiscard]] journal::Store& store() { return *store_; }
    [[nodiscard]] const journal::Store& store() const { return *store_; }
    [[nodiscard]] standby::Mover& mover() { return *mover_; }
    [[nodiscard]] standby::TimeTravel& travel() { return *travel_; }
    [[nodiscard]] const std::vector<std::string>& report() const { return report_; }
    // The replica as it lies on the disk.
    [[nodiscard]] std::vector<journal::lab::Image> raw() const;
    // A step through the reading function.
    [[nodiscard]] Result<std::vector<journal::lab::Image>> read(const journal::View& view) const;
    // One batch or move towards the newest durable step, as the apply thread makes it.
    [[nodiscard]] Result<bool> apply_some(Bug bug);
    // One action of retention; true: it did something.
    [[nodiscard]] Result<bool> keep(const journal::KeepLimits& limits);
    [[nodiscard]] Status tend();  // until nothing is left

  private:
    [[nodiscard]] Result<bool> apply_low_first();

    MemoryDisk& disk_;
    journal::Catalogue& catalogue_;
    NodeOptions options_;
    std::vector<std::string> report_;
    std::unique_ptr<journal::Store> store_;
    std::unique_ptr<standby::Replica> replica_;
    std::unique_ptr<standby::Mover> mover_;
    std::unique_ptr<standby::TimeTravel> travel_;
};

}  // namespace everstep::power
