#include "tests/sim/nbd_client.hpp"

#include <algorithm>
#include <memory>

namespace everstep::sim {

using namespace everstep::daemon;

namespace {

constexpr std::uint32_t kClientFlags = kNbdFlagFixedNewstyle | kNbdFlagNoZeroes;
constexpr std::uint32_t kPieceBytes = 5 * 4096 + 512;

template <class T>
void append_be(std::vector<std::byte>& out, T value) {
    const std::size_t at = out.size();
    out.resize(at + sizeof value);
    put_be(MutableBytes(out), at, value);
}

// One call of read_volume(); it lives while its stream does.
struct Reading : std::enable_shared_from_this<Reading> {
    net::Loop* loop = nullptr;
    VolumeAt what;
    VolumeRead done;
    std::unique_ptr<net::Connecting> connecting;
    net::StreamPtr stream;
    std::vector<std::byte> in;
    std::vector<std::byte> got;
    std::size_t wanted = kNbdGreetingBytes;  // bytes of what comes next
    enum class Stage : std::uint8_t { greeting, chosen, reply } stage = Stage::greeting;

    void end(bool whole) {
        const auto once = std::exchange(done, nullptr);
        if (!once) return;
        if (stream) loop->post([gone = std::shared_ptr<net::Stream>(std::move(stream))] {});
        once(whole ? std::optional(std::move(got)) : std::nullopt);
    }
    void ask() {
        if (got.size() == what.bytes) return end(true);
        const auto length =
            static_cast<std::uint32_t>(std::min<std::size_t>(kPieceBytes, what.bytes - got.size()));
        wanted = kNbdSimpleReplyBytes + length;
        stage = Stage::reply;
        stream->write_copy(nbd_request({NbdCommand::read, got.size(), got.size(), length}));
    }
    void take(Bytes bytes) {
        switch (stage) {
            case Stage::greeting:
                stream->write_copy(nbd_choose(what.volume));
                wanted = kNbdExportNameReplyBytes;
                stage = Stage::chosen;
                return;
            case Stage::chosen:
                if (get_be<std::uint64_t>(bytes, 0) != what.bytes) return end(false);
                return ask();
            case Stage::reply: {
                const bool good = get_be<std::uint32_t>(bytes, 0) == kNbdSimpleReplyMagic &&
                                  get_be<std::uint32_t>(bytes, 4) == 0 &&
                                  get_be<std::uint64_t>(bytes, 8) == got.size();
                if (!good) return end(false);
                const Bytes data = bytes.subspan(kNbdSimpleReplyBytes);
                got.insert(got.end(), data.begin(), data.end());
                return ask();
            }
        }
    }
    // An answer that is an error has no data: it is looked at as soon as its head is there.
    void received(Bytes bytes) {
        in.insert(in.end(), bytes.begin(), bytes.end());
        const bool refused = stage == Stage::reply && in.size() >= kNbdSimpleReplyBytes &&
                             get_be<std::uint32_t>(in, 4) != 0;
        if (refused) return end(false);
        while (done && in.size() >= wanted) {
            const std::vector<std::byte> piece(in.begin(),
                                               in.begin() + static_cast<std::ptrdiff_t>(wanted));
            in.erase(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(wanted));
            take(piece);
        }
    }
};

}  // namespace

std::vector<std::byte> nbd_choose(const std::string& name) {
    std::vector<std::byte> out;
    append_be(out, kClientFlags);
    append_be(out, kNbdOptionMagic);
    append_be(out, static_cast<std::uint32_t>(NbdOption::export_name));
    append_be(out, static_cast<std::uint32_t>(name.size()));
    for (const char c : name) out.push_back(static_cast<std::byte>(c));
    return out;
}

std::vector<std::byte> nbd_request(const NbdAsk& ask) {
    std::vector<std::byte> out;
    append_be(out, kNbdRequestMagic);
    append_be(out, std::uint16_t{0});
    append_be(out, static_cast<std::uint16_t>(ask.command));
    append_be(out, ask.id);
    append_be(out, ask.offset);
    append_be(out, ask.length);
    return out;
}

void read_volume(net::Loop& loop, const VolumeAt& what, VolumeRead done) {
    const auto reading = std::make_shared<Reading>();
    reading->loop = &loop;
    reading->what = what;
    reading->done = std::move(done);
    reading->connecting = net::connect(
        loop, what.address, nullptr, "", std::chrono::seconds(1),
        [reading](Result<net::StreamPtr> stream) {
            reading->loop->post(
                [gone = std::shared_ptr<net::Connecting>(std::move(reading->connecting))] {});
            if (!stream.ok()) return reading->end(false);
            reading->stream = std::move(*stream);
            net::StreamEvents events;
            events.on_bytes = [reading](Bytes bytes) { reading->received(bytes); };
            events.on_closed = [reading](const Status&) { reading->end(false); };
            reading->stream->start(std::move(events));
        });
}

}  // namespace everstep::sim
