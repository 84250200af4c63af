#include "journal/tool/check.hpp"

#include <fmt/format.h>

#include "journal/merged_check.hpp"
#include "journal/tool/catalogue_check.hpp"

namespace everstep::journal::tool {
namespace {

struct Findings {
    std::vector<Finding> damages;
    std::vector<Finding> notes;
    void add(const Finding& finding) { (finding.damage ? damages : notes).push_back(finding); }
};

Value values(const std::vector<Finding>& findings) {
    Value list = Value::list();
    for (const Finding& finding : findings) list.push(finding_value(finding));
    return list;
}

void print(const Findings& findings, Surroundings& surroundings) {
    for (const Finding& finding : findings.damages)
        surroundings.out << "damage: " << printable(describe(finding, {})) << '\n';
    for (const Finding& finding : findings.notes)
        surroundings.out << "note: " << printable(describe(finding, {})) << '\n';
}

Finding does_not_open(const DeadStore& store, const Status& why) {
    Finding finding;
    finding.file = store.directory;
    finding.what = "the store does not open: " + why.message();
    return finding;
}

// What can be seen only over all files together: opening knows it.
void check_opening(io::FileSystem& files, const DeadStore& store, Findings& findings) {
    const auto read = read_segments(files, store);
    if (!read.ok()) return findings.add(does_not_open(store, read.status()));
    for (const Finding& finding : check_catalogue(files, store, *read)) findings.add(finding);
}

std::vector<Finding> check_merged_indexes(io::FileSystem& files, const DeadStore& store) {
    StoreOptions options;
    options.directory = store.directory;
    options.group = store.group;
    options.volume_bytes = any_volumes();
    IndexCache indexes(files, options);
    std::vector<Finding> out;
    for (const std::uint64_t salt : store.merged)
        if (auto finding = check_merged({files, indexes, options}, salt))
            out.push_back(std::move(*finding));
    return out;
}

Status damage_status(const DeadStore& store, std::size_t count) {
    if (count == 0) return {};
    return {ErrorCode::corrupt,
            fmt::format("{}: {} damage{} found", store.directory, count, count == 1 ? "" : "s")};
}

// What is done with what was made again of a segment.
using Each = std::function<Status(const ScrubSegment&, const ScrubbedSegment&)>;

Status scrub_all(io::FileSystem& files, const DeadStore& store, const ScrubHooks& hooks,
                 const Each& each) {
    Scrub scrub(files, store.directory, hooks);
    scrub.know(store.timelines);
    for (const ScrubSegment& segment : store.segments) {
        const auto done = scrub.segment(segment);
        if (!done.ok()) return done.status();
        EVERSTEP_TRY(each(segment, *done));
    }
    return {};
}

class Rebuild {
  public:
    Rebuild(io::FileSystem& files, const DeadStore& store) : files_(files), store_(store) {}

    Status take(const ScrubSegment& segment, const ScrubbedSegment& made) {
        const IndexedFile redo{made.group, segment.number, made.redo_salt, any_volumes()};
        const IndexedFile undo{made.group, segment.number, made.undo_salt, any_volumes()};
        if (made.redo)
            EVERSTEP_TRY(write(FileKind::redo_index, redo, pack_redo_index(redo, *made.redo)));
        if (made.undo)
            EVERSTEP_TRY(write(FileKind::undo_index, undo, pack_undo_index(undo, *made.undo)));
        return {};
    }
    // Of a store that opens.
    Status put_catalogue(Findings& findings) {
        const auto read = read_segments(files_, store_);
        if (!read.ok()) return findings.add(does_not_open(store_, read.status())), Status();
        const auto changed = rebuild_catalogue(files_, store_, *read);
        if (!changed.ok()) return changed.status();
        catalogued = read->entries.size();
        catalogue_written = *changed;
        return {};
    }
    Value written = Value::list();
    std::uint64_t kept = 0;
    // The store makes them again.
    Status remove_bad_merged() {
        for (const Finding& finding : check_merged_indexes(files_, store_)) {
            EVERSTEP_TRY(files_.remove(finding.file));
            removed.push(finding.file);
        }
        return {};
    }
    Value removed = Value::list();
    std::uint64_t catalogued = 0;  // segments
    bool catalogue_written = false;

  private:
    Status write(FileKind kind, const IndexedFile& of, const BodyBytes& content) {
        const std::string path = store_.directory + "/" + file_name(kind, of.segment);
        const auto found = read_index(files_, path);
        if (found.ok() && std::equal(found->bytes().begin(), found->bytes().end(), content.begin(),
                                     content.end())) {
            ++kept;
            return {};
        }
        const IndexPath paths{path, store_.directory + "/" + unfinished_name(kind, of.segment)};
        EVERSTEP_TRY(write_index(files_, paths, content));
        Value value = Value::map();
        value.set("file", path);
        value.set("bytes", std::uint64_t{content.size()});
        written.push(std::move(value));
        return {};
    }

    io::FileSystem& files_;
    const DeadStore& store_;
};

bool of_an_index(const Finding& finding) {
    return finding.file.find("-index-") != std::string::npos;
}

}  // namespace

Status verify(io::FileSystem& files, const DeadStore& store, bool json,
              Surroundings& surroundings) {
    Findings findings;
    for (const Finding& note : store.notes) findings.add(note);
    {
        Progress progress(surroundings, store.bytes);
        const ScrubHooks hooks{.found = [&](const Finding& f) { findings.add(f); },
                               .go_on =
                                   [&](ByteCount bytes) {
                                       progress.add(bytes.value());
                                       return true;
                                   }};
        EVERSTEP_TRY(
            scrub_all(files, store, hooks, [](const auto&, const auto&) { return Status(); }));
        if (findings.damages.empty() && !store.segments.empty())
            check_opening(files, store, findings);
        for (const Finding& finding : check_merged_indexes(files, store)) findings.add(finding);
    }
    if (json) {
        Value out = Value::map();
        out.set("directory", store.directory);
        out.set("segments", std::uint64_t{store.segments.size()});
        out.set("bytes", store.bytes);
        out.set("damage", values(findings.damages));
        out.set("notes", values(findings.notes));
        surroundings.out << json_text(out) << '\n';
    } else {
        print(findings, surroundings);
        surroundings.out << fmt::format("{}: {} segments, {} bytes: {}\n", store.directory,
                                        store.segments.size(), store.bytes,
                                        findings.damages.empty() ? "no damage" : "damaged");
    }
    return damage_status(store, findings.damages.size());
}

Status rebuild(io::FileSystem& files, const DeadStore& store, bool json,
               Surroundings& surroundings) {
    Findings findings;
    Rebuild work(files, store);
    {
        Progress progress(surroundings, store.bytes);
        // A bad index is what this is here to mend.
        const ScrubHooks hooks{.found =
                                   [&](const Finding& f) {
                                       if (f.damage && !of_an_index(f)) findings.add(f);
                                   },
                               .go_on =
                                   [&](ByteCount bytes) {
                                       progress.add(bytes.value());
                                       return true;
                                   }};
        EVERSTEP_TRY(scrub_all(files, store, hooks,
                               [&](const ScrubSegment& segment, const ScrubbedSegment& made) {
                                   return work.take(segment, made);
                               }));
    }
    EVERSTEP_TRY(work.remove_bad_merged());
    // Damaged segments are left out of no catalogue: there is none until they are mended.
    if (findings.damages.empty() && !store.segments.empty())
        EVERSTEP_TRY(work.put_catalogue(findings));
    const Value::List& written = *work.written.as_list();
    if (json) {
        Value out = Value::map();
        out.set("directory", store.directory);
        out.set("written", work.written);
        out.set("kept", work.kept);
        out.set("removed", work.removed);
        out.set(
            "catalogue",
            Value::map().set("segments", work.catalogued).set("written", work.catalogue_written));
        out.set("damage", values(findings.damages));
        surroundings.out << json_text(out) << '\n';
    } else {
        for (const Value& one : written)
            surroundings.out << "wrote " << one.at("file").text() << ", " << one.at("bytes").text()
                             << " bytes\n";
        for (const Value& one : *work.removed.as_list())
            surroundings.out << "removed " << one.text()
                             << ": a merged index that was not right; it is made again\n";
        print(findings, surroundings);
        surroundings.out << fmt::format("{}: {} index files written, {} were right\n",
                                        store.directory, written.size(), work.kept);
        if (findings.damages.empty())
            surroundings.out << fmt::format("{}: the catalogue of {} sealed segments {}\n",
                                            store.directory, work.catalogued,
                                            work.catalogue_written ? "was written" : "was right");
    }
    return damage_status(store, findings.damages.size());
}

}  // namespace everstep::journal::tool
