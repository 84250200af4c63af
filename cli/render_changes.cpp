// What a command changed, as one sentence with its figures.
#include "cli/render.hpp"

namespace everstep::cli {
namespace {

bool dry(const Invocation& invocation) {
    return invocation.request.arguments.contains("dry_run");
}

std::string argument(const Invocation& invocation, const std::string& key) {
    const auto found = invocation.request.arguments.find(key);
    return found == invocation.request.arguments.end() ? std::string() : found->second;
}

std::string gaps_text(const Value& gaps) {
    std::string out;
    if (gaps.as_list() == nullptr) return out;
    for (const Value& gap : *gaps.as_list()) out += "  crosses a " + gap_text(gap) + '\n';
    return out;
}

std::string move_text(const Invocation& invocation, const Value& body) {
    const std::string group = "the replica of " + argument(invocation, "group");
    const bool only_said = dry(invocation);
    std::string out = group + (only_said ? " would go" : " went") + " from step " +
                      or_dash(body.at("from")) + " to step " + or_dash(body.at("lsn")) + ": " +
                      count_text(body.at("blocks").number(), "block") + ", " +
                      bytes_text(body.at("bytes").number());
    out += only_said ? " to write" : " written";
    if (only_said) {
        const Value& about = body.at("about_seconds");
        if (!about.is_null()) out += ", in about " + seconds_text(real(about));
    } else {
        const double seconds = real(body.at("seconds"));
        out += " in " + seconds_text(seconds);
        const double bytes = real(body.at("bytes"));
        if (seconds > 0 && bytes > 0 && bytes / seconds < 1e18) {
            out += " (" + bytes_text(static_cast<std::uint64_t>(bytes / seconds)) + "/s)";
        }
    }
    if (!only_said && invocation.command->name == "rewind") {
        out += "; applying is held until everstep resume " + argument(invocation, "group");
    }
    return out + '\n' + gaps_text(body.at("gaps"));
}

std::string branch_text(const Value& body) {
    return "export " + or_dash(body.at("id")) + " went from step " + or_dash(body.at("from")) +
           " to step " + or_dash(body.at("lsn")) + "; what is written there next is timeline " +
           printable(short_id(body.at("timeline").text())) + "\n";
}

std::string takeover_text(const Invocation& invocation, const Value& body) {
    const std::string group = argument(invocation, "group");
    std::string out = dry(invocation) ? "this node would take over " + group
                                      : "this node is the primary of " + group;
    out += " at step " + or_dash(body.at("lsn"));
    if (!body.at("timeline_number").is_null()) {
        out += ", timeline " + or_dash(body.at("timeline_number"));
        if (!body.at("timeline").is_null()) {
            out += " (" + printable(short_id(body.at("timeline").text())) + ')';
        }
    }
    out += "; lost: ";
    out += body.at("lost_steps").is_null() ? "not known"
                                           : count_text(body.at("lost_steps").number(), "step");
    if (!body.at("lost_seconds").is_null())
        out += ", " + seconds_text(real(body.at("lost_seconds")));
    out += '\n' + uris_text(body.at("uris"), "  ");
    if (const Value::List* const not_served = body.at("not_served").as_list())
        for (const Value& volume : *not_served)
            out += "  " + or_dash(volume) +
                   " is not served: it was added, and the step has not all of it\n";
    return out;
}

// Where a restore goes: a step, or what a file holds.
std::string restore_goal(const Invocation& invocation, const Value& body) {
    const std::string file = argument(invocation, "from");
    return file.empty() ? "step " + or_dash(body.at("to")) : "the content of " + file;
}

std::string restore_text(const Invocation& invocation, const Value& body) {
    const std::string group = argument(invocation, "group");
    const std::string bytes = bytes_text(body.at("bytes").number());
    const std::string goal = restore_goal(invocation, body);
    const std::uint64_t before = body.at("before").number();
    const std::uint64_t last = body.at("lsn").number();
    if (dry(invocation))
        return "a restore of " + group + " to " + goal + " would write " + bytes + " in " +
               count_text(body.at("extents").number(), "extent") + ", behind step " +
               or_dash(body.at("before")) + " or a later one\n";
    if (body.at("extents").number() == 0 && body.at("bytes").number() == 0 && last == before)
        return group + " stands at " + goal + " already: nothing was written\n";
    std::string out = group + " is back at " + goal + ": " + bytes + " written as one batch, step" +
                      (last == before + 1 ? " " : "s " + std::to_string(before + 1) + " to ") +
                      or_dash(body.at("lsn")) + ", in " + seconds_text(real(body.at("seconds")));
    if (is_true(body.at("undo"))) return out + "; the restore is undone\n";
    return out + "; everstep restore " + group + " step:" + or_dash(body.at("before")) +
           " undoes it\n";
}

std::string mark_text(const Value& body) {
    return "mark " + or_dash(body.at("name")) + " stands at step " + or_dash(body.at("lsn")) +
           " (" + or_dash(body.at("consistency")) +
           (is_true(body.at("pinned")) ? ", pinned)\n" : ")\n");
}

std::string adopt_text(const Invocation& invocation, const Value& body) {
    const std::string from = argument(invocation, "from");
    const std::string group = argument(invocation, "group");
    if (body.at("role").text() == "standby" && !from.empty())
        return "this node is a standby of " + group + " now; " + from +
               " copies its data here, `everstep status " + group + "` shows how far it is\n";
    std::string out = "group " + group + ": this node is " + or_dash(body.at("role"));
    if (!body.at("timeline").is_null()) {
        out += ", timeline " + printable(short_id(body.at("timeline").text()));
    }
    if (!body.at("lsn").is_null()) out += ", step " + or_dash(body.at("lsn"));
    return out + '\n';
}

std::string range_text(const Value& first, const Value& last) {
    if (first.is_null() && last.is_null()) return {};
    if (first.is_null()) return ", hits steps up to " + or_dash(last);
    if (last.is_null()) return ", hits steps from " + or_dash(first) + " on";
    if (first.number() == last.number()) return ", hits step " + or_dash(first);
    return ", hits steps " + or_dash(first) + " to " + or_dash(last);
}

std::string damage_text(const Value& damage) {
    std::string out = "damage: " + printable(damage.at("file").text()) + ": offset " +
                      or_dash(damage.at("offset")) + ", " +
                      count_text(damage.at("length").number(), "byte") + ": " +
                      printable(damage.at("what").text()) +
                      range_text(damage.at("first"), damage.at("last")) + '\n';
    const Value::List* const extents = damage.at("extents").as_list();
    if (extents == nullptr) return out;
    for (const Value& extent : *extents)
        out += "  volume " + or_dash(extent.at("volume")) + ": offset " +
               or_dash(extent.at("offset")) + ", " + bytes_text(extent.at("length").number()) +
               '\n';
    return out;
}

std::string scrub_text(const Invocation& invocation, const Value& body) {
    std::string out;
    if (const Value::List* const list = body.at("damage").as_list())
        for (const Value& damage : *list) out += damage_text(damage);
    const double seconds = real(body.at("seconds"));
    const std::uint64_t damages = body.at("damages").number();
    const std::uint64_t before = body.at("damages_before").number();
    out += "the history of " + argument(invocation, "group") + ": " +
           count_text(body.at("segments").number(), "segment") + ", " +
           bytes_text(body.at("bytes").number()) + " checked in " + seconds_text(seconds);
    if (!body.at("resumed_at").is_null())
        out += ", from segment " + or_dash(body.at("resumed_at")) + " on";
    out += damages == 0 ? ": no damage" : ": " + count_text(damages, "damaged place");
    if (before > 0) out += "; " + std::to_string(before) + " before it was cut short";
    return out + '\n';
}

std::string verify_text(const Value& body) {
    std::string out;
    const Value::List* const standbys = body.at("standbys").as_list();
    if (standbys == nullptr) return out;
    for (const Value& one : *standbys) {
        if (!one.at("error").is_null()) continue;  // stderr says it
        const std::uint64_t differing = one.at("differing_bytes").number();
        out += or_dash(one.at("node")) + ": " + bytes_text(one.at("compared_bytes").number()) +
               " compared, ";
        if (differing == 0) {
            out += "all equal\n";
            continue;
        }
        out += bytes_text(differing) + " differ at step " + or_dash(one.at("lsn")) +
               (is_true(one.at("repaired")) ? ", repaired\n" : "\n");
        for (const Value& extent : *one.at("extents").as_list())
            out += "  volume " + or_dash(extent.at("volume")) + ": offset " +
                   or_dash(extent.at("offset")) + ", " + bytes_text(extent.at("length").number()) +
                   '\n';
        if (const std::uint64_t more = one.at("extents_not_listed").number(); more > 0)
            out += "  and " + count_text(more, "extent") + " more\n";
    }
    return out;
}

}  // namespace

std::string change_text(const Invocation& invocation, const Value& body) {
    const std::string_view name = invocation.command->name;
    const std::string group = argument(invocation, "group");
    if (name == "rewind" && !body.at("id").is_null()) return branch_text(body);
    if (name == "rewind" || name == "resume") return move_text(invocation, body);
    if (name == "takeover") return takeover_text(invocation, body);
    if (name == "restore") return restore_text(invocation, body);
    if (name == "adopt") return adopt_text(invocation, body);
    if (name == "mark") return mark_text(body);
    if (name == "verify") return verify_text(body);
    if (name == "scrub") return scrub_text(invocation, body);
    if (name == "unmark") return "mark " + argument(invocation, "name") + " is removed\n";
    if (name == "unexport") return "export " + argument(invocation, "id") + " is ended\n";
    if (name == "pause") return "the link of " + group + " is paused\n";
    if (name == "unpause") return "the link of " + group + " may come up again\n";
    return {};
}

}  // namespace everstep::cli
