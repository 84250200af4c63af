#include "tests/journal/small_history.hpp"

namespace everstep::journal::lab {
namespace {

const std::vector<ByteCount> kSizes{ByteCount(128 << 10), ByteCount(64 << 10)};

void ok(const Status& status) {
    ASSERT_TRUE(status.ok()) << status.message();
}

}  // namespace

// Three segments of one line, of which the first two are sealed in both files; a branch back at an
// older step, in two more; marks; the end is durable and not applied.
SmallHistory::SmallHistory(std::uint64_t seed)
    : lab(kSizes, ByteCount(96 << 10)), primary(lab.options.group, kSmallLine, kSizes), rnd_(seed) {
    lab.open();
    Tip base;
    base.point = {kSmallLine, Lsn(0)};
    ok(lab.store->begin_history({primary.timeline()}, base));
    for (int i = 0; i < 14; ++i) put(primary);
    ok(lab.store->put_mark({.name = "before", .at = {kSmallLine, Lsn(5)}, .made = {}}));
    ok(lab.store->sync());
    ok(lab.apply_all({kSmallLine, primary.head()}));
    branch_lsn = primary.head() - 4;
    ok(lab.go_to({kSmallLine, branch_lsn}));
    branch = std::make_unique<Primary>(primary, kSmallBranch, branch_lsn);
    ok(lab.store->append_timeline(branch->timeline()));
    for (int i = 0; i < 10; ++i) put(*branch);
    ok(lab.store->sync());
    ok(lab.apply_all({kSmallBranch, branch->head() - 6}));
    ok(lab.store->sync_low());
    while (true) {
        const auto more = lab.store->tend();
        ok(more.status());
        if (!more.ok() || !*more) break;
    }
    lab.store.reset();
}

void SmallHistory::put(Primary& line) {
    std::vector<TestWrite> writes;
    for (int i = 0; i < 3; ++i) {
        TestWrite w;
        w.volume = VolumeIndex(rnd_() % 2);
        const std::uint64_t sectors = kSizes[w.volume.value()].value() / kSectorBytes;
        const std::uint64_t count = 1 + rnd_() % 16;
        w.offset = ByteOffset(rnd_() % (sectors - count) * kSectorBytes);
        w.length = ByteCount(count * kSectorBytes);
        if (rnd_() % 6 == 0) w.kind = EntryKind::zero;
        writes.push_back(w);
    }
    const FramePtr frame = line.frame(writes);
    ok(lab.store->append({&frame, 1}));
    ok(lab.store->sync());
}

const std::vector<std::string>& SmallHistory::replica_files() {
    if (!replicas_.empty()) return replicas_;
    for (std::size_t v = 0; v < lab.replica.volumes.size(); ++v) {
        const Image& image = lab.replica.volumes[v];
        replicas_.push_back(lab.directory.file("replica" + std::to_string(v)).string());
        put_content(replicas_.back(), {reinterpret_cast<const char*>(image.data()), image.size()});
    }
    return replicas_;
}

std::map<std::string, std::string> SmallHistory::content() const {
    std::map<std::string, std::string> out;
    for (const auto& entry : std::filesystem::directory_iterator(store_path()))
        out[entry.path().filename().string()] = content_of(entry.path());
    return out;
}

const std::vector<Image>& SmallHistory::image(const Point& point) const {
    const bool old = point.timeline == kSmallLine || point.lsn <= branch_lsn;
    return old ? primary.image(point.lsn) : branch->image(point.lsn);
}

}  // namespace everstep::journal::lab
