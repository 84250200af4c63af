// The reading function over real files: plan by the reading rule, read without a lock, look again
// (walk, stage 8).
//
// What comes from redo and undo files never changes, so only what came from the replica is looked
// up again after it was read. Between the two look-ups the replica can only have gone forward
// unless a move began (move_generation), and every write that may have landed meanwhile lies at or
// below the second look-up's high; so if the rule still says "replica" then what was read is right,
// and if it says anything else that is read instead. Where the replica stands as it did at the
// first look-up's begin, the second would say the same and is left out. Each look-up goes by
// windows (reading.hpp) and lets go of the lock between two: each window's answer stands for
// itself.
#include <algorithm>
#include <optional>

#include "common/base/checksum.hpp"
#include "journal/store_impl.hpp"

namespace everstep::journal {
namespace {

constexpr std::uint64_t kScratchBytesMax = 8ULL << 20;
constexpr std::size_t kHintedPiecesMax = 64;
constexpr std::uint64_t kBridgedSectorsMax = (64ULL << 10) / kSectorBytes;
constexpr std::size_t kFilesAtOnce = 16;  // open for one read, however many it needs
constexpr std::uint64_t kWindowSectors = kWindowBytesMax / kSectorBytes;

// A part of the answer that lies in a file, with the smallest checked run of bytes around it.
struct FilePiece {
    FileKind kind = FileKind::redo;
    std::uint64_t segment = 0;
    ByteOffset check_at;
    std::uint32_t check_bytes = 0;  // in the file
    std::uint32_t crc = 0;
    std::uint32_t data_bytes = 0;  // that they give: more, where they are packed
    std::uint32_t skip = 0;        // of the data, to the first byte wanted
    MutableBytes to;
    [[nodiscard]] bool whole() const { return to.size() == data_bytes; }
    [[nodiscard]] bool packed() const { return check_bytes < data_bytes; }
    [[nodiscard]] bool direct() const { return whole() && !packed(); }
    // Parts of one checked run, which is read once.
    [[nodiscard]] bool in_same(const FilePiece& other) const {
        return !whole() && !other.whole() && check_at == other.check_at &&
               check_bytes == other.check_bytes && crc == other.crc;
    }
};

FilePiece piece_of(const SectorRun& run, MutableBytes to) {
    return {.kind = run.source == Source::redo ? FileKind::redo : FileKind::undo,
            .segment = run.segment,
            .check_at = run.at,
            .check_bytes = run.stored,
            .crc = run.crc,
            .data_bytes = run.bytes,
            .skip = static_cast<std::uint32_t>(run.skip * kSectorBytes),
            .to = to};
}

std::string place_of(const io::File& file, const FilePiece& piece) {
    return file.path() + ": offset " + std::to_string(piece.check_at.value());
}

Status damaged(const io::File& file, const FilePiece& piece) {
    return {ErrorCode::corrupt, place_of(file, piece) + ": " + std::to_string(piece.check_bytes) +
                                    " bytes fail their checksum"};
}

// Gives pieces their data out of what was read and checked for them.
class Taker {
  public:
    Status take(const io::File& file, const FilePiece& piece, Bytes stored) {
        if (piece.direct()) return {};  // it was read there
        if (!piece.packed()) {
            std::copy_n(stored.begin() + piece.skip, piece.to.size(), piece.to.begin());
            return {};
        }
        if (piece.whole()) {
            const Status unpacked = unpack_chunk(stored, piece.to);
            return unpacked.ok() ? Status() : unpacked.with_context(place_of(file, piece));
        }
        if (stored.data() != unpacked_.data()) {
            unpacked_ = {};
            data_.resize(piece.data_bytes);
            const Status unpacked = unpack_chunk(stored, data_.bytes());
            if (!unpacked.ok()) return unpacked.with_context(place_of(file, piece));
            unpacked_ = stored;
        }
        std::copy_n(data_.bytes().begin() + piece.skip, piece.to.size(), piece.to.begin());
        return {};
    }

  private:
    Buffer data_;     // of the chunk that was unpacked last
    Bytes unpacked_;  // what it lay in
};

// Pieces of one file, from memory what was appended last. What is packed, and parts of a checked
// run, go through a scratch buffer.
Status read_file_pieces(const Store::Impl& s, const FileCache::InPieces& opened,
                        std::span<const FilePiece> pieces) {
    const io::File& file = *opened.file;
    while (!pieces.empty()) {
        std::vector<MutableBytes> targets;
        Buffer scratch;
        std::size_t scratch_bytes = 0;
        std::size_t count = 0;
        for (; count < pieces.size() && scratch_bytes < kScratchBytesMax; ++count)
            scratch_bytes += pieces[count].direct() ? 0 : pieces[count].check_bytes;
        scratch.resize(scratch_bytes);
        std::vector<io::ReadOp> ops;
        std::size_t at = 0;
        for (const FilePiece& piece : pieces.first(count)) {
            if (!targets.empty() && piece.in_same(pieces[targets.size() - 1])) {
                targets.push_back(targets.back());
                continue;
            }
            MutableBytes to = piece.to;
            if (!piece.direct()) {
                to = scratch.bytes().subspan(at, piece.check_bytes);
                at += piece.check_bytes;
            }
            targets.push_back(to);
            if (piece.kind != FileKind::redo || !s.recent.copy(piece.segment, piece.check_at, to))
                ops.push_back({piece.check_at, to});
        }
        for (const io::ReadOp& op : ops) opened.ahead->reads(file, op.offset);
        if (!ops.empty()) EVERSTEP_TRY(file.read(ops));
        Taker taker;
        for (std::size_t i = 0; i < count; ++i) {
            const FilePiece& piece = pieces[i];
            const bool checked = i > 0 && piece.in_same(pieces[i - 1]);
            if (!checked && crc32c(targets[i]) != piece.crc) return damaged(file, piece);
            EVERSTEP_TRY(taker.take(file, piece, targets[i]));
        }
        pieces = pieces.subspan(count);
    }
    return {};
}

// The pieces that lie in one file.
struct FileShare {
    FileCache::InPieces opened;
    std::span<const FilePiece> pieces;
};

// All that is needed of them comes from the disk together, where it is little.
Status read_shares(const Store::Impl& s, std::span<const FileShare> shares) {
    std::size_t pieces = 0;
    for (const FileShare& share : shares) pieces += share.pieces.size();
    for (std::size_t n = 1; n < shares.size() && pieces <= kHintedPiecesMax; ++n)
        for (const FilePiece& piece : shares[n].pieces)
            if (!s.recent.copy(piece.segment, piece.check_at, {}))
                shares[n].opened.file->will_read(piece.check_at, ByteCount(piece.check_bytes));
    for (const FileShare& share : shares)
        EVERSTEP_TRY(read_file_pieces(s, share.opened, share.pieces));
    return {};
}

Status read_pieces(const Store::Impl& s, std::vector<FilePiece>& pieces) {
    std::stable_sort(pieces.begin(), pieces.end(), [](const FilePiece& a, const FilePiece& b) {
        return std::tie(a.segment, a.kind, a.check_at) < std::tie(b.segment, b.kind, b.check_at);
    });
    std::vector<FileShare> shares;
    for (std::size_t first = 0; first < pieces.size();) {
        std::size_t last = first;
        while (last < pieces.size() && pieces[last].segment == pieces[first].segment &&
               pieces[last].kind == pieces[first].kind)
            ++last;
        auto opened = s.cache.get_in_pieces(pieces[first].kind, pieces[first].segment);
        if (!opened.ok()) return opened.status();
        shares.push_back({std::move(*opened), std::span(pieces).subspan(first, last - first)});
        first = last;
        if (shares.size() < kFilesAtOnce && first < pieces.size()) continue;
        EVERSTEP_TRY(read_shares(s, shares));
        shares.clear();
    }
    return {};
}

Status missing_image(const SectorRun& run, VolumeIndex volume) {
    return {ErrorCode::corrupt, file_name(FileKind::undo, run.segment) +
                                    ": no before-image of volume " +
                                    std::to_string(volume.value()) + " offset " +
                                    std::to_string(run.first * kSectorBytes)};
}

// The look-up of one read, repeated until what came from the replica is certain.
class Lookup {
  public:
    // Sectors of the volume, and where their content goes.
    struct Range {
        std::uint64_t first = 0;
        MutableBytes to;
        std::size_t of = 0;  // which of the ranges that were asked for it is a part of
        [[nodiscard]] std::uint64_t count() const { return to.size() / kSectorBytes; }
        [[nodiscard]] std::uint64_t end() const { return first + count(); }
        [[nodiscard]] Range part(const SectorRun& run) const {
            return {run.first,
                    to.subspan((run.first - first) * kSectorBytes, run.count * kSectorBytes), of};
        }
    };
    struct Parts {
        std::vector<FilePiece> pieces;
        std::vector<MutableBytes> zeroes;
        std::vector<Range> replica;
    };
    // `as_if`: where the replica is taken to be; none: where it is.
    struct At {
        Place point;
        const ReplicaState* as_if = nullptr;
    };
    Lookup(const At& at, VolumeIndex volume)
        : point_(at.point), as_if_(at.as_if), volume_(volume) {}

    // Plans all of the ranges; gives where the replica stood at its begin.
    Result<ReplicaStand> plan(const Store::Impl& s, std::span<const Range> ranges,
                              Parts& parts) const {
        std::optional<ReplicaStand> begun;
        EVERSTEP_TRY(in_windows(s, ranges, [&](const Range& range, const Window& window) {
            if (!begun) begun = window.stand;
            return plan_window(range, window.runs, parts);
        }));
        return begun.value_or(ReplicaStand());
    }
    // What has to be read again: all of it if a move began, else what is no longer the replica's.
    Result<std::vector<Range>> changed(const Store::Impl& s, const ReplicaStand& begun,
                                       const std::vector<Range>& ranges) const {
        std::vector<Range> out;
        if (s.stands(begun)) return out;
        bool moved = false;
        EVERSTEP_TRY(in_windows(s, ranges, [&](const Range& range, const Window& window) {
            moved = moved || window.stand.generation != begun.generation;
            for (const SectorRun& run : window.runs)
                if (run.source != Source::replica) out.push_back(range.part(run));
            return Status();
        }));
        return moved ? ranges : out;
    }

  private:
    struct Window {
        ReplicaStand stand;
        std::vector<SectorRun> runs;
    };
    // Goes through the ranges by windows; only what grows is looked up under the store's lock.
    template <class Each>
    Status in_windows(const Store::Impl& s, std::span<const Range> ranges, const Each& each) const {
        for (const Range& range : ranges) {
            for (std::uint64_t done = 0; done < range.count(); done += kWindowSectors) {
                const UnitRange sectors{volume_, range.first + done,
                                        std::min(kWindowSectors, range.count() - done)};
                auto looked = s.look(point_, sectors, as_if_);
                if (!looked.ok()) return looked.status();
                auto runs = resolve(std::move(looked->paths), sectors);
                if (!runs.ok()) return runs.status();
                EVERSTEP_TRY(each(range, Window{looked->stand, std::move(*runs)}));
            }
        }
        return {};
    }
    Status plan_window(const Range& range, const std::vector<SectorRun>& runs, Parts& parts) const {
        for (const SectorRun& run : runs) {
            const Range where = range.part(run);
            switch (run.source) {
                case Source::replica:
                    parts.replica.push_back(where);
                    break;
                case Source::zero:
                    parts.zeroes.push_back(where.to);
                    break;
                case Source::redo:
                case Source::undo:
                    parts.pieces.push_back(piece_of(run, where.to));
                    break;
                case Source::missing:
                    return missing_image(run, volume_);
            }
        }
        return {};
    }

    Place point_;
    const ReplicaState* as_if_;
    VolumeIndex volume_;
};

io::ReadOp op_of(const Lookup::Range& range) {
    return {ByteOffset(range.first * kSectorBytes), range.to};
}

// Reads the replica's parts of `asked`, ranges of which everything else is written to its place
// afterwards: parts that lie close together are read as one, with what lies between, because one
// long read costs less than many short ones and is what the kernel reads ahead for.
Status read_bridged(const ReplicaReader& replica, VolumeIndex volume,
                    std::span<const Lookup::Range> parts, std::span<const Lookup::Range> asked) {
    std::vector<io::ReadOp> ops;
    for (std::size_t first = 0; first < parts.size();) {
        const Lookup::Range& begin = parts[first];
        std::uint64_t end = begin.end();
        std::uint64_t wanted = begin.count();
        std::size_t next = first + 1;
        for (; next < parts.size() && parts[next].of == begin.of; ++next) {
            const std::uint64_t with = wanted + parts[next].count();
            if (parts[next].first - end > kBridgedSectorsMax ||
                2 * with < parts[next].end() - begin.first)
                break;
            end = parts[next].end();
            wanted = with;
        }
        const Lookup::Range& whole = asked[begin.of];
        ops.push_back({ByteOffset(begin.first * kSectorBytes),
                       whole.to.subspan((begin.first - whole.first) * kSectorBytes,
                                        (end - begin.first) * kSectorBytes)});
        first = next;
    }
    return replica.read_all(volume, ops);
}

Status read_exactly(const ReplicaReader& replica, VolumeIndex volume,
                    std::span<const Lookup::Range> parts) {
    std::vector<io::ReadOp> ops;
    for (const Lookup::Range& part : parts) ops.push_back(op_of(part));
    return replica.read_all(volume, ops);
}

}  // namespace

Status Store::read(const View& view, const ReplicaReader& replica, VolumeIndex volume,
                   ByteOffset offset, MutableBytes to) const {
    const io::ReadOp all{offset, to};
    return read(view, replica, volume, {&all, 1});
}

Status Store::read(const View& view, const ReplicaReader& replica, VolumeIndex volume,
                   std::span<const io::ReadOp> wanted) const {
    const Impl& s = *impl_;
    std::vector<Lookup::Range> ranges;
    for (const auto& [offset, to] : wanted) {
        if (offset.value() % kSectorBytes != 0 || to.size() % kSectorBytes != 0 ||
            volume.value() >= s.history.volume_count() ||
            offset.value() + to.size() > s.history.volume_bytes(volume))
            return {ErrorCode::usage, "read: not whole sectors of a volume"};
        ranges.push_back({offset.value() / kSectorBytes, to, ranges.size()});
    }
    const Lookup lookup({{view.timeline, view.at}}, volume);
    const std::vector<Lookup::Range> asked = ranges;
    bool bridges = true;  // nothing of the answer is in its place yet
    while (!ranges.empty()) {
        Lookup::Parts parts;
        const std::uint64_t kept = s.kept_generation;
        const auto begun = lookup.plan(s, ranges, parts);
        // Retention may have taken a segment away: then the look-up has another answer.
        if (!begun.ok() && s.kept_generation != kept) continue;
        if (!begun.ok()) return begun.status();
        // A bridge that cannot be read takes nothing away from what lies beside it.
        if (!bridges || !read_bridged(replica, volume, parts.replica, asked).ok())
            EVERSTEP_TRY(read_exactly(replica, volume, parts.replica));
        bridges = false;
        for (const MutableBytes zero : parts.zeroes)
            std::fill(zero.begin(), zero.end(), std::byte{0});
        if (const Status read = read_pieces(s, parts.pieces); !read.ok()) {
            if (s.kept_generation == kept) return read;
            continue;
        }
        if (parts.replica.empty()) return {};
        auto again = lookup.changed(s, *begun, parts.replica);
        if (!again.ok() && s.kept_generation != kept) continue;
        if (!again.ok()) return again.status();
        ranges = std::move(*again);
    }
    return {};
}

Status Store::Impl::read_as_if(const Place& point, const ReplicaState& at, const GapExtent& range,
                               MutableBytes to) const {
    const Lookup lookup({point, &at}, range.volume);
    const Lookup::Range all{range.offset.value() / kSectorBytes, to};
    Lookup::Parts parts;
    const auto planned = lookup.plan(*this, {&all, 1}, parts);
    if (!planned.ok()) return planned.status();
    if (!parts.replica.empty())
        return {ErrorCode::internal,
                "step " + std::to_string(point.at.lsn.value()) + ": not told by segments alone"};
    for (const MutableBytes zero : parts.zeroes) std::fill(zero.begin(), zero.end(), std::byte{0});
    return read_pieces(*this, parts.pieces);
}

}  // namespace everstep::journal
