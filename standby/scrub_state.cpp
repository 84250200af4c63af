#include "standby/scrub_state.hpp"

#include <fmt/format.h>

#include <sstream>

#include "common/base/checksum.hpp"
#include "common/io/state_file.hpp"
#include "journal/record_scan.hpp"

namespace everstep::standby {
namespace {

std::string path_of(const std::string& directory) {
    return directory + "/" + kScrubStateName;
}

std::optional<ScrubState> parse(const std::string& body) {
    std::istringstream in(body);
    ScrubState state;
    int chained = 0;
    if (!(in >> state.segment >> state.salt >> state.damages >> chained)) return std::nullopt;
    if (chained == 0) return state;
    std::string timeline;
    std::string hash;
    std::uint64_t lsn = 0;
    std::uint64_t seq = 0;
    std::int64_t time = 0;
    journal::Chain chain;
    Uuid id;
    Uuid hash_bytes;
    if (!(in >> timeline >> lsn >> hash >> seq >> time >> chain.sub >> chain.may_jump) ||
        !Uuid::parse(timeline, id) || !Uuid::parse(hash, hash_bytes))
        return std::nullopt;
    chain.tip.point = {id, Lsn(lsn)};
    chain.tip.hash = hash_bytes.bytes();
    chain.tip.seq = FrameSeq(seq);
    chain.tip.step_time = WallTime(std::chrono::nanoseconds(time));
    state.chain = chain;
    return state;
}

}  // namespace

Status save_scrub(io::FileSystem& files, const std::string& directory, const ScrubState& state) {
    std::string body =
        fmt::format("{} {} {} {}\n", state.segment, state.salt, state.damages, state.chain ? 1 : 0);
    if (state.chain) {
        const journal::Tip& tip = state.chain->tip;
        body +=
            fmt::format("{} {} {} {} {} {} {}\n", tip.point.timeline.hex(), tip.point.lsn.value(),
                        hex(tip.hash), tip.seq.value(), tip.step_time.time_since_epoch().count(),
                        state.chain->sub, state.chain->may_jump ? 1 : 0);
    }
    return io::save_state(files, path_of(directory), body);
}

std::optional<ScrubState> load_scrub(io::FileSystem& files, const std::string& directory) {
    const auto body = io::load_state(files, path_of(directory));
    if (!body.ok()) return std::nullopt;
    auto state = parse(*body);
    if (!state || state->segment == 0) return std::nullopt;
    const std::string name = journal::file_name(journal::FileKind::redo, state->segment);
    const auto file = files.open(directory + "/" + name, {});
    if (!file.ok()) return std::nullopt;
    const auto header = journal::read_header(**file, journal::FileKind::redo);
    if (!header.ok() || journal::envelope_salt(header->header.salt) != state->salt)
        return std::nullopt;
    return state;
}

void forget_scrub(io::FileSystem& files, const std::string& directory) {
    const std::string path = path_of(directory);
    for (const std::string& name : {path, path + ".spare"})
        files.remove(name).ignore("at worst the next scrub begins in the middle");
}

}  // namespace everstep::standby
