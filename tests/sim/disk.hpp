// SimDisk: the disk of one life of a simulated machine: a MemoryDisk that takes its time, fails, is
// full, or is where the machine ends. What a cut of its power leaves: tests/power/power_cut.hpp.
//
// Thread: the world's fibers. A call may wait.
#pragma once

#include "tests/journal/memory_catalogue.hpp"
#include "tests/power/power_cut.hpp"
#include "tests/sim/world.hpp"

namespace everstep::sim {

struct DiskFaults {
    Time slow_most{20'000};          // of one operation
    std::uint64_t error_one_in = 0;  // writes and syncs; 0: none
    std::string error_in;            // of files with this in their path
    bool full = false;
};

class SimDisk final : public io::FileSystem {
  public:
    using Catalogues = std::map<std::string, journal::lab::MemoryCatalogue::States>;
    SimDisk(World& world, power::DiskState state, Catalogues catalogues);

    [[nodiscard]] Result<std::unique_ptr<io::File>> open(const std::string& path,
                                                         const io::OpenOptions& options) override;
    [[nodiscard]] Status make_directory(const std::string& path) override;
    [[nodiscard]] Status rename(const std::string& from, const std::string& to) override;
    [[nodiscard]] Status remove(const std::string& path) override;
    [[nodiscard]] Status sync_directory(const std::string& path) override;
    [[nodiscard]] Result<std::vector<std::string>> list(const std::string& path) const override;
    [[nodiscard]] Result<bool> exists(const std::string& path) const override;
    [[nodiscard]] Result<ByteCount> free_bytes(const std::string& path) const override;

    // What lies there now; what a power cut at this moment leaves.
    [[nodiscard]] power::DiskState state() const { return memory_.state(); }
    [[nodiscard]] const power::DiskState& files_now() const { return memory_.files_now(); }
    [[nodiscard]] power::DiskState after_cut(const power::Choice& choice);
    // The same of files whose path has this in it; the others as they are.
    [[nodiscard]] power::DiskState after_loss(const std::string& in, const power::Choice& choice);
    [[nodiscard]] Catalogues& catalogues() { return catalogues_; }

    DiskFaults faults;
    // The machine ends at the n-th change from now: `ends` is called there, and does not return.
    std::uint64_t ends_in = 0;  // 0: never
    std::function<void()> ends;

  private:
    class File;
    [[nodiscard]] Status turn(const std::string& path, bool changes) const;
    World& world_;
    power::DiskState begin_;
    power::MemoryDisk memory_;
    std::deque<power::DiskOp> log_;  // taken from memory_
    Catalogues catalogues_;
};

}  // namespace everstep::sim
