#include "journal/tool/dump.hpp"

#include <fmt/format.h>

#include "journal/record_scan.hpp"

namespace everstep::journal::tool {
namespace {

class Dump {
  public:
    Dump(io::FileSystem& files, const DumpOptions& options, Surroundings& surroundings)
        : files_(files), options_(options), out_(surroundings.out) {}

    void file(const std::string& path, FileKind kind, bool sealed) {
        path_ = path;
        const auto file = files_.open(path, {});
        if (!file.ok()) return say("error", 0, 0, file.status().message());
        const auto size = (*file)->size();
        if (!size.ok()) return say("error", 0, 0, size.status().message());
        WalkLimits limits;
        limits.end = size->value();
        if (sealed) limits.synced_to = limits.end;
        const auto header = read_header(**file, kind);
        if (header.ok()) {
            limits.salt = envelope_salt(header->header.salt);
            limits.header_crc = header->crc;
            header_line(header->header);
        } else {
            say("damage", 0, std::min(size->value(), kFileHeaderBytes), header.status().message());
        }
        const auto end = walk_records(**file, limits,
                                      {.record = [&](const WalkedRecord& r) { return record(r); },
                                       .bad = [&](const BadRange& r) { return bad(r); }});
        if (!end.ok()) say("error", 0, 0, end.status().message());
    }

  private:
    void header_line(const FileHeader& header) {
        Value value = place("header", 0, kFileHeaderBytes);
        value.set("segment", header.segment);
        value.set("group", header.group.hex());
        value.set("salt", header.salt.hex());
        value.set("timeline", header.timeline.hex());
        value.set("first_lsn", header.first.lsn.value());
        value.set("first_n", header.first.sub);
        value.set("file_bytes", header.file_bytes.value());
        print(value);
    }
    Status record(const WalkedRecord& record) {
        const Envelope& e = record.envelope;
        Value value = place(kind_name(e.kind), e.offset.value(),
                            kEnvelopeBytes + std::uint64_t{e.body_bytes});
        value.set("sequence", e.sequence);
        value.set("synced_to", e.synced_to.value());
        if (!record.joined) value.set("joined", false);
        if (!record.good) value.set("damage", "the body fails its checksum");
        const Value body = record.good ? body_value(record) : Value::map();
        for (const auto& [key, item] : *body.as_map()) value.set(key, item);
        print(value);
        return {};
    }
    Status bad(const BadRange& range) {
        say(range.torn ? "torn" : "damage", range.at.value(), range.length.value(), range.what);
        return {};
    }
    void say(const char* kind, std::uint64_t at, std::uint64_t length, const std::string& what) {
        Value value = place(kind, at, length);
        value.set("what", what);
        print(value);
    }
    [[nodiscard]] Value place(const std::string& kind, std::uint64_t at,
                              std::uint64_t length) const {
        Value value = Value::map();
        value.set("file", path_);
        value.set("offset", at);
        value.set("kind", kind);
        value.set("bytes", length);
        return value;
    }
    void print(const Value& value) {
        out_ << (options_.json ? json_text(value) + '\n' : value_text(value));
    }

    io::FileSystem& files_;
    const DumpOptions& options_;
    std::ostream& out_;
    std::string path_;
};

}  // namespace

Status dump(io::FileSystem& files, const DeadStore& store, const DumpOptions& options,
            Surroundings& surroundings) {
    Dump work(files, options, surroundings);
    bool found = !options.segment.has_value();
    for (const ScrubSegment& segment : store.segments) {
        if (options.segment && *options.segment != segment.number) continue;
        found = true;
        for (const FileKind kind : {FileKind::redo, FileKind::undo})
            work.file(store.directory + "/" + file_name(kind, segment.number), kind,
                      kind == FileKind::redo && segment.redo.sealed);
    }
    if (found) return {};
    return {ErrorCode::not_found,
            fmt::format("{}: no segment {}", store.directory, *options.segment)};
}

}  // namespace everstep::journal::tool
