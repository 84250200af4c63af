// journal_bench COMMAND DIR ..: one measurement of the history store in a process of its own, its
// figures as one JSON object. bench/journal and bench/travel run it; it says what the commands are.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <thread>

#include "bench/history_maker.hpp"
#include "common/base/descriptors.hpp"
#include "common/base/heap.hpp"
#include "common/io/unique_fd.hpp"
#include "common/io/uring.hpp"

namespace everstep::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

double seconds_since(SteadyClock::time_point begin) {
    return Seconds(SteadyClock::now() - begin).count();
}

// A number behind a word in a file of /proc/self; 0 where it is missing.
std::uint64_t proc(const char* file, const std::string& word) {
    std::ifstream in(std::string("/proc/self/") + file);
    std::string name;
    std::string rest;
    while (in >> name) {
        if (name == word) {
            std::uint64_t value = 0;
            in >> value;
            return value;
        }
        std::getline(in, rest);
    }
    return 0;
}
std::uint64_t resident_bytes() {
    return proc("status", "VmRSS:") * 1024;
}

void print(const std::string& fields) {
    std::cout << "{" << fields << "}\n";
}

constexpr std::uint64_t kMadeBytes = 8ULL << 20;

// Each write durable before the next: append and fdatasync.
Status append(const std::string& directory, std::uint64_t bytes, std::uint64_t count) {
    History history(directory, ByteCount(count * (bytes + 8192) + (8ULL << 20)));
    Frames frames(1);
    EVERSTEP_TRY(history.open());
    EVERSTEP_TRY(history.begin(frames));
    const std::uint64_t before = history.traffic().written;
    double seconds = 0;
    // Made some at a time, outside of the time: a frame that comes from the wire is in the CPU's
    // cache when it is appended, as the one buffer of whom this is compared with always is.
    const std::uint64_t at_once = std::max<std::uint64_t>(1, kMadeBytes / bytes);
    for (std::uint64_t n = 0; n < count; n += at_once) {
        std::vector<FramePtr> made;
        for (std::uint64_t i = n; i < std::min(count, n + at_once); ++i)
            made.push_back(frames.next({.bytes = bytes, .pattern = Pattern::first_touch}));
        const auto begin = SteadyClock::now();
        for (const FramePtr& frame : made) {
            EVERSTEP_TRY(history.store().append({&frame, 1}));
            EVERSTEP_TRY(history.store().sync());
        }
        seconds += seconds_since(begin);
    }
    const io::GatherCounts left = io::gather_counts();
    print(fmt::format(R"("writes":{},"seconds":{:.6f},"written":{},)", count, seconds,
                      history.traffic().written - before) +
          fmt::format(R"("registered":{},"unregistered":{},"single":{})", left.registered,
                      left.unregistered, left.single));
    return {};
}

// Frames of 64 KiB, sixteen of them durable and then applied at a time.
Status apply(const std::string& directory, Pattern pattern, std::uint64_t captured_bytes) {
    constexpr std::uint64_t kBatchFrames = 16;
    History history(directory);
    Frames frames(2);
    EVERSTEP_TRY(history.fill_replica());
    EVERSTEP_TRY(history.open());
    EVERSTEP_TRY(history.begin(frames));
    double append_seconds = 0;
    double apply_seconds = 0;
    std::uint64_t captured = 0;
    const std::uint64_t written = history.traffic().written;
    const std::uint64_t read = history.traffic().read;
    while (captured < captured_bytes) {
        std::vector<FramePtr> batch;
        for (std::uint64_t n = 0; n < kBatchFrames; ++n)
            batch.push_back(frames.next({.writes = 16, .bytes = kBlockBytes, .pattern = pattern}));
        captured += kBatchFrames * 16 * kBlockBytes;
        auto begin = SteadyClock::now();
        EVERSTEP_TRY(history.store().append(batch));
        EVERSTEP_TRY(history.store().sync());
        append_seconds += seconds_since(begin);
        begin = SteadyClock::now();
        EVERSTEP_TRY(history.apply_all());
        apply_seconds += seconds_since(begin);
    }
    EVERSTEP_TRY(history.store().sync_low());
    EVERSTEP_TRY(history.tend());
    history.close();
    print(fmt::format(
        R"("captured":{},"append_seconds":{:.6f},"apply_seconds":{:.6f},"written":{},"read":{})",
        captured, append_seconds, apply_seconds, history.traffic().written - written,
        history.traffic().read - read));
    return {};
}

// Frames of this shape up to a step, applied.
Status fill(History& history, Frames& frames, Frames::Shape shape, Lsn last) {
    constexpr std::uint64_t kFrameWritesMax = 1024;
    constexpr std::uint64_t kFrameBytesMax = 1ULL << 20;
    constexpr int kBatchFrames = 8;
    const std::uint64_t writes =
        shape.zero ? kFrameWritesMax : std::min(kFrameWritesMax, kFrameBytesMax / shape.bytes);
    const auto begin = SteadyClock::now();
    while (frames.head() < last) {
        std::vector<FramePtr> batch;
        for (int n = 0; n < kBatchFrames && frames.head() < last; ++n) {
            shape.writes = std::min(writes, last - frames.head());
            batch.push_back(frames.next(shape));
        }
        EVERSTEP_TRY(history.store().append(batch));
        EVERSTEP_TRY(history.store().sync());
        EVERSTEP_TRY(history.apply_all());
        EVERSTEP_TRY(history.tend());
    }
    EVERSTEP_TRY(history.store().sync_low());
    EVERSTEP_TRY(history.tend());
    ::sync();  // index files never are
    print(fmt::format(R"("steps":{},"seconds":{:.6f},"stored":{})", frames.head().value(),
                      seconds_since(begin), history.store().stored_bytes().value()));
    return {};
}

// A history of so many steps.
Status make(const std::string& directory, std::uint64_t steps, bool zero) {
    History history(directory);
    Frames frames(3);
    EVERSTEP_TRY(history.open());
    EVERSTEP_TRY(history.begin(frames));
    const Frames::Shape shape{.bytes = zero ? kBlockBytes : kSectorBytes, .zero = zero};
    return fill(history, frames, shape, Lsn(steps));
}

// Goes on with the history of a standby that does not run: so many steps more, which write on one
// block each in `places` equal parts of its volume.
Status extend(const HistoryPlace& place, std::uint64_t steps, Frames::Shape shape) {
    History history(place);
    Frames frames(4);
    EVERSTEP_TRY(history.open());
    if (!history.store().has_history())
        return {ErrorCode::refused, place.store + ": there is no history to go on with"};
    const journal::Tip tip = history.store().tip();
    frames.follow(place.group, tip);
    shape.pattern = Pattern::spread;
    shape.apart = place.volume_bytes.value() / shape.places;
    return fill(history, frames, shape, tip.point.lsn + steps);
}

Status extend_words(const std::vector<std::string>& words) {
    const auto number = [&](std::size_t n) { return std::strtoull(words[n].c_str(), nullptr, 10); };
    HistoryPlace place;
    place.store = words[1];
    place.replica = words[2];
    place.volume_bytes = ByteCount(std::filesystem::file_size(place.replica));
    if (!Uuid::parse(words[3], place.group))
        return {ErrorCode::usage, words[3] + " is not the id of a group"};
    return extend(place, number(4), {.bytes = number(5), .places = number(6)});
}

// What lies under the directory leaves the page cache, as far as it is on the disk; the kernel does
// some of that later.
constexpr std::chrono::milliseconds kSettleTime(20);
void forget_pages(const std::string& directory) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
        if (!entry.is_regular_file()) continue;
        const io::UniqueFd file(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC));
        if (file.valid()) static_cast<void>(::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED));
    }
    std::this_thread::sleep_for(kSettleTime);
}

// Opens, and reads the first block of a random step: with nothing of the store in the page cache,
// or with what is there.
Status first_read(const std::string& directory, std::uint64_t seed, bool cold) {
    std::mt19937_64 random(seed);
    History history(directory);
    auto begin = SteadyClock::now();
    EVERSTEP_TRY(history.open());
    const double opened = seconds_since(begin);
    const std::uint64_t at_open = resident_bytes();
    const Lsn lsn(random() % (history.store().tip().point.lsn.value() + 1));
    if (cold) forget_pages(directory);
    begin = SteadyClock::now();
    EVERSTEP_TRY(history.read(lsn, random() % ((32ULL << 20) / kBlockBytes)));
    print(fmt::format(R"("open_seconds":{:.6f},"read_seconds":{:.6f},"open_memory":{},"memory":{})",
                      opened, seconds_since(begin), at_open, resident_bytes()));
    return {};
}

// Random blocks of random steps, one behind the other.
Status look_ups(const std::string& directory, std::uint64_t seed, double for_seconds) {
    std::mt19937_64 random(seed);
    History history(directory);
    EVERSTEP_TRY(history.open());
    const std::uint64_t head = history.store().tip().point.lsn.value();
    const auto begin = SteadyClock::now();
    std::uint64_t count = 0;
    for (; seconds_since(begin) < for_seconds; ++count)
        EVERSTEP_TRY(
            history.read(Lsn(random() % (head + 1)), random() % ((32ULL << 20) / kBlockBytes)));
    print(fmt::format(R"("look_ups":{},"seconds":{:.6f},"memory":{},"peak":{})", count,
                      seconds_since(begin), resident_bytes(), proc("status", "VmHWM:") * 1024));
    return {};
}

// Opens, and lists the steps that wrote on a random block.
Status list_block(const std::string& directory, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    History history(directory);
    EVERSTEP_TRY(history.open());
    const journal::StepFilter block{
        .volume = VolumeIndex(0),
        .offset = ByteOffset(random() % ((32ULL << 20) / kBlockBytes) * kBlockBytes),
        .length = ByteCount(kBlockBytes)};
    const auto begin = SteadyClock::now();
    std::uint64_t found = 0;
    EVERSTEP_TRY(history.store().each_step(history.store().view_at_tip(), Lsn(0), block,
                                           [&](const journal::StepInfo&) {
                                               ++found;
                                               return true;
                                           }));
    print(fmt::format(R"("steps":{},"seconds":{:.6f})", found, seconds_since(begin)));
    return {};
}

Status usage() {
    return {
        ErrorCode::usage,
        "journal_bench append DIR BYTES COUNT | apply DIR first|again BYTES | make DIR STEPS "
        "data|zero | extend STORE REPLICA GROUP STEPS BYTES PLACES | first DIR SEED cold|warm | "
        "list DIR SEED | look DIR SEED SECONDS"};
}

Status run(const std::vector<std::string>& words) {
    if (words.size() < 3) return usage();
    const std::string& command = words[0];
    const auto number = [&](std::size_t n) { return std::strtoull(words[n].c_str(), nullptr, 10); };
    if (command == "list") return list_block(words[1], number(2));
    if (words.size() < 4) return usage();
    if (command == "first") return first_read(words[1], number(2), words[3] == "cold");
    if (command == "append") return append(words[1], number(2), number(3));
    if (command == "apply")
        return apply(words[1], words[2] == "first" ? Pattern::first_touch : Pattern::rewrite,
                     number(3));
    if (command == "make") return make(words[1], number(2), words[3] == "zero");
    if (command == "extend" && words.size() == 7) return extend_words(words);
    if (command == "look")
        return look_ups(words[1], number(2), std::strtod(words[3].c_str(), nullptr));
    return usage();
}

}  // namespace
}  // namespace everstep::bench

int main(int count, char** words) {
    everstep::keep_freed_memory();
    everstep::allow_many_files();
    const everstep::Status status = everstep::bench::run({words + 1, words + count});
    if (!status.ok()) std::cerr << "journal_bench: " << status.message() << "\n";
    return status.ok() ? 0 : 1;
}
