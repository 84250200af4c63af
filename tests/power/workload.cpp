#include "tests/power/workload.hpp"

#include <algorithm>
#include <iterator>

#include "journal/segment_header.hpp"

namespace everstep::power {
namespace {

using journal::lab::TestWrite;

constexpr std::size_t kLinesMax = 12;

bool of_store(const std::string& path, const char* kind) {
    return path.starts_with(std::string(kStoreDirectory) + "/" + kind);
}

}  // namespace

std::span<const Workload::Operation> Workload::operations() {
    static constexpr Operation kOperations[] = {
        {"append", 10, &Workload::append},
        {"append_synced", 16, &Workload::append_synced},
        {"sync", 4, &Workload::sync},
        {"apply", 20, &Workload::apply},
        {"apply_all", 4, &Workload::apply_all},
        {"sync_low", 4, &Workload::sync_low},
        {"rewind", 6, &Workload::rewind},
        {"resume", 8, &Workload::resume},
        {"branch", 3, &Workload::branch},
        {"lose_order", 3, &Workload::lose_order},
        {"write_batch", 1, &Workload::write_batch},
        {"leave_batch", 1, &Workload::leave_batch},
        {"put_mark", 5, &Workload::put_mark},
        {"drop_mark", 2, &Workload::drop_mark},
        {"restart", 2, &Workload::restart},
        {"keep", 6, &Workload::keep},
        {"tend", 4, &Workload::tend},
        {"make_spare", 1, &Workload::make_spare},
    };
    return kOperations;
}

Workload::Workload(MemoryDisk& disk, Past& past, NodeOptions node, WorkloadOptions options)
    : disk_(disk),
      past_(past),
      node_options_(node),
      options_(options),
      random_(options.seed),
      node_(disk, catalogue_, std::move(node)) {
    disk_.before_change = [this](const std::string& path) { beside(path); };
    switch (options.bug) {
        case Bug::none:
        case Bug::low_before_flush:
        case Bug::ack_before_sync:
            break;
        case Bug::redo_sync_lies:
            disk_.lying_sync = "/redo-";
            break;
        case Bug::undo_sync_lies:
            disk_.lying_sync = "/undo-";
            break;
        case Bug::image_sync_lies:
            disk_.lying_sync = "/images/";
            break;
        case Bug::directory_sync_lies:
            disk_.lying_directories = true;
            break;
        case Bug::condensed_sync_lies:
            disk_.lying_sync = "/redo-8";
            disk_.lying_when_made = true;
            break;
    }
    if (!options.recycled) return;
    disk_.recycled = [this](const std::string& path) -> std::shared_ptr<const Content> {
        if (!path.ends_with(".new")) return nullptr;
        const char* kind = of_store(path, "redo-") ? "redo-" : "undo-";
        std::vector<FileId> old;
        for (const auto& [name, id] : disk_.files_now().names)
            if (of_store(name, kind) && name != path) old.push_back(id);
        if (old.empty()) return nullptr;
        recycled_files_ += 1;
        return disk_.files_now().files.at(old[pick(old.size())]);
    };
}

Workload::~Workload() {
    disk_.before_change = nullptr;
    disk_.recycled = nullptr;
}

std::string Workload::run() {
    Status status = begin();
    if (!status.ok()) return "begin: " + status.message();
    unsigned total = 0;
    for (const Operation& op : operations()) total += op.weight;
    for (unsigned n = 0; n < options_.operations; ++n) {
        std::uint64_t at = pick(total);
        const Operation* op = operations().data();
        while (at >= op->weight) at -= op++->weight;
        status = (this->*op->run)();
        if (status.ok()) status = beside_;
        if (!status.ok()) return std::string(op->name) + ": " + status.message();
    }
    node_.close();
    return {};
}

void Workload::promise() {
    promise_.catalogue = catalogue_.states();
    past_.promises.push_back(promise_);
    disk_.note(past_.promises.size() - 1);
}

Status Workload::begin() {
    EVERSTEP_TRY(node_.open());
    EVERSTEP_TRY(node_.begin(past_));
    promise_.begun = true;
    promise_.durable = {Lsn(0)};
    promise_.held.emplace();
    promise();
    return {};
}

TestWrite Workload::random_write() {
    TestWrite w;
    w.volume = VolumeIndex(pick(4) == 0 ? 1 : 0);
    const std::uint64_t sectors = node_options_.sizes[w.volume.value()].value() / kSectorBytes;
    static constexpr std::uint64_t kLengths[] = {1, 1, 2, 3, 5, 8, 8, 8, 16, 24};
    const std::uint64_t first = pick(2) == 0 ? pick(sectors) : pick(std::min(sectors, 20UL));
    const std::uint64_t count = std::min(kLengths[pick(10)], sectors - first);
    w.offset = ByteOffset(first * kSectorBytes);
    w.length = ByteCount(count * kSectorBytes);
    const std::uint64_t kind = pick(12);
    w.kind = kind == 0 ? EntryKind::zero : kind == 1 ? EntryKind::discard : EntryKind::data;
    return w;
}

Status Workload::append_frames(std::uint64_t count) {
    std::vector<FramePtr> frames;
    PastLine& line = past_.receiving();
    for (; count > 0; --count) {
        std::vector<TestWrite> writes;
        for (std::uint64_t k = 1 + pick(3); k > 0; --k) writes.push_back(random_write());
        frames.push_back(line.writer.frame(writes));
        line.frames.push_back(frames.back());
    }
    EVERSTEP_TRY(node_.store().append(frames));
    if (options_.bug != Bug::ack_before_sync) return {};
    promise_.durable[past_.receiving_number()] = line.writer.head();
    promise();
    return {};
}

Status Workload::append() {
    return append_frames(1 + pick(3));
}

Status Workload::append_synced() {
    EVERSTEP_TRY(append());
    return sync();
}

Status Workload::sync() {
    EVERSTEP_TRY(node_.store().sync());
    promise_.durable[past_.receiving_number()] = node_.store().durable().point.lsn;
    for (const auto& [name, at] : marks_unsynced_) promise_.marks[name] = at;
    for (const auto& [name, at] : marks_unsynced_) promise_.marks_maybe.erase(name);
    for (const std::string& name : drops_unsynced_) promise_.marks_maybe.erase(name);
    marks_unsynced_.clear();
    drops_unsynced_.clear();
    promise();
    return {};
}

// The journal thread, between two changes of the apply thread's files.
void Workload::beside(const std::string& path) {
    if (!moving_ || path.ends_with(".new") || !beside_.ok()) return;
    if (!of_store(path, "undo-") && !path.starts_with("/images/")) return;
    if (pick(24) != 0) return;
    beside_ = append_frames(1);
    if (beside_.ok() && pick(2) == 0) beside_ = sync();
}

Status Workload::apply() {
    moving_ = true;
    const auto more = node_.apply_some(options_.bug);
    moving_ = false;
    return more.status();
}

Status Workload::apply_all() {
    for (int n = 0; n < 100; ++n) {
        const auto more = node_.apply_some(options_.bug);
        if (!more.ok()) return more.status();
        if (!*more) break;
    }
    return sync_low();
}

Status Workload::sync_low() {
    return node_.store().sync_low();
}

// A durable step, of any line, that can be read.
Point Workload::random_point() {
    while (true) {
        const std::size_t n = pick(past_.lines().size());
        const Point point{past_.lines()[n].writer.timeline().id,
                          Lsn(pick(promise_.durable[n]->value() + 1))};
        if (past_.is_point(point) && node_.store().view(point).ok()) return point;
    }
}

Status Workload::rewind() {
    const Point target = random_point();
    promise_.held.reset();
    promise();
    moving_ = true;
    const auto moved = node_.travel().rewind(target, false);
    moving_ = false;
    if (!moved.ok()) return moved.status();
    promise_.held = Held{true, target};
    promise();
    return difference(node_.raw(), past_.image(target)).empty()
               ? Status()
               : Status(ErrorCode::internal, "the raw replica is not " + name_of(target));
}

Status Workload::resume() {
    promise_.held.reset();
    promise();
    moving_ = true;
    const auto moved = node_.travel().resume(false);
    moving_ = false;
    if (!moved.ok()) return moved.status();
    promise_.held.emplace();
    promise();
    return {};
}

Status Workload::branch() {
    EVERSTEP_TRY(sync());
    const Point from = random_point();
    if (from.lsn < past_.lines()[*past_.number_of(from.timeline)].writer.timeline().branch_lsn)
        return {};
    return past_.lines().size() < kLinesMax ? begin_line(from) : Status();
}

Status Workload::begin_line(const Point& from) {
    const std::size_t parent = *past_.number_of(from.timeline);
    PastLine& line = past_.branch(parent, from.lsn);
    promise_.durable.emplace_back();
    EVERSTEP_TRY(node_.store().append_timeline(line.writer.timeline()));
    promise_.durable.back() = from.lsn;
    promise();
    return {};
}

// The stream breaks off and begins again: what was lost comes by resync.
Status Workload::lose_order() {
    EVERSTEP_TRY(sync());
    PastLine& line = past_.receiving();
    const TimelineId id = line.writer.timeline().id;
    PastGap gap;
    gap.line = past_.receiving_number();
    gap.from = line.writer.head();
    EVERSTEP_TRY(node_.store().open_gap({id, gap.from}, "lost"));
    for (std::uint64_t n = 1 + pick(3); n > 0; --n) {
        gap.lost.push_back(random_write());
        (void)line.writer.frame({gap.lost.back()});
    }
    TestWrite end;
    end.kind = EntryKind::sync;
    line.frames.push_back(line.writer.frame({end}));
    gap.to = line.writer.head();
    past_.gaps.push_back(gap);
    for (const TestWrite& write : gap.lost) {
        if (pick(2) == 0) EVERSTEP_TRY(node_.store().sync());
        if (pick(2) == 0) EVERSTEP_TRY(node_.apply_some(options_.bug).status());
        const FramePtr frame = past_.resync_frame(gap, write, gap.from);
        EVERSTEP_TRY(node_.store().append_resync(frame));
    }
    EVERSTEP_TRY(node_.store().append({&line.frames.back(), 1}));
    EVERSTEP_TRY(node_.store().close_gap({id, gap.to}));
    return sync();
}

Status Workload::put_frame(const FramePtr& frame) {
    past_.receiving().frames.push_back(frame);
    return node_.store().append({&frame, 1});
}

// Steps that belong together; the end comes with the last one.
Status Workload::write_batch() {
    EVERSTEP_TRY(sync());
    journal::lab::Primary& writer = past_.receiving().writer;
    PastGap batch;
    batch.batch = true;
    batch.line = past_.receiving_number();
    batch.from = writer.head();
    EVERSTEP_TRY(put_frame(writer.batch_frame(EntryKind::batch_begin)));
    for (std::uint64_t n = 1 + pick(4); n > 0; --n) {
        EVERSTEP_TRY(put_frame(writer.frame({random_write()})));
        if (pick(2) == 0) EVERSTEP_TRY(node_.store().sync());
        if (pick(2) == 0) EVERSTEP_TRY(node_.apply_some(options_.bug).status());
    }
    const FramePtr last = writer.batch_frame(EntryKind::batch_end, {random_write()});
    batch.to = writer.head();
    past_.gaps.push_back(batch);
    EVERSTEP_TRY(put_frame(last));
    return sync();
}

// A takeover in the middle of one: another line goes on.
Status Workload::leave_batch() {
    if (past_.lines().size() >= kLinesMax) return {};
    EVERSTEP_TRY(sync());
    journal::lab::Primary& writer = past_.receiving().writer;
    const Point from{writer.timeline().id, writer.head()};
    EVERSTEP_TRY(put_frame(writer.batch_frame(EntryKind::batch_begin)));
    for (std::uint64_t n = pick(4); n > 0; --n) {
        EVERSTEP_TRY(put_frame(writer.frame({random_write()})));
        if (pick(2) == 0) EVERSTEP_TRY(node_.store().sync());
        if (pick(2) == 0) EVERSTEP_TRY(node_.apply_some(options_.bug).status());
    }
    past_.gaps.push_back({true, past_.receiving_number(), from.lsn, writer.head() + 1, {}});
    EVERSTEP_TRY(sync());
    Point start = pick(2) == 0 ? from : random_point();
    if (start.lsn < past_.lines()[*past_.number_of(start.timeline)].writer.timeline().branch_lsn)
        start = from;
    return begin_line(start);
}

Status Workload::put_mark() {
    journal::Mark mark;
    mark.name = "mark-" + std::to_string(marks_++);
    mark.at = random_point();
    mark.pinned = pick(2) == 0;
    if (mark.pinned) pinned_.insert(mark.name);
    promise_.marks_maybe[mark.name] = mark.at;
    promise();
    EVERSTEP_TRY(node_.store().put_mark(mark));
    marks_unsynced_[mark.name] = mark.at;
    return {};
}

Status Workload::drop_mark() {
    if (promise_.marks.empty()) return {};
    const auto mark =
        std::next(promise_.marks.begin(), static_cast<std::ptrdiff_t>(pick(promise_.marks.size())));
    const std::string name = mark->first;
    promise_.marks_maybe[name] = mark->second;
    promise_.marks.erase(mark);
    promise();
    EVERSTEP_TRY(node_.store().drop_mark(name));
    drops_unsynced_.push_back(name);
    pinned_.erase(name);
    return {};
}

// As a standby stops and starts.
Status Workload::restart() {
    EVERSTEP_TRY(sync());
    EVERSTEP_TRY(node_.mover().finish_step());
    EVERSTEP_TRY(node_.store().sync_low());
    // What was written last of the catalogue may be lost.
    catalogue_.go_back(pick(3));
    EVERSTEP_TRY(node_.open());
    EVERSTEP_TRY(node_.mover().redo());
    const journal::ReplicaState at = node_.store().replica();
    return at.held ? node_.mover().reach(at.held_at) : Status();
}

// Every step that can be read.
std::set<Point> Workload::readable() const {
    std::set<Point> out;
    for (const PastLine& line : past_.lines()) {
        const journal::TimelineInfo& info = line.writer.timeline();
        for (Lsn lsn = info.branch_lsn; lsn <= line.writer.head(); ++lsn)
            if (past_.is_point({info.id, lsn}) && node_.store().view({info.id, lsn}).ok())
                out.insert(past_.owner({info.id, lsn}));
    }
    return out;
}

// What retention may not take, whatever it is told.
Status Workload::check_kept(const std::set<Point>& now) const {
    const auto lost = [&](const std::string& what, const Point& at) {
        return Status(ErrorCode::internal, "retention took " + name_of(at) + ", " + what + ": " +
                                               node_.store().view(at).status().message());
    };
    for (const auto& [name, at] : promise_.marks)
        if (pinned_.contains(name) && !now.contains(past_.owner(at)))
            return lost("which is pinned", at);
    for (const auto& [name, at] : marks_unsynced_)
        if (pinned_.contains(name) && !now.contains(past_.owner(at)))
            return lost("which is pinned", at);
    if (promise_.held && promise_.held->held && !now.contains(past_.owner(promise_.held->at)))
        return lost("at which the replica is held", promise_.held->at);
    const Point newest = node_.store().consistent();
    if (!node_.store().view(newest).ok()) return lost("the newest one", newest);
    return {};
}

void Workload::take_marks(Promise& from, const std::set<Point>& taken) const {
    for (auto mark = from.marks.begin(); mark != from.marks.end();) {
        if (!taken.contains(past_.owner(mark->second))) {
            ++mark;
            continue;
        }
        from.marks_maybe.insert(*mark);
        mark = from.marks.erase(mark);
    }
}

// What goes is known when it is gone: what the note before says of it is written behind.
Status Workload::keep_one(const journal::KeepLimits& limits, bool& more) {
    const std::set<Point> before = readable();
    const std::size_t at = past_.promises.size();
    promise();
    const auto done = node_.keep(limits);
    if (!done.ok()) return done.status();
    more = *done;
    const std::set<Point> after = readable();
    EVERSTEP_TRY(check_kept(after));
    std::set<Point> taken;
    std::set_difference(before.begin(), before.end(), after.begin(), after.end(),
                        std::inserter(taken, taken.end()));
    past_.promises[at].going = taken;
    take_marks(past_.promises[at], taken);
    take_marks(promise_, taken);
    for (const auto& [name, mark] : promise_.marks_maybe)
        if (taken.contains(past_.owner(mark))) marks_unsynced_.erase(name);
    promise_.gone.merge(taken);
    promise();
    return {};
}

Status Workload::keep() {
    journal::KeepLimits limits;
    limits.force = pick(3) == 0;
    limits.keep_bytes = ByteCount((64 + pick(5) * 32) << 10);
    bool more = true;
    for (std::uint64_t n = 1 + pick(6); n > 0 && more; --n) EVERSTEP_TRY(keep_one(limits, more));
    return {};
}

Status Workload::tend() {
    EVERSTEP_TRY(node_.tend());
    promise();
    return {};
}

Status Workload::make_spare() {
    return node_.store().make_spare();
}

}  // namespace everstep::power
