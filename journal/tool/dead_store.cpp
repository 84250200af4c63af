#include "journal/tool/dead_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

#include "journal/record_walk.hpp"
#include "journal/recovery.hpp"

namespace everstep::journal::tool {
namespace {

// "process 123 (everstepd)", or nothing. The kernel lists locks by inode.
std::string owner_of(const std::string& path) {
    const auto identity = io::identify(path);
    std::ifstream locks("/proc/locks");
    std::string line;
    while (identity.ok() && std::getline(locks, line)) {
        std::istringstream words(line);
        std::string number, type, mode, access, pid, inode;
        words >> number >> type >> mode >> access >> pid >> inode;
        if (type != "FLOCK" || !inode.ends_with(':' + std::to_string(identity->inode))) continue;
        std::string name;
        std::ifstream comm("/proc/" + pid + "/comm");
        std::getline(comm, name);
        return name.empty() ? "process " + pid : fmt::format("process {} ({})", pid, name);
    }
    return {};
}

Status take_lock(io::FileSystem& files, DeadStore& store) {
    const std::string path = store.directory + "/" + kLockName;
    auto lock = files.open(path, {.exclusive_lock = true});
    if (lock.status().code() == ErrorCode::not_found) return {};
    if (lock.status().code() == ErrorCode::busy) {
        const std::string owner = owner_of(path);
        return {ErrorCode::refused,
                fmt::format("{}: {} has the store open; stop the node first (a running one is "
                            "checked with: everstep scrub GROUP)",
                            path, owner.empty() ? "another process" : owner)};
    }
    if (!lock.ok()) return lock.status();
    store.lock = std::move(*lock);
    return {};
}

Finding note(const std::string& file, std::string what) {
    Finding finding;
    finding.damage = false;
    finding.file = file;
    finding.what = std::move(what);
    return finding;
}

void add_bytes(io::FileSystem& files, const std::string& path, std::uint64_t& bytes) {
    const auto file = files.open(path, {});
    const auto size = file.ok() ? (*file)->size() : Result<ByteCount>(file.status());
    if (size.ok()) bytes += size->value();
}

// What the newest redo file says last of what is kept; nothing where it says nothing.
std::optional<KeptBody> newest_kept(io::FileSystem& files, const std::string& path) {
    std::optional<KeptBody> kept;
    const auto file = files.open(path, {});
    if (!file.ok()) return kept;
    const auto header = read_header(**file, FileKind::redo);
    const auto size = (*file)->size();
    if (!header.ok() || !size.ok()) return kept;
    WalkLimits limits;
    limits.end = size->value();
    limits.salt = envelope_salt(header->header.salt);
    walk_records(**file, limits,
                 {.record = [&](const WalkedRecord& record) -> Status {
                      if (record.good && record.envelope.kind == RecordKind::kept)
                          if (auto body = unpack_kept(record.body)) kept = std::move(body);
                      return {};
                  },
                  .bad = [](const BadRange&) { return Status(); }})
        .status()
        .ignore("damage is said elsewhere");
    return kept;
}

bool is_named(const KeptBody& kept, std::uint64_t number) {
    if (is_condensed(number))
        return std::binary_search(kept.condensed.begin(), kept.condensed.end(), number);
    return std::any_of(kept.segments.begin(), kept.segments.end(), [&](const NumberRun& run) {
        return run.first <= number && number <= run.last;
    });
}

// The segments that there have to be: what the newest `kept` record names; without one, all from
// the oldest file to the newest.
void choose(io::FileSystem& files, const std::set<std::uint64_t>& all, DeadStore& store) {
    const auto condensed = all.lower_bound(kCondensedNumbers);
    if (condensed == all.begin()) return;
    const std::uint64_t newest = *std::prev(condensed);
    const auto kept = newest_kept(files, store.directory + "/" + file_name(FileKind::redo, newest));
    const auto add = [&](std::uint64_t number) {
        ScrubSegment segment;
        segment.number = number;
        segment.redo.sealed = number != newest;
        store.segments.push_back(segment);
    };
    for (const std::uint64_t number : all)
        if (kept && !is_named(*kept, number))
            store.notes.push_back(note(store.directory + "/" + file_name(FileKind::redo, number),
                                       "a segment that is not kept; the next start removes it"));
    std::vector<NumberRun> runs{{*all.begin(), newest}};
    if (kept) runs = kept->segments;
    for (const NumberRun& run : runs) {
        for (std::uint64_t number = run.first; number <= run.last; ++number) {
            // Names in a damaged directory may be far apart: where many are missing the first says
            // it.
            if (!all.contains(number) && number != run.first && !all.contains(number - 1)) {
                const auto next = all.upper_bound(number);
                if (next == all.end() || run.last < *next) break;
                number = *next - 1;
                continue;
            }
            add(number);
        }
    }
    if (kept)
        for (const std::uint64_t number : kept->condensed) add(number);
}

Status list(io::FileSystem& files, DeadStore& store) {
    const auto names = files.list(store.directory);
    if (!names.ok()) return names.status();
    std::set<std::uint64_t> redo;
    std::set<std::uint64_t> undo;
    for (const std::string& name : *names) {
        const std::string path = store.directory + "/" + name;
        if (is_unfinished_name(name))
            store.notes.push_back(note(path, "a file that was being made; no segment needs it"));
        if (name == kWipeMarker)
            store.notes.push_back(note(path, "the store is being dropped; the next start ends it"));
        const auto redo_number = parse_file_name(FileKind::redo, name);
        const auto undo_number = parse_file_name(FileKind::undo, name);
        if (const auto salt = parse_file_name(FileKind::merged_index, name))
            store.merged.push_back(*salt);
        if (redo_number) redo.insert(*redo_number);
        if (undo_number) undo.insert(*undo_number);
        if (redo_number || undo_number) add_bytes(files, path, store.bytes);
    }
    // The undo file of a segment is made first.
    while (!undo.empty() && !redo.empty() && *undo.rbegin() > *redo.rbegin()) {
        store.notes.push_back(
            note(store.directory + "/" + file_name(FileKind::undo, *undo.rbegin()),
                 "the file of a segment that was being made; the next start removes it"));
        undo.erase(*undo.rbegin());
    }
    std::set<std::uint64_t> all = redo;
    all.insert(undo.begin(), undo.end());
    choose(files, all, store);
    return {};
}

// Group and timelines, out of the newest segment that can be read.
void read_newest(io::FileSystem& files, DeadStore& store) {
    for (auto s = store.segments.rbegin(); s != store.segments.rend(); ++s) {
        const auto file =
            files.open(store.directory + "/" + file_name(FileKind::redo, s->number), {});
        if (!file.ok()) continue;
        const auto header = read_header(**file, FileKind::redo);
        const auto size = (*file)->size();
        if (!header.ok() || !size.ok()) continue;
        store.group = header->header.group;
        WalkLimits limits;
        limits.end = size->value();
        limits.salt = envelope_salt(header->header.salt);
        const Status enough(ErrorCode::closed, "the head was read");
        walk_records(**file, limits,
                     {.record = [&](const WalkedRecord& record) -> Status {
                          if (!record.good) return enough;
                          if (const auto head = unpack_head(record.body);
                              head && record.envelope.kind == RecordKind::head) {
                              store.timelines = head->timelines;
                              return {};
                          }
                          const auto timeline = unpack_timeline(record.body);
                          if (record.envelope.kind != RecordKind::timeline || !timeline)
                              return enough;
                          store.timelines.push_back(*timeline);
                          return {};
                      },
                      .bad = [&](const BadRange&) { return enough; }})
            .status()
            .ignore("what was read is enough; damage is said elsewhere");
        return;
    }
}

}  // namespace

Result<DeadStore> open_dead_store(io::FileSystem& files, const std::string& directory) {
    DeadStore store;
    store.directory = directory;
    while (store.directory.size() > 1 && store.directory.ends_with('/')) store.directory.pop_back();
    EVERSTEP_TRY(take_lock(files, store));
    EVERSTEP_TRY(list(files, store));
    if (store.segments.empty() && store.notes.empty() && store.lock == nullptr)
        return Status(ErrorCode::usage, directory +
                                            ": no store: wanted the directory that holds redo-.. "
                                            "files, STATE/groups/GROUP/store");
    read_newest(files, store);
    return store;
}

}  // namespace everstep::journal::tool
