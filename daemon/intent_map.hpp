// IntentMap: which regions of one volume may be different on which standby; the bits of a file
// (docs/write-intent-map.md says rules and format). It decides nothing: who marks before writing,
// and who says that a mark may go, holds the rules.
//
// Thread: the capture thread, but sync(), which another may run beside it, and open(). Invariants:
// covers() says yes only for marks that a sync has made durable; a mark that is there in memory is
// in the file behind the next write_out(). After a crash: every mark that was durable, and perhaps
// more.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/io/file.hpp"
#include "journal/history_types.hpp"

namespace everstep::daemon {

inline constexpr std::size_t kIntentStandbysMax = 32;
inline constexpr std::uint64_t kIntentRegionBytes = 1ULL << 20;  // at least
inline constexpr std::uint64_t kIntentRegionsMax = 1ULL << 18;   // of a volume
inline constexpr std::size_t kIntentAhead = 7;  // regions marked with one whose left is marked
inline constexpr std::size_t kIntentPageBytes = 4096;
inline constexpr std::size_t kIntentPageRegions = 1008;

enum class IntentBegin : std::uint8_t {
    all_clear,   // a new map: nothing was ever written
    all_marked,  // a new map: nothing is known
    as_stored,   // the one that is there; what of it cannot be used counts as marked
};

struct IntentPlace {
    std::string path;
    Uuid id;  // of this map; never nil
    VolumeIndex volume;
    ByteCount size;
    std::size_t standbys = 0;  // 1 .. kIntentStandbysMax
};

// `newest`: no write so far has a larger LSN.
struct IntentStart {
    IntentBegin begin = IntentBegin::all_marked;
    Lsn newest{};
};

// For marks that go.
struct IntentClear {
    std::size_t standby = 0;
    Lsn durable;  // there
    Lsn flushed;  // on the device: of this volume's writes, all up to here
    std::chrono::nanoseconds now{0};
    std::chrono::nanoseconds idle{0};  // not written for so long
};

class IntentMap {
  public:
    // `report` gets a line for each thing that was not as it should be. Errors: of the disk.
    // Blocks; the file is durable when it returns.
    [[nodiscard]] static Result<std::unique_ptr<IntentMap>> open(io::FileSystem& files,
                                                                 const IntentPlace& place,
                                                                 IntentStart start,
                                                                 std::vector<std::string>& report);

    // A range lies inside the volume.
    struct Range {
        ByteOffset offset;
        ByteCount length;
    };
    [[nodiscard]] bool covers(Range range) const;  // durably marked for every standby
    void mark(Range range, std::chrono::nanoseconds now);
    void mark_all(std::size_t standby);
    // From now on a mark is one for so many: covers() says yes to no region before it was marked
    // again. Never fewer than before.
    void set_standbys(std::size_t standbys);
    // A write there took this LSN. Lsn(UINT64_MAX): one failed, the mark stays until another LSN is
    // told.
    void written(Range range, Lsn lsn, std::chrono::nanoseconds now);
    // What of it would go, were the device flushed; and what does. Gives the number of marks.
    [[nodiscard]] bool any_to_clear(const IntentClear& clear) const;
    std::size_t clear(const IntentClear& clear);

    // What changed goes to the file. Then sync(), then synced() with what this gave.
    struct Marks {
        std::vector<std::uint32_t> regions;
        std::uint64_t clears = 0;
    };
    [[nodiscard]] Result<Marks> write_out();
    [[nodiscard]] Status sync() { return file_->sync(); }
    void synced(const Marks& marks);
    // A sync failed, so what was written may be on no disk, whatever the next one says: all pages
    // are written again.
    void rewrite() { std::fill(dirty_.begin(), dirty_.end(), true); }

    // By offset, neighbours merged.
    [[nodiscard]] std::vector<journal::GapExtent> marked(std::size_t standby) const;
    [[nodiscard]] ByteCount marked_bytes(std::size_t standby) const;
    [[nodiscard]] std::uint64_t region_bytes() const { return region_bytes_; }
    [[nodiscard]] std::size_t regions_marked() const { return marked_; }

  private:
    IntentMap(const IntentPlace& place, std::unique_ptr<io::File> file);
    [[nodiscard]] Status load(std::vector<std::string>& report);
    [[nodiscard]] std::string page_problem(std::size_t page, Bytes bytes) const;
    void take_page(std::size_t page, Bytes bytes);
    void pack_page(std::size_t page, MutableBytes bytes) const;
    void set(std::size_t region, std::uint32_t mask);
    void fill(std::uint32_t mask);
    [[nodiscard]] std::size_t pages() const;
    [[nodiscard]] std::size_t first(Range range) const;
    [[nodiscard]] std::size_t end(Range range) const;  // behind the last one
    [[nodiscard]] bool clearable(std::size_t region, const IntentClear& clear) const;

    IntentPlace place_;
    std::unique_ptr<io::File> file_;
    std::uint64_t region_bytes_;
    std::uint32_t all_;                    // the bits of every standby
    std::vector<std::uint32_t> masks_;     // by region: what the file is to hold
    std::vector<std::uint32_t> durable_;   // of that, what a sync has covered
    std::vector<Lsn> last_;                // the last write
    std::vector<std::uint32_t> touched_;   // when, seconds since the boot
    std::vector<bool> dirty_;              // by page
    std::vector<std::uint32_t> unsynced_;  // regions; may name one twice
    std::uint64_t clears_ = 0;             // how often marks have gone
    std::size_t marked_ = 0;               // regions with any mark
};

// Bytes of a region of a volume of this size.
[[nodiscard]] std::uint64_t intent_region_bytes(ByteCount volume);

}  // namespace everstep::daemon
