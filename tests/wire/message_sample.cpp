#include "message_sample.hpp"

#include <cstdlib>
#include <iostream>
#include <sstream>

#include "common/base/checksum.hpp"

namespace everstep::wire::test {

std::uint64_t seed() {
    const char* const given = std::getenv("EVERSTEP_SEED");
    const std::uint64_t chosen =
        given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
    std::cout << "EVERSTEP_SEED=" << chosen << '\n';
    return chosen;
}

std::uint64_t MessageSample::number(std::uint64_t below) {
    return random_() % below;
}

// Small, large and edge values alike: a uniform one would nearly always have nine bytes.
std::uint64_t MessageSample::any_number() {
    switch (number(4)) {
        case 0:
            return 0;
        case 1:
            return number(300);
        case 2:
            return UINT64_MAX - number(3);
        default:
            return random_() >> number(64);
    }
}

std::string MessageSample::text() {
    std::string out(number(5) == 0 ? 0 : number(40), ' ');
    for (char& c : out) c = static_cast<char>(number(256));  // texts need not be UTF-8
    return out;
}

Uuid MessageSample::id() {
    std::array<std::uint8_t, 16> bytes{};
    if (number(4) != 0) {
        for (auto& byte : bytes) byte = static_cast<std::uint8_t>(number(256));
    }
    return Uuid(bytes);
}

Value MessageSample::value(unsigned depth) {
    switch (number(depth > 1 ? 8 : 6)) {
        case 0:
            return {};
        case 1:
            return flip();
        case 2:
            return signed_number();
        case 3:
            return any_number();
        case 4:
            return static_cast<double>(signed_number()) / 7;
        case 5:
            return text();
        case 6: {
            Value list = Value::list();
            for (std::uint64_t n = number(5); n > 0; --n) list.push(value(depth - 1));
            return list;
        }
        default: {
            Value map = Value::map();
            for (std::uint64_t n = number(5); n > 0; --n) map.set(text(), value(depth - 1));
            return map;
        }
    }
}

std::vector<Volume> MessageSample::volumes() {
    std::vector<Volume> out;
    for (std::uint64_t n = number(4); n > 0; --n) {
        out.push_back({text(), id(), ByteCount(any_number())});
    }
    return out;
}

std::vector<Timeline> MessageSample::timelines() {
    std::vector<Timeline> out;
    for (std::uint64_t n = number(4); n > 0; --n) {
        Timeline line;
        do line.id = id();
        while (line.id.nil());
        line.parent = id();
        line.branch_lsn = Lsn(any_number());
        line.branch_hash = hash();
        line.branch_seq = FrameSeq(any_number());
        line.number = static_cast<std::uint32_t>(any_number());
        line.node = text();
        out.push_back(line);
    }
    return out;
}

GroupState MessageSample::group_state() {
    GroupState out;
    out.group = "g" + text();
    out.group_id = id();
    out.role = static_cast<Role>(number(3));
    for (std::uint64_t n = number(6); n > 0; --n) out.configuration.emplace_back(text(), text());
    out.volumes = volumes();
    out.timelines = timelines();
    out.has_history = flip();
    out.has_state = flip();
    out.head = point();
    out.head_hash = hash();
    out.head_seq = FrameSeq(any_number());
    out.head_step_time_ns = signed_number();
    out.step_hash = hash();
    out.step_seq = FrameSeq(any_number());
    out.applied = Lsn(any_number());
    out.gap_open = flip();
    out.consistent = point();
    out.refused = text();
    out.takeovers = any_number();
    return out;
}

Hello MessageSample::hello() {
    Hello out;
    out.protocol_min = 1 + static_cast<std::uint32_t>(number(5));
    out.protocol_max = out.protocol_min + static_cast<std::uint32_t>(number(5));
    out.features = any_number();
    out.node = text();
    out.node_id = id();
    out.purpose = flip() ? Purpose::replicate : Purpose::admin;
    out.error = error();
    out.message = text();
    if (flip()) out.group = group_state();
    return out;
}

Start MessageSample::start() {
    Start out;
    out.mode = static_cast<StartMode>(1 + number(3));
    out.group_id = id();
    out.volumes = volumes();
    out.timelines = timelines();
    out.from = point();
    out.reason = text();
    return out;
}

ReadRequest MessageSample::read_request() {
    ReadRequest out;
    out.id = any_number();
    out.at = point();
    out.volume = VolumeIndex(number(256));
    out.offset = ByteOffset(number(1ULL << 60));
    out.length = ByteCount(1 + number(kDataBytesMax));
    return out;
}

HashRequest MessageSample::hash_request() {
    HashRequest out;
    out.id = any_number();
    out.volume = VolumeIndex(number(256));
    out.offset = ByteOffset(number(1ULL << 60));
    out.length = ByteCount(1 + number(kHashedBytesMax));
    out.seed = any_number();
    return out;
}

HashReply MessageSample::hash_reply() {
    HashReply out{any_number(), error(), text(), flip(), {}};
    for (std::uint64_t n = number(257); n > 0; --n) out.hashes.push_back(hash());
    return out;
}

AdminRequest MessageSample::admin_request() {
    AdminRequest out{"v" + text(), {}};
    for (std::uint64_t n = number(6); n > 0; --n) out.arguments[text()] = text();
    return out;
}

Control MessageSample::message(std::size_t kind) {
    switch (kind) {
        case 0:
            return hello();
        case 1:
            return start();
        case 2:
            return Started{error(), text()};
        case 3:
            return InitialEnd{point(), hash(), FrameSeq(any_number()), signed_number()};
        case 4:
            return ResyncEnd{point()};
        case 5:
            return Ack{id(),  Lsn(any_number()), Lsn(any_number()), Lsn(any_number()), any_number(),
                       flip()};
        case 6:
            return Keepalive{signed_number(), Lsn(any_number()), any_number()};
        case 7:
            return read_request();
        case 8:
            return ReadReply{any_number(), error(), text(), flip(),
                             static_cast<std::uint32_t>(number(kDataBytesMax + 1))};
        case 9:
            return hash_request();
        case 10:
            return hash_reply();
        case 11:
            return Goodbye{error(), text()};
        case 12:
            return admin_request();
        default:
            return AdminReply{error(), text(), value(6), flip()};
    }
}

namespace {

class Describe {
  public:
    void operator()(const Hello& m) {
        put("hello", m.protocol_min, m.protocol_max, m.features, m.node, m.node_id);
        put(int(m.purpose), int(m.error), m.message, m.group.has_value());
        if (m.group) group(*m.group);
    }
    void operator()(const Start& m) {
        put("start", int(m.mode), m.group_id, m.from, m.reason);
        lists(m.volumes, m.timelines);
    }
    void operator()(const Started& m) { put("started", int(m.error), m.message); }
    void operator()(const InitialEnd& m) {
        put("initial-end", m.base, Uuid(m.hash), m.seq.value(), m.step_time_ns);
    }
    void operator()(const ResyncEnd& m) { put("resync-end", m.at); }
    void operator()(const Ack& m) {
        put("ack", m.timeline, m.received.value(), m.durable.value(), m.applied.value());
        put(m.consumed_bytes, m.consistent);
    }
    void operator()(const Keepalive& m) {
        put("keepalive", m.step_clock_ns, m.captured.value(), m.captured_bytes);
    }
    void operator()(const ReadRequest& m) {
        put("read-request", m.id, m.at, m.volume.value(), m.offset.value(), m.length.value());
    }
    void operator()(const ReadReply& m) {
        put("read-reply", m.id, int(m.error), m.message, m.zero, m.length);
    }
    void operator()(const HashRequest& m) {
        put("hash-request", m.id, m.volume.value(), m.offset.value(), m.length.value(), m.seed);
    }
    void operator()(const HashReply& m) {
        put("hash-reply", m.id, int(m.error), m.message, m.zero);
        for (const Hash128& hash : m.hashes) put(Uuid(hash));
    }
    void operator()(const Goodbye& m) { put("goodbye", int(m.error), m.message); }
    void operator()(const AdminRequest& m) {
        put("admin-request", m.verb);
        for (const auto& [name, value] : m.arguments) put(name, value);
    }
    void operator()(const AdminReply& m) {
        put("admin-reply", int(m.error), m.message, m.more);
        out << describe(m.body);
    }
    std::ostringstream out;

  private:
    template <class... Fields>
    void put(const Fields&... fields) {
        (one(fields), ...);
        out << '\n';
    }
    template <class T>
    void one(const T& field) {
        out << field << ' ';
    }
    void one(const std::string& text) { out << text.size() << '"' << text << "\" "; }
    void one(const Uuid& id) { out << id.hex() << ' '; }
    void one(const Point& p) { out << p.timeline.hex() << '@' << p.lsn.value() << ' '; }
    void lists(const std::vector<Volume>& volumes, const std::vector<Timeline>& timelines) {
        for (const Volume& v : volumes) put("volume", v.name, v.id, v.size.value());
        for (const Timeline& t : timelines) {
            put("timeline", t.id, t.parent, t.branch_lsn.value(), Uuid(t.branch_hash));
            put(t.branch_seq.value(), t.number, t.node);
        }
    }
    void group(const GroupState& g) {
        put("group", g.group, g.group_id, int(g.role), g.has_history, g.has_state, g.head);
        put(Uuid(g.head_hash), g.head_seq.value(), g.head_step_time_ns, g.applied.value());
        put(Uuid(g.step_hash), g.step_seq.value());
        put(g.gap_open, g.consistent, g.refused, g.takeovers);
        for (const auto& [key, value] : g.configuration) put("setting", key, value);
        lists(g.volumes, g.timelines);
    }
};

}  // namespace

std::string describe(const Control& message) {
    Describe describer;
    std::visit(describer, message);
    return describer.out.str();
}

std::string describe(const Value& value) {
    std::ostringstream out;
    out.precision(17);
    out << value.data().index() << ':';
    if (const auto* list = value.as_list()) {
        for (const Value& item : *list) out << '[' << describe(item) << ']';
    } else if (const auto* map = value.as_map()) {
        for (const auto& [key, item] : *map) out << '{' << key << '=' << describe(item) << '}';
    } else if (const auto* real = std::get_if<double>(&value.data())) {
        out << *real;
    } else {
        out << value.text();
    }
    return out.str();
}

}  // namespace everstep::wire::test
