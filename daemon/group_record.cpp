#include "daemon/group_record.hpp"

#include <charconv>
#include <sstream>

#include <fmt/format.h>

#include "common/base/checksum.hpp"

namespace everstep::daemon {

namespace {

// The words of one line; every get checks, the first failure sticks.
class Words {
  public:
    explicit Words(std::string_view line) : stream_(std::string(line)) {}
    std::string text() {
        std::string word;
        if (!(stream_ >> word)) failed_ = true;
        return word == "-" ? "" : word;
    }
    template <class T = std::uint64_t>
    T number() {
        const std::string word = text();
        T value{};
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
        if (error != std::errc() || end != word.data() + word.size()) failed_ = true;
        return value;
    }
    Uuid uuid() {
        Uuid id;
        if (!Uuid::parse(text(), id)) failed_ = true;
        return id;
    }
    std::string rest() {
        std::string line;
        std::getline(stream_ >> std::ws, line);
        return line == "-" ? "" : line;
    }
    [[nodiscard]] bool failed() const { return failed_; }

  private:
    std::istringstream stream_;
    bool failed_ = false;
};

std::string word(const std::string& text) {
    return text.empty() ? "-" : text;
}
Hash128 to_hash(const Uuid& id) {
    return id.bytes();
}

void read_volume(Words& words, GroupRecord& record) {
    VolumeRecord volume;
    volume.name = words.text();
    volume.id = words.uuid();
    volume.size = ByteCount(words.number());
    volume.identity.device = words.number();
    volume.identity.inode = words.number();
    volume.identity.birth_ns = words.number<std::int64_t>();
    volume.identity.size_bytes = words.number();
    volume.samples = to_hash(words.uuid());
    volume.sampled_data = words.number<std::uint32_t>();
    volume.identity.serial = words.rest();
    record.volumes.push_back(std::move(volume));
}

// Behind the line of its volume.
bool read_whole_from(Words& words, GroupRecord& record) {
    const std::string name = words.text();
    if (record.volumes.empty() || record.volumes.back().name != name) return false;
    Point& at = record.volumes.back().whole_from.emplace();
    at.timeline = words.uuid();
    at.lsn = Lsn(words.number());
    return true;
}

void read_restore(Words& words, GroupRecord& record) {
    RestoreRecord restore;
    restore.before.timeline = words.uuid();
    restore.before.lsn = Lsn(words.number());
    restore.to.timeline = words.uuid();
    restore.to.lsn = Lsn(words.number());
    restore.undo = words.number() != 0;
    restore.node = words.text();
    restore.volume = words.text();
    record.restore = std::move(restore);
}

void read_timeline(Words& words, GroupRecord& record) {
    journal::TimelineInfo timeline;
    timeline.id = words.uuid();
    timeline.parent = words.uuid();
    timeline.branch_lsn = Lsn(words.number());
    timeline.branch_hash = to_hash(words.uuid());
    timeline.branch_seq = FrameSeq(words.number());
    timeline.number = words.number<std::uint32_t>();
    timeline.node = words.rest();
    record.timelines.push_back(std::move(timeline));
}

void read_peer(Words& words, GroupRecord& record) {
    PeerRecord peer;
    const std::string name = words.text();
    const std::string behind = words.text();
    if (!behind.empty()) peer.behind_since = Lsn(std::strtoull(behind.c_str(), nullptr, 10));
    peer.compare = words.rest();
    record.peers[name].behind_since = peer.behind_since;
    record.peers[name].compare = std::move(peer.compare);
}

void read_proved(Words& words, GroupRecord& record) {
    Point proved;
    const std::string name = words.text();
    proved.timeline = words.uuid();
    proved.lsn = Lsn(words.number());
    record.peers[name].proved = proved;
}

void read_joining(Words& words, GroupRecord& record) {
    const std::string name = words.text();
    record.peers[name].joining = true;
}

void read_verified(Words& words, GroupRecord& record) {
    VerifyRecord verified;
    const std::string name = words.text();
    verified.at = WallTime(std::chrono::nanoseconds(words.number<std::int64_t>()));
    verified.lsn = Lsn(words.number());
    verified.compared_bytes = words.number();
    verified.differing_bytes = words.number();
    verified.repaired = words.number() != 0;
    record.peers[name].verified = verified;
}

void read_intent(Words& words, GroupRecord& record) {
    IntentRecord intent;
    intent.id = words.uuid();
    intent.boot = words.uuid();
    const auto count = words.number<std::uint32_t>();
    while (intent.standbys.size() < count && !words.failed())
        intent.standbys.push_back(words.text());
    record.intent = std::move(intent);
}

bool read_line(const std::string& key, Words& words, GroupRecord& record) {
    if (key == "group") {
        record.group = words.uuid();
    } else if (key == "role") {
        const auto role = words.number<std::uint8_t>();
        if (role > static_cast<std::uint8_t>(wire::Role::standby)) return false;
        record.role = static_cast<wire::Role>(role);
    } else if (key == "serves_store") {
        record.serves_store = words.number() != 0;
    } else if (key == "unserved") {
        record.unserved = words.number() != 0;
    } else if (key == "takeovers") {
        record.takeovers = words.number();
    } else if (key == "clean") {
        record.clean = words.number() != 0;
    } else if (key == "zero_origin") {
        record.zero_origin = words.number() != 0;
    } else if (key == "ack_kept") {
        record.ack_kept = words.number() != 0;
    } else if (key == "acked") {
        record.acked = Lsn(words.number());
    } else if (key == "ack_answers") {
        record.ack_answers = words.number<std::uint32_t>();
    } else if (key == "refused") {
        record.refused = words.rest();
    } else if (key == "pulling") {
        record.pulled.timeline = words.uuid();
        record.pulled.lsn = Lsn(words.number());
        record.pulling = words.rest();
    } else if (key == "restore") {
        read_restore(words, record);
    } else if (key == "volume") {
        read_volume(words, record);
    } else if (key == "whole_from") {
        if (!read_whole_from(words, record)) return false;
    } else if (key == "timeline") {
        read_timeline(words, record);
    } else if (key == "peer") {
        read_peer(words, record);
    } else if (key == "proved") {
        read_proved(words, record);
    } else if (key == "joining") {
        read_joining(words, record);
    } else if (key == "verified") {
        read_verified(words, record);
    } else if (key == "intent") {
        read_intent(words, record);
    } else if (key == "tip") {
        const auto tip = unpack_tip(words.rest());
        if (!tip.ok()) return false;
        record.tip = *tip;
    } else if (key == "step") {
        const auto step = unpack_tip(words.rest());
        if (!step.ok()) return false;
        record.step = *step;
    } else {
        return false;
    }
    return !words.failed();
}

}  // namespace

std::string pack_tip(const journal::Tip& tip) {
    return fmt::format("{} {} {} {} {}", tip.point.timeline.hex(), tip.point.lsn.value(),
                       hex(tip.hash), tip.seq.value(), tip.step_time.time_since_epoch().count());
}

Result<journal::Tip> unpack_tip(std::string_view text) {
    Words words(text);
    journal::Tip tip;
    tip.point.timeline = words.uuid();
    tip.point.lsn = Lsn(words.number());
    tip.hash = to_hash(words.uuid());
    tip.seq = FrameSeq(words.number());
    tip.step_time = WallTime(std::chrono::nanoseconds(words.number<std::int64_t>()));
    if (words.failed())
        return Status(ErrorCode::corrupt, fmt::format("'{}' is not a position", text));
    return tip;
}

std::string pack_record(const GroupRecord& record) {
    std::string out = fmt::format(
        "group {}\nrole {}\nserves_store {:d}\nclean {:d}\nzero_origin {:d}\nack_kept "
        "{:d}\nrefused {}\n",
        record.group.hex(), static_cast<int>(record.role), record.serves_store, record.clean,
        record.zero_origin, record.ack_kept, word(record.refused));
    if (!record.pulling.empty()) {
        out += fmt::format("pulling {} {} {}\n", record.pulled.timeline.hex(),
                           record.pulled.lsn.value(), record.pulling);
    }
    if (const auto& restore = record.restore) {
        out += fmt::format("restore {} {} {} {} {:d} {} {}\n", restore->before.timeline.hex(),
                           restore->before.lsn.value(), restore->to.timeline.hex(),
                           restore->to.lsn.value(), restore->undo, word(restore->node),
                           word(restore->volume));
    }
    for (const VolumeRecord& volume : record.volumes) {
        out += fmt::format("volume {} {} {} {} {} {} {} {} {} {}\n", volume.name, volume.id.hex(),
                           volume.size.value(), volume.identity.device, volume.identity.inode,
                           volume.identity.birth_ns, volume.identity.size_bytes,
                           hex(volume.samples), volume.sampled_data, word(volume.identity.serial));
        if (const auto& from = volume.whole_from)
            out += fmt::format("whole_from {} {} {}\n", volume.name, from->timeline.hex(),
                               from->lsn.value());
    }
    for (const journal::TimelineInfo& timeline : record.timelines) {
        out +=
            fmt::format("timeline {} {} {} {} {} {} {}\n", timeline.id.hex(), timeline.parent.hex(),
                        timeline.branch_lsn.value(), hex(timeline.branch_hash),
                        timeline.branch_seq.value(), timeline.number, word(timeline.node));
    }
    out += fmt::format("unserved {:d}\ntakeovers {}\nacked {}\nack_answers {}\n", record.unserved,
                       record.takeovers, record.acked.value(), record.ack_answers);
    for (const auto& [name, peer] : record.peers) {
        out += fmt::format("peer {} {} {}\n", name,
                           peer.behind_since ? std::to_string(peer.behind_since->value()) : "-",
                           word(peer.compare));
        if (const auto& proved = peer.proved)
            out +=
                fmt::format("proved {} {} {}\n", name, proved->timeline.hex(), proved->lsn.value());
        if (peer.joining) out += fmt::format("joining {}\n", name);
        if (const auto& verified = peer.verified)
            out += fmt::format("verified {} {} {} {} {} {:d}\n", name,
                               verified->at.time_since_epoch().count(), verified->lsn.value(),
                               verified->compared_bytes, verified->differing_bytes,
                               verified->repaired);
    }
    if (const auto& intent = record.intent) {
        out += fmt::format("intent {} {} {}", intent->id.hex(), intent->boot.hex(),
                           intent->standbys.size());
        for (const std::string& standby : intent->standbys) out += ' ' + word(standby);
        out += '\n';
    }
    return out + "tip " + pack_tip(record.tip) + "\nstep " + pack_tip(record.step) + "\n";
}

Result<GroupRecord> unpack_record(std::string_view text) {
    GroupRecord record;
    std::istringstream lines{std::string(text)};
    std::string line;
    for (int number = 1; std::getline(lines, line); ++number) {
        const std::size_t space = line.find(' ');
        const std::string key = line.substr(0, space);
        Words words(space == std::string::npos ? "" : std::string_view(line).substr(space + 1));
        if (!read_line(key, words, record)) {
            return Status(ErrorCode::corrupt,
                          fmt::format("line {}: '{}' is not understood", number, line));
        }
    }
    return record;
}

}  // namespace everstep::daemon
