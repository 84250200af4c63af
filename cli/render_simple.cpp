// The lists and short answers: marks, exports, diff, export, mount, umount, backup, gaps.
#include "cli/render.hpp"

namespace everstep::cli {
namespace {

const Value::List& items(const Value& list) {
    static const Value::List kNone;
    return list.as_list() != nullptr ? *list.as_list() : kNone;
}

std::string timeline_of(const Value& body) {
    return printable(short_id(body.at("timeline").text()));
}

std::string mounted_text(const Value& item) {
    const Value& mount = item.at("mount");
    return mount.is_null() ? std::string() : ", mounted on " + printable(mount.text());
}

}  // namespace

std::string gap_text(const Value& gap) {
    const bool batch = is_true(gap.at("batch"));
    std::string out =
        std::string(batch ? "batch" : "gap") + ": after step " + or_dash(gap.at("from"));
    out += gap.at("to").is_null() ? ", still open" : " up to step " + or_dash(gap.at("to"));
    if (!gap.at("reason").is_null()) out += ", " + printable(gap.at("reason").text());
    if (!gap.at("bytes").is_null())
        out += ", " + bytes_text(gap.at("bytes").number()) + (batch ? " written" : " differ");
    return out;
}

std::string uris_text(const Value& uris, const std::string& indent) {
    Table table("ll");
    if (const Value::Map* const map = uris.as_map()) {
        for (const auto& [volume, uri] : *map) table.row({printable(volume), or_dash(uri)});
    }
    for (const Value& uri : items(uris)) table.line(or_dash(uri));
    return table.take(indent);
}

std::string marks_text(const Value& list) {
    if (items(list).empty()) return "no mark\n";
    Table table("lrlll");
    table.row({"NAME", "STEP", "TIMELINE", "CONSISTENCY", "PINNED"});
    for (const Value& mark : items(list)) {
        table.row({or_dash(mark.at("name")), or_dash(mark.at("lsn")), timeline_of(mark),
                   or_dash(mark.at("consistency")), is_true(mark.at("pinned")) ? "yes" : "no"});
    }
    return table.take();
}

std::string exports_text(const Value& list) {
    if (items(list).empty()) return "no export\n";
    Table table("llrllll");
    table.row({"ID", "GROUP", "STEP", "TIMELINE", "WRITABLE", "VOLUME", "URI"});
    for (const Value& item : items(list)) {
        const Value::Map* const uris = item.at("uris").as_map();
        if (uris == nullptr) continue;
        if (!item.at("failed").is_null()) {
            table.row({or_dash(item.at("id")), or_dash(item.at("group")), or_dash(item.at("lsn")),
                       timeline_of(item), "yes", "-",
                       "not served: " + printable(item.at("failed").text())});
        }
        for (const auto& [volume, uri] : *uris) {
            table.row({or_dash(item.at("id")), or_dash(item.at("group")), or_dash(item.at("lsn")),
                       timeline_of(item), is_true(item.at("writable")) ? "yes" : "no",
                       printable(volume), or_dash(uri) + mounted_text(item)});
        }
    }
    return table.take();
}

std::string diff_text(const Value& list) {
    if (items(list).empty()) return "the two points are equal\n";
    Table table("lrr");
    table.row({"VOLUME", "OFFSET", "LENGTH"});
    std::uint64_t bytes = 0;
    for (const Value& extent : items(list)) {
        table.row({or_dash(extent.at("volume")), or_dash(extent.at("offset")),
                   or_dash(extent.at("length"))});
        bytes += extent.at("length").number();
    }
    return table.take() + count_text(items(list).size(), "extent") + ", " + bytes_text(bytes) +
           " differ\n";
}

std::string mount_text(const Value& body) {
    const std::string directory = or_dash(body.at("directory"));
    const bool writable = is_true(body.at("writable"));
    std::string out = "step " + or_dash(body.at("lsn")) + " of timeline " + timeline_of(body) +
                      ", volume " + or_dash(body.at("volume")) + ", is mounted on " + directory +
                      (writable ? ", writable: " : ", read-only: ");
    out += or_dash(body.at("filesystem")) + " on " + or_dash(body.at("device")) + ", export " +
           or_dash(body.at("id")) + ", in " + seconds_text(real(body.at("seconds"))) + '\n';
    out += "`everstep umount " + directory + "` ends it";
    return out + (writable ? "; what is written there goes with it, without --keep\n" : "\n");
}

std::string umount_text(const Value& body) {
    std::string ids;
    for (const Value& id : items(body.at("ids"))) ids += (ids.empty() ? "" : ", ") + or_dash(id);
    const std::string what = ids.empty() ? "no export was left of it" : "export " + ids;
    std::string out = or_dash(body.at("directory")) + " is unmounted; " + what;
    if (!ids.empty()) out += is_true(body.at("kept")) ? " is kept" : " is ended";
    return out + '\n';
}

std::string backup_text(const Value& body) {
    std::string out =
        "step " + or_dash(body.at("lsn")) + " of timeline " + timeline_of(body) + ", volume " +
        or_dash(body.at("volume")) + " of " + bytes_text(body.at("size").number()) + ", is in " +
        printable(body.at("file").text()) + ": " + or_dash(body.at("format")) + ", " +
        bytes_text(body.at("read").number()) + " read, " + bytes_text(body.at("written").number()) +
        " written, in " + seconds_text(real(body.at("seconds"))) + '\n';
    if (body.at("base").is_null()) return out;
    return out + "it lies over " + printable(body.at("base").text()) + ", step " +
           or_dash(body.at("since").at("lsn")) + "; keep both\n";
}

std::string export_text(const Value& body, bool quiet) {
    if (quiet) return or_dash(body.at("uri")) + '\n';
    std::string out = "export " + or_dash(body.at("id")) + " serves step " +
                      or_dash(body.at("lsn")) + " of timeline " + timeline_of(body);
    out += is_true(body.at("writable")) ? ", writable:\n" : ", read-only:\n";
    const std::string uris = uris_text(body.at("uris"), "  ");
    out += uris.empty() ? "  " + or_dash(body.at("uri")) + '\n' : uris;
    for (const Value& volume : items(body.at("left_out")))
        out +=
            "  " + or_dash(volume) + " is left out: it was added, and the step has not all of it\n";
    return out;
}

}  // namespace everstep::cli
