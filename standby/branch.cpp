#include "standby/branch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "common/net/worker_pool.hpp"
#include "journal/lmdb_catalogue.hpp"
#include "journal/step_reader.hpp"
#include "standby/journal_stage.hpp"
#include "standby/keeper.hpp"

namespace everstep::standby {
namespace {

// Of each branch, of which there may be many and most are hardly written on: less than a group's
// store takes. An unwritten one has two of them.
constexpr ByteCount kSegmentBytes{4ULL << 20};
constexpr ByteCount kRecentFrameBytes{4ULL << 20};
constexpr std::size_t kReaderThreads = 1;
// So much may be written between two looks at the room that is left: the keeper's, once a second,
// are too rare for a fast disk.
constexpr std::uint64_t kLookBytes = 4ULL << 20;

// A branch is full while the group still has its reserve, and as much again: what is tried out here
// must not stop what is received.
ByteCount reserve_of(ByteCount of_group) {
    return ByteCount(2 * of_group.value());
}

// The timelines of the way to a timeline, parents first.
std::vector<journal::TimelineInfo> ancestors_of(const journal::Store& store, TimelineId id) {
    const std::vector<journal::TimelineInfo> all = store.timelines();
    std::vector<journal::TimelineInfo> way;
    for (auto one = all.rbegin(); one != all.rend(); ++one) {
        if (one->id != id) continue;
        way.insert(way.begin(), *one);
        id = one->parent;
    }
    return way;
}

Result<journal::TimelineInfo> timeline_from(const journal::Store& store, Point at,
                                            const std::string& node) {
    const Result<journal::Tip> tip = store.tip_at(at);
    if (!tip.ok()) return tip.status();
    journal::TimelineInfo next;
    next.id = TimelineId::random();
    next.parent = at.timeline;
    next.branch_lsn = at.lsn;
    next.branch_hash = tip->hash;
    next.branch_seq = tip->seq;
    next.node = node;
    for (const journal::TimelineInfo& one : store.timelines())
        if (one.id == at.timeline) next.number = one.number + 1;
    return next;
}

Status append_new_timeline(journal::Store& store, Point at, const std::string& node) {
    const Result<journal::TimelineInfo> next = timeline_from(store, at, node);
    if (!next.ok()) return next.status();
    EVERSTEP_TRY(store.append_timeline(*next));
    return store.sync();
}

Status remove_tree(io::FileSystem& files, const std::string& directory) {
    const auto there = files.exists(directory);
    if (!there.ok() || !*there) return there.status();
    const auto names = files.list(directory);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) EVERSTEP_TRY(files.remove(directory + "/" + name));
    return files.remove(directory);
}

}  // namespace

struct Branch::Impl {
    BranchOptions options;
    BranchRecord record;
    Below below;
    journal::HoldPtr hold;
    std::vector<TimelineId> inherited;
    std::unique_ptr<journal::StepReader> step;          // in the store below
    std::unique_ptr<journal::LmdbCatalogue> catalogue;  // the store's: outlives it
    std::unique_ptr<journal::Store> store;
    std::unique_ptr<JournalStage> journal;
    std::unique_ptr<Keeper> keeper;
    std::unique_ptr<net::WorkerPool> readers;
    std::atomic<std::uint64_t> reserve_bytes{0};   // its own
    std::atomic<std::uint64_t> appended_bytes{0};  // since the last look
    std::atomic<bool> is_short{false};

    [[nodiscard]] bool look() {
        appended_bytes = 0;
        const auto free = options.files->free_bytes(store_directory());
        is_short = free.ok() && free->value() < reserve_bytes;
        return is_short;
    }
    [[nodiscard]] std::string store_directory() const { return options.directory + "/store"; }
    [[nodiscard]] Status save() const {
        return save_branch(*options.files, options.directory, record);
    }
};

Branch::Branch() : impl_(std::make_unique<Impl>()) {}

Branch::~Branch() {
    stop();
    impl_->readers.reset();
}

Result<std::shared_ptr<Branch>> Branch::make(const BranchOptions& options, Below below,
                                             BranchRecord record) {
    const auto again = unpack_branch(pack_branch(record));
    if (!again.ok() || !(*again == record))
        return Status(ErrorCode::usage,
                      fmt::format("export {}: its socket, address and directory have to be of one "
                                  "line each",
                                  record.id));
    EVERSTEP_TRY(drop(*options.files, options.directory));
    EVERSTEP_TRY(options.files->make_directory(options.directory));
    std::shared_ptr<Branch> branch(new Branch());
    branch->impl_->below = std::move(below);
    branch->impl_->record = std::move(record);
    EVERSTEP_TRY(branch->open_store(options));
    EVERSTEP_TRY(branch->begin());
    branch->impl_->record.clean = false;
    EVERSTEP_TRY(branch->impl_->save());
    EVERSTEP_TRY(branch->start());
    return branch;
}

Result<std::shared_ptr<Branch>> Branch::open(const BranchOptions& options, Below below,
                                             BranchRecord record) {
    std::shared_ptr<Branch> branch(new Branch());
    Impl& impl = *branch->impl_;
    impl.below = std::move(below);
    impl.record = std::move(record);
    EVERSTEP_TRY(branch->open_store(options));
    // Also where none of its steps is there: some may have been seen.
    if (!impl.record.clean)
        EVERSTEP_TRY(append_new_timeline(*impl.store, impl.store->tip().point, options.node));
    impl.record.clean = false;
    EVERSTEP_TRY(impl.save());
    EVERSTEP_TRY(branch->start());
    return branch;
}

Status Branch::open_store(const BranchOptions& options) {
    Impl& impl = *impl_;
    impl.options = options;
    auto hold = impl.below->store().hold(impl.record.base, journal::HoldKind::lasting);
    if (!hold.ok()) return hold.status();
    impl.hold = std::move(*hold);
    auto view = impl.below->store().view(impl.record.base);
    if (!view.ok()) return view.status();
    for (const auto& one : ancestors_of(impl.below->store(), impl.record.base.timeline))
        impl.inherited.push_back(one.id);
    impl.step = std::make_unique<journal::StepReader>(impl.below->store(), impl.below->replica(),
                                                      std::move(*view), options.volume_bytes);

    impl.catalogue =
        std::make_unique<journal::LmdbCatalogue>(*options.files, impl.store_directory());
    journal::StoreOptions store_options;
    store_options.directory = impl.store_directory();
    store_options.group = options.group;
    store_options.volume_bytes = options.volume_bytes;
    store_options.segment_bytes = kSegmentBytes;
    store_options.clock = options.clock;
    store_options.catalogue = impl.catalogue.get();
    store_options.recent_frame_bytes = kRecentFrameBytes;
    std::vector<std::string> report;
    auto store = journal::Store::open(*options.files, store_options, report);
    for (const std::string& line : report) options.event("store-recovered", line);
    if (!store.ok()) return store.status();
    impl.store = std::move(*store);
    return {};
}

Status Branch::begin() {
    const journal::Store& below = impl_->below->store();
    const Point base = impl_->record.base;
    const Result<journal::Tip> tip = below.tip_at(base);
    if (!tip.ok()) return tip.status();
    EVERSTEP_TRY(impl_->store->begin_history(ancestors_of(below, base.timeline), *tip));
    return append_new_timeline(*impl_->store, base, impl_->options.node);
}

Status Branch::start() {
    Impl& impl = *impl_;
    const auto event = impl.options.event;
    impl.journal = std::make_unique<JournalStage>(
        *impl.store, JournalHooks{[](bool) {},
                                  [event, id = impl.record.id](const Status& status) {
                                      event("journal-failed",
                                            fmt::format("export {}: {}", id, status.message()));
                                  },
                                  impl.options.on_the_loop});
    EVERSTEP_TRY(impl.journal->start());
    auto readers = net::WorkerPool::make(kReaderThreads);
    if (!readers.ok()) return readers.status();
    impl.readers = std::move(*readers);
    KeeperOptions keep;
    keep.files = impl.options.files;
    keep.directory = impl.store_directory();
    keep.reserve_bytes = reserve_of(impl.options.reserve_bytes);
    impl.reserve_bytes = keep.reserve_bytes.value();
    keep.segment_bytes = kSegmentBytes;
    keep.keeps_all = true;
    keep.makes_spares = false;
    impl.keeper =
        std::make_unique<Keeper>(*impl.store, *impl.step, keep, KeeperHooks{event, [](bool) {}});
    impl.keeper->serve(true);
    return impl.keeper->start();
}

void Branch::stop() {
    Impl& impl = *impl_;
    if (!impl.journal) return;
    if (impl.keeper) impl.keeper->stop();
    impl.journal->stop();
    impl.record.clean = impl.journal->failure().ok();
    impl.journal.reset();
    impl.keeper.reset();
    if (!impl.record.clean) return;
    const Status saved = impl.save();
    if (!saved.ok()) impl.options.event("alarm-stop", saved.message());
}

Status Branch::drop(io::FileSystem& files, const std::string& directory) {
    const auto there = files.exists(directory);
    if (!there.ok() || !*there) return there.status();
    const auto known = files.exists(directory + "/branch");
    if (!known.ok()) return known.status();
    if (*known) {  // from here on it is none any more
        EVERSTEP_TRY(files.remove(directory + "/branch"));
        EVERSTEP_TRY(files.sync_directory(directory));
    }
    EVERSTEP_TRY(remove_tree(files, directory + "/store"));
    return remove_tree(files, directory);
}

const BranchRecord& Branch::record() const {
    return impl_->record;
}

const Branch::Below& Branch::below() const {
    return impl_->below;
}

const journal::View& Branch::base() const {
    return impl_->step->view();
}

bool Branch::owns(const TimelineId& timeline) const {
    if (std::find(impl_->inherited.begin(), impl_->inherited.end(), timeline) !=
        impl_->inherited.end())
        return false;
    const std::vector<journal::TimelineInfo> all = impl_->store->timelines();
    return std::any_of(all.begin(), all.end(),
                       [&](const journal::TimelineInfo& one) { return one.id == timeline; });
}

bool Branch::begins_timeline() const {
    const Point tip = impl_->store->tip().point;
    const std::vector<journal::TimelineInfo> all = impl_->store->timelines();
    return std::any_of(all.begin(), all.end(), [&](const journal::TimelineInfo& one) {
        return one.id == tip.timeline && one.branch_lsn == tip.lsn;
    });
}

bool Branch::is_written() const {
    const journal::Store& store = *impl_->store;
    const std::vector<journal::TimelineInfo> all = store.timelines();
    return !store.marks().empty() ||
           std::any_of(all.begin(), all.end(), [&](const journal::TimelineInfo& one) {
               return owns(one.id) && store.view({one.id, one.branch_lsn + 1}).ok();
           });
}

void Branch::branch_off(Point at, std::function<void(Status)> done) {
    journal_task([at, node = impl_->options.node](
                     journal::Store& store) { return append_new_timeline(store, at, node); },
                 std::move(done));
}

void Branch::set_reserve(ByteCount reserve_bytes) {
    impl_->reserve_bytes = reserve_of(reserve_bytes).value();
    impl_->keeper->set_limits({}, reserve_of(reserve_bytes));
}

void Branch::give_up_room(bool given_up) {
    if (impl_->journal) impl_->journal->give_up_room(given_up);
}

Status Branch::forget_mount() {
    BranchRecord without = impl_->record;
    without.mount.clear();
    EVERSTEP_TRY(save_branch(*impl_->options.files, impl_->options.directory, without));
    impl_->record = std::move(without);
    return {};
}

void Branch::journal_task(std::function<Status(journal::Store&)> task,
                          std::function<void(Status)> done) {
    impl_->journal->push_task(std::move(task), std::move(done));
}

const journal::Store& Branch::store() const {
    return *impl_->store;
}

const journal::ReplicaReader& Branch::replica() const {
    return *impl_->step;
}

net::WorkerPool& Branch::readers() const {
    return *impl_->readers;
}

void Branch::append_local(FramePtr frame, std::function<void(Status)> done) {
    impl_->appended_bytes += frame->bytes().size();
    impl_->journal->push_local(std::move(frame), std::move(done));
}

void Branch::sync_local(std::function<void(Status)> done) {
    impl_->journal->push_sync(std::move(done));
}

bool Branch::full() const {
    const bool wanted = impl_->is_short || impl_->appended_bytes >= kLookBytes;
    return impl_->keeper->full() || (wanted && impl_->look());
}

}  // namespace everstep::standby
