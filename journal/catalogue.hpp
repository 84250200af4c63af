// Catalogue: what is known of each sealed segment, so that a store of any length is opened without
// reading its sealed files again (docs/journal-format.md, "Catalogue"). It is kept in LMDB
// (lmdb_catalogue.hpp); a store works without one, and then every segment is read.
//
// Thread: load, change and clear one at a time: the opening, then who tends the store; check any.
// Invariants
//  - it is derived: everything in it follows from the segments' files, and an entry is believed
//  only for files that bear its salts;
//  - an entry is stored only after the files that it describes were sealed and synced, so that it
//  never says more than they do, and an older catalogue is as true as a newer one;
//  - the replica's position in it is older than every position record with a greater sequence, and
//  not older than any other one.
#pragma once

#include <map>

#include "journal/finding.hpp"
#include "journal/segment.hpp"

namespace everstep::journal {

// Of a segment whose redo file is sealed. Its undo file's part counts only if that is sealed too.
struct CatalogueEntry {
    std::uint64_t number = 0;
    TimelineId timeline;
    Position first;
    Position last;
    Position imaged_to;
    FileState redo;
    FileState undo;
    RedoSummary summary;
    Age begun_at{0};
    std::vector<KeptStep> ends;
};
[[nodiscard]] CatalogueEntry entry_of(const Segment& segment);
// `stored` says nothing but what `read` says, or said before its undo file was sealed.
[[nodiscard]] bool follows_from(const CatalogueEntry& stored, const CatalogueEntry& read);
// A segment without indexes: they are fetched when they are asked for, or read by the caller.
[[nodiscard]] std::unique_ptr<Segment> segment_of(const CatalogueEntry& entry);

struct CatalogueState {
    std::uint64_t sequence = 0;  // no record that was written before has a greater one
    PositionBody position;       // the replica's newest recorded one then
};

struct CatalogueContent {
    CatalogueState state;
    std::map<std::uint64_t, CatalogueEntry> entries;  // by number
};

// What changes it: all of it or nothing.
struct CatalogueChange {
    CatalogueState state;
    std::vector<CatalogueEntry> entries;  // new, or instead of older ones
    std::vector<std::uint64_t> gone;      // numbers; one that is not there is no error
};

class Catalogue {
  public:
    virtual ~Catalogue() = default;
    // not_found: there is none. corrupt: damaged; refused: another group's; version: a newer
    // format. What is wrong with it costs time, never data: the caller reads the segments instead,
    // and calls clear().
    [[nodiscard]] virtual Result<CatalogueContent> load(const Uuid& group) = 0;
    // Durable when it returns; after a crash in it, what was before or what is after.
    [[nodiscard]] virtual Status change(const Uuid& group, const CatalogueChange& change) = 0;
    [[nodiscard]] virtual Status clear() = 0;
    // What is wrong with its files.
    [[nodiscard]] virtual std::vector<Finding> check() = 0;
};

// The values as bytes, for whoever stores them. unpack_*: any bytes give a whole value or nothing;
// unpack_catalogue_state also tells another version from damage.
inline constexpr std::uint32_t kCatalogueVersion = 1;
[[nodiscard]] BodyBytes pack_entry(const CatalogueEntry& entry);
[[nodiscard]] std::optional<CatalogueEntry> unpack_entry(Bytes body);
[[nodiscard]] BodyBytes pack_catalogue_state(const Uuid& group, const CatalogueState& state);
// corrupt, refused, version: as load(); `name` is the file's, for messages.
[[nodiscard]] Result<CatalogueState> unpack_catalogue_state(Bytes body, const Uuid& group,
                                                            const std::string& name);

}  // namespace everstep::journal
