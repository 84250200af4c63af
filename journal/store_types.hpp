// What goes into and comes out of a Store besides the history's own values (history_types.hpp): its
// options, the live image that it reads, views, batches to apply and plans of moves.
//
// Thread: values; ReplicaReader is asked by any thread.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "common/base/clock.hpp"
#include "common/io/file.hpp"
#include "journal/retention.hpp"

namespace everstep::journal {

class Catalogue;  // catalogue.hpp

// The live image, read. Implemented by standby/replica. Any thread. A read past a volume's end is
// zeroes.
class ReplicaReader {
  public:
    virtual ~ReplicaReader() = default;
    [[nodiscard]] virtual Status read(VolumeIndex volume, ByteOffset offset,
                                      MutableBytes to) const = 0;
    // Data and holes of a range (a hole reads as zeroes), covering it.
    [[nodiscard]] virtual Result<std::vector<io::DataExtent>> extents(VolumeIndex volume,
                                                                      ByteOffset offset,
                                                                      ByteCount length) const = 0;
    // Several ranges, in order; what can fetch them together does.
    [[nodiscard]] virtual Status read_all(VolumeIndex volume,
                                          std::span<const io::ReadOp> ops) const {
        for (const io::ReadOp& op : ops) EVERSTEP_TRY(read(volume, op.offset, op.to));
        return {};
    }
    // The same, of what is not read soon again (io::File::read_once).
    [[nodiscard]] virtual Status read_once(VolumeIndex volume,
                                           std::span<const io::ReadOp> ops) const {
        return read_all(volume, ops);
    }
};

struct StoreOptions {
    std::string directory;
    Uuid group;
    std::vector<ByteCount> volume_bytes;  // by VolumeIndex
    ByteCount segment_bytes{64ULL << 20};
    const Clock* clock = nullptr;  // of ages; none: the system's
    // An index file up to this size is read whole; of a larger one a read looks at pages.
    ByteCount whole_index_bytes{256ULL << 10};
    // Outlives the store, which writes it in tend(); none: every segment is read at the opening.
    Catalogue* catalogue = nullptr;
    // The newest frames that stay in memory for apply and reads, which else read them from the
    // disk: appends go past the page cache. Some seconds of apply's lag at a common disk's rate,
    // and little beside the 300 MiB that a standby may use.
    ByteCount recent_frame_bytes{32ULL << 20};
};

// As long as one lives, the step stays readable, whatever retention says; unless room was wanted
// and it was ended (end_holds): what is read then is refused.
enum class HoldKind : std::uint8_t {
    passing,  // ends by itself soon: a listing, a compare
    lasting,  // an export, a standby that lags
};
struct Hold {
    Point at;
    HoldKind kind = HoldKind::lasting;
    std::atomic<bool> ended{false};
};
using HoldPtr = std::shared_ptr<const Hold>;

struct KeepOrder {
    KeepLimits limits;
    const ReplicaReader* replica = nullptr;
    const std::atomic<bool>* stop = nullptr;  // leave a long condensing
};
struct KeepReport {
    KeepAction action;  // what was done; nothing: there is nothing to do, or it cannot be done now
    std::string text;   // for people; also why what should be done is not
};

// A resolved point: which timelines lead to it. Cheap to copy; stays valid while its history is
// kept.
struct View {
    struct Stretch {
        TimelineId timeline;
        Lsn after;  // its steps after < lsn <= to lie on the path
        Lsn to;
    };
    std::vector<Stretch> path;  // oldest first
    TimelineId timeline;
    Position at;
};

// What the apply stage does next: units of one segment, in order, from the replica's position to
// `to`.
struct ApplyUnit {
    VolumeIndex volume;
    ByteOffset offset;
    ByteCount length;
    bool zero = false;  // zero, discard
    std::uint64_t segment = 0;
    ByteOffset payload_at;           // in the segment's redo file
    std::uint32_t stored_bytes = 0;  // there; less than `length` where it is packed
    std::uint32_t payload_crc = 0;   // of what is stored
};
struct ApplyBatch {
    std::vector<ApplyUnit> units;
    TimelineId line;
    Position from;
    Position to;
    ByteCount bytes;
    [[nodiscard]] bool empty() const { return from == to; }
};

// A backward move, or a forward one over history whose before-images are all taken: only what
// differs.
struct MovePlan {
    std::vector<GapExtent>
        extents;  // by volume and offset, disjoint, block-aligned but at a volume's end
    ByteCount bytes;
    TimelineId line;  // the line on which both ends lie
    Position from;
    Position to;
};

}  // namespace everstep::journal
