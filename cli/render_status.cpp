// `everstep status`: a block for each group.
#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <fmt/format.h>

#include "cli/render.hpp"

namespace everstep::cli {
namespace {

constexpr std::array<const char*, 7> kChain = {"captured", "queued",  "sealed", "sent",
                                               "received", "durable", "applied"};

std::string field(const std::string& name, const std::string& text) {
    std::string line = "  " + name;
    line.resize(std::max(line.size() + 2, std::size_t{15}), ' ');
    return line + text + '\n';
}

// The reason of a state, on a line of its own: it may be long.
std::string why_text(const Value& of) {
    const std::string why = of.at("why").text();
    return why.empty() || why == of.at("state").text() ? "" : field("", printable(why));
}

std::string positions_text(const Value& positions) {
    Table table("rrrrrrr");
    std::vector<std::string> names, numbers;
    for (const char* const stage : kChain) {
        names.emplace_back(stage);
        numbers.push_back(or_dash(positions.at(stage)));
    }
    table.row(names);
    table.row(numbers);
    const std::string both = table.take();
    const std::size_t end = both.find('\n');
    return field("positions", both.substr(0, end)) +
           field("", both.substr(end + 1, both.size() - end - 2));
}

std::string lag_of(const Value& from) {
    const Value& steps = from.at("lag_steps");
    if (steps.is_null()) return {};
    std::string out = count_text(steps.number(), "step");
    if (!from.at("lag_bytes").is_null()) out += ", " + bytes_text(from.at("lag_bytes").number());
    if (!from.at("lag_seconds").is_null()) out += ", " + seconds_text(real(from.at("lag_seconds")));
    return out;
}

// The group's own lag, else that of the standby that is furthest behind, else what is not applied
// yet.
std::string lag_text(const Value& group) {
    if (const std::string own = lag_of(group); !own.empty()) return own;
    const Value* furthest = nullptr;
    if (const Value::List* const peers = group.at("peers").as_list()) {
        for (const Value& peer : *peers) {
            if (peer.at("lag_steps").is_null() || is_true(peer.at("joining"))) continue;
            if (furthest == nullptr ||
                peer.at("lag_steps").number() > furthest->at("lag_steps").number()) {
                furthest = &peer;
            }
        }
    }
    if (furthest != nullptr) return lag_of(*furthest);
    const Value& positions = group.at("positions");
    const std::uint64_t captured =
        std::max(positions.at("captured").number(), positions.at("received").number());
    const std::uint64_t applied = positions.at("applied").number();
    if (positions.at("applied").is_null() || captured < applied) return {};
    return count_text(captured - applied, "step") + " not applied yet";
}

std::string history_text(const Value& history) {
    if (history.as_map() == nullptr || history.at("head").is_null()) return {};
    std::string out =
        "steps " + or_dash(history.at("oldest")) + " .. " + or_dash(history.at("head"));
    const Value& gaps = history.at("gaps");
    const std::uint64_t count = gaps.as_list() != nullptr ? gaps.as_list()->size() : gaps.number();
    if (!history.at("bytes").is_null()) out += ", " + bytes_text(history.at("bytes").number());
    out += count == 0 ? ", no gap" : ", " + count_text(count, "gap");
    std::string block = field("history", out);
    if (!history.at("oldest_time").is_null()) {
        block += field(
            "", or_dash(history.at("oldest_time")) + " .. " + or_dash(history.at("head_time")));
    }
    if (gaps.as_list() != nullptr) {
        for (const Value& gap : *gaps.as_list()) block += field("", gap_text(gap));
    }
    return block;
}

std::string copy_text(const Value& copy) {
    std::string out = bytes_text(copy.at("done_bytes").number()) + " of " +
                      bytes_text(copy.at("total_bytes").number()) + " compared, " +
                      bytes_text(copy.at("differing_bytes").number()) + " differ";
    if (!copy.at("seconds_left").is_null())
        out += ", about " + seconds_text(real(copy.at("seconds_left"))) + " left";
    return out;
}

// Of the newest compare of a standby as a whole, and of one that runs.
std::string verified_text(const Value& peer) {
    std::string block;
    if (const Value& runs = peer.at("verifying"); runs.as_map() != nullptr)
        block += field("", bytes_text(runs.at("done_bytes").number()) + " of " +
                               bytes_text(runs.at("total_bytes").number()) + " verified");
    const Value& verified = peer.at("verified");
    if (verified.as_map() == nullptr) return block;
    const std::uint64_t differing = verified.at("differing_bytes").number();
    std::string out = "verified at " + or_dash(verified.at("time")) + ", step " +
                      or_dash(verified.at("lsn")) + ": ";
    out += differing == 0 ? "equal" : bytes_text(differing) + " differed";
    if (is_true(verified.at("repaired"))) out += "; repaired";
    return block + field("", out);
}

// What waits for the standbys, in memory and on disk, and how much may.
std::string backlog_text(const Value& group) {
    const Value& backlog = group.at("backlog");
    const Value::List* const peers = group.at("peers").as_list();
    if (backlog.as_map() == nullptr || peers == nullptr || peers->empty()) return {};
    const auto part = [&](const char* bytes, const char* limit) {
        return bytes_text(backlog.at(bytes).number()) + " of " +
               bytes_text(backlog.at(limit).number());
    };
    return field("backlog", part("queue_bytes", "queue_limit") + " in the queue, " +
                                part("spool_bytes", "spool_limit") + " in the spool");
}

std::string peer_text(const Value& peer) {
    std::string out = or_dash(peer.at("state"));
    if (!peer.at("replica").is_null()) out += "; " + or_dash(peer.at("replica"));
    std::string block = field("peer " + or_dash(peer.at("node")), out) + why_text(peer);
    if (const Value& copy = peer.at("copy"); copy.as_map() != nullptr)
        block += field("", copy_text(copy));
    block += verified_text(peer);
    std::string positions;
    for (const char* const stage : {"received", "durable", "applied"}) {
        if (peer.at(stage).is_null()) continue;
        positions +=
            (positions.empty() ? "" : ", ") + std::string(stage) + ' ' + or_dash(peer.at(stage));
    }
    if (const std::string lag = lag_of(peer); !lag.empty()) positions += "; behind by " + lag;
    if (!positions.empty()) block += field("", positions);
    if (is_true(peer.at("joining")))
        block += field("", "joins: counted by ack when it has caught up for the first time");
    if (!peer.at("behind_since").is_null()) {
        block += field("", "not counted by ack since step " + or_dash(peer.at("behind_since")));
    }
    if (peer.at("backlog").text() == "spool") block += field("", "what waits for it is spooled");
    if (peer.at("backlog").text() == "gap" && !is_true(peer.at("joining")))
        block += field("", printable("order was lost: " + peer.at("compare").text()));
    if (const Value& bytes = peer.at("may_differ_bytes"); !bytes.is_null())
        block += field("", "after a crash up to " + bytes_text(bytes.number()) + " are compared");
    return block;
}

std::string volume_text(const Value& volume) {
    const Value& size = volume.at("size");
    std::string out = size.is_null() ? "size not known" : bytes_text(size.number());
    out += ", " + or_dash(volume.at("device"));
    if (!volume.at("capture").is_null()) out += ", " + or_dash(volume.at("capture"));
    if (!volume.at("uri").is_null()) out += ", " + or_dash(volume.at("uri"));
    const Value& read = volume.at("read_in");
    if (!read.is_null())
        out += ", added: " + bytes_text(read.at("done_bytes").number()) + " of it read in";
    if (read.is_null() && !volume.at("whole").is_null() && !is_true(volume.at("whole")))
        out += ", added: the history has not all of it yet";
    return field("volume " + or_dash(volume.at("name")), out);
}

std::string export_text(const Value& one) {
    std::string out = "step " + or_dash(one.at("lsn"));
    if (!is_true(one.at("writable"))) {
        out += ", read-only";
    } else {
        out += ", a branch from step " + or_dash(one.at("base_lsn"));
        if (!one.at("mount").is_null()) out += ", mounted on " + or_dash(one.at("mount"));
    }
    if (!one.at("failed").is_null()) out += ", not served: " + or_dash(one.at("failed"));
    std::string block = field("export " + or_dash(one.at("id")), out);
    if (const Value::Map* const uris = one.at("uris").as_map())
        for (const auto& [volume, uri] : *uris) block += field("", volume + " " + or_dash(uri));
    return block;
}

std::string restore_text(const Value& restore) {
    if (restore.as_map() == nullptr) return {};
    const bool undo = is_true(restore.at("undo"));
    std::string out = undo ? "back to step " + or_dash(restore.at("before"))
                           : "to step " + or_dash(restore.at("to")) + ", begun behind step " +
                                 or_dash(restore.at("before"));
    out += ", from " + or_dash(restore.at("node"));
    if (!restore.at("volume").is_null()) out += ", volume " + or_dash(restore.at("volume"));
    if (!restore.at("total").is_null())
        out += ": " + bytes_text(restore.at("done").number()) + " of " +
               bytes_text(restore.at("total").number()) + " compared";
    return field("restore", out);
}

constexpr std::size_t kTimelinesShown = 16;

// The tree of them, where there are several: each below the one that it branched from.
std::string timelines_text(const Value& group) {
    const Value::List* const list = group.at("timelines").as_list();
    if (list == nullptr || list->size() < 2) return {};
    std::map<std::string, std::vector<const Value*>> children;  // by parent; parents come first
    std::set<std::string> known;
    for (const Value& one : *list) known.insert(one.at("timeline").text());
    for (const Value& one : *list) {
        const std::string parent = one.at("parent").text();
        children[known.contains(parent) ? parent : ""].push_back(&one);
    }
    std::vector<std::string> lines;
    const auto add = [&](const auto& self, const std::string& parent, std::size_t depth) -> void {
        for (const Value* one : children[parent]) {
            const std::string id = one->at("timeline").text();
            std::string line(2 * depth, ' ');
            line += or_dash(one->at("timeline_number")) + " (" + printable(short_id(id)) + ')';
            if (!one->at("from").is_null()) line += ", from step " + or_dash(one->at("from"));
            if (!one->at("node").text().empty()) line += ", by " + or_dash(one->at("node"));
            if (is_true(one->at("current"))) line += "; the group's line";
            lines.push_back(std::move(line));
            self(self, id, depth + 1);
        }
    };
    add(add, "", 0);
    const std::size_t left_out = lines.size() - std::min(lines.size(), kTimelinesShown);
    std::string out;
    if (left_out > 0)
        out = field("timelines", count_text(left_out, "older one") + "; all of them: --json");
    for (std::size_t n = left_out; n < lines.size(); ++n)
        out += field(out.empty() ? "timelines" : "", lines[n]);
    return out;
}

std::string compression_text(const Value& compression) {
    if (compression.as_map() == nullptr || compression.at("setting").text() == "off") return {};
    std::string out = or_dash(compression.at("setting"));
    if (!is_true(compression.at("working"))) out += ", not now";
    if (!compression.at("ratio").is_null())
        out += fmt::format(", {:.1f} : 1", real(compression.at("ratio")));
    return field("compression", out);
}

std::string group_text(const Value& group) {
    std::string out = or_dash(group.at("name")) + ": " + or_dash(group.at("role")) + ", " +
                      or_dash(group.at("state")) + '\n' + why_text(group);
    const std::string number = or_dash(group.at("timeline_number"));
    std::string line = group.at("timeline").is_null()
                           ? std::string("none yet")
                           : number + " (" + short_id(group.at("timeline").text()) + ')';
    out += field("timeline", line) + timelines_text(group);
    if (!group.at("ack_in_force").is_null()) {
        out += field("ack", or_dash(group.at("ack_in_force")) + " in force");
    }
    out += compression_text(group.at("compression"));
    if (!group.at("held_at").is_null()) {
        out += field("held", "at step " + or_dash(group.at("held_at")) + ", head is " +
                                 or_dash(group.at("history").at("head")) +
                                 "; everstep resume applies again");
    }
    out += restore_text(group.at("restore"));
    if (group.at("positions").as_map() != nullptr) out += positions_text(group.at("positions"));
    if (const std::string lag = lag_text(group); !lag.empty()) out += field("lag", lag);
    out += backlog_text(group);
    out += history_text(group.at("history"));
    if (const Value::List* const peers = group.at("peers").as_list()) {
        for (const Value& peer : *peers) out += peer_text(peer);
    }
    if (const Value::List* const volumes = group.at("volumes").as_list()) {
        for (const Value& volume : *volumes) out += volume_text(volume);
    }
    if (const Value::List* const exports = group.at("exports").as_list()) {
        for (const Value& one : *exports) out += export_text(one);
    }
    return out;
}

}  // namespace

std::string status_text(const Value& body) {
    std::string out = "node " + or_dash(body.at("node")) + '\n';
    const Value::List* const groups = body.at("groups").as_list();
    if (groups == nullptr || groups->empty()) return out + "no group\n";
    for (const Value& group : *groups) out += '\n' + group_text(group);
    return out;
}

}  // namespace everstep::cli
