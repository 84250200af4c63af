#include "standby/standby.hpp"

#include <fmt/format.h>

#include "common/net/worker_pool.hpp"
#include "journal/lmdb_catalogue.hpp"
#include "standby/apply.hpp"
#include "standby/branches.hpp"
#include "standby/content.hpp"
#include "standby/journal_stage.hpp"
#include "standby/keeper.hpp"
#include "standby/notices.hpp"
#include "standby/replica.hpp"

namespace everstep::standby {

// Wires the stages: journal thread -> store -> apply thread -> replica. Members end in the reverse
// order.
struct Standby::Impl {
    StandbyOptions options;
    std::unique_ptr<Notices> notices;
    std::unique_ptr<journal::LmdbCatalogue> catalogue;  // the store's: outlives it
    std::unique_ptr<journal::Store> store;
    std::unique_ptr<Replica> replica;
    std::unique_ptr<ApplyStage> apply;
    std::unique_ptr<JournalStage> journal;
    std::unique_ptr<Keeper> keeper;
    std::unique_ptr<net::WorkerPool> readers;
    std::unique_ptr<Branches> branches;
};

namespace {

// History without its replica would read a new, empty image as the past: such an image is never
// made.
Status check_images(io::FileSystem& files, const std::vector<VolumeFile>& volumes) {
    for (const VolumeFile& volume : volumes) {
        const std::string name = fmt::format("volume {}", volume.name);
        const Result<bool> exists = files.exists(volume.path);
        if (!exists.ok()) return exists.status().with_context(name);
        if (!*exists) {
            return Status(ErrorCode::refused,
                          fmt::format("{}: the replica is gone, but its history is here; put the "
                                      "file back, or adopt the group anew",
                                      volume.path))
                .with_context(name);
        }
        auto file = files.open(volume.path, {});
        if (!file.ok()) return file.status().with_context(name);
        const Result<ByteCount> size = (*file)->size();
        if (!size.ok()) return size.status().with_context(name);
        if (*size == volume.size) continue;
        return Status(ErrorCode::refused, fmt::format("{}: found {} bytes, wanted {}", volume.path,
                                                      size->value(), volume.size.value()))
            .with_context(name);
    }
    return {};
}

journal::StoreOptions store_options(const StandbyOptions& options, journal::Catalogue& catalogue) {
    journal::StoreOptions out;
    out.directory = options.directory;
    out.group = options.group;
    out.segment_bytes = options.segment_bytes;
    out.clock = options.clock;
    out.catalogue = &catalogue;
    for (const VolumeFile& volume : options.volumes) out.volume_bytes.push_back(volume.size);
    return out;
}

}  // namespace

Standby::Standby() : impl_(std::make_unique<Impl>()) {}

Standby::~Standby() {
    if (impl_->notices) impl_->notices->silence();
    stop();
    impl_->branches.reset();
    impl_->readers.reset();
}

Result<std::unique_ptr<Standby>> Standby::open(const StandbyOptions& options, net::Loop& loop,
                                               StandbyEvents events) {
    std::unique_ptr<Standby> standby(new Standby());
    Impl& impl = *standby->impl_;
    impl.options = options;
    if (impl.options.files == nullptr) impl.options.files = &io::system_files();
    if (impl.options.clock == nullptr) impl.options.clock = &system_clock();
    impl.notices = std::make_unique<Notices>(loop, std::move(events));
    Notices* notices = impl.notices.get();

    std::vector<std::string> report;
    impl.catalogue =
        std::make_unique<journal::LmdbCatalogue>(*impl.options.files, options.directory);
    auto store = journal::Store::open(*impl.options.files,
                                      store_options(impl.options, *impl.catalogue), report);
    for (const std::string& line : report) notices->event("store-recovered", line);
    if (!store.ok()) return store.status();
    impl.store = std::move(*store);
    if (impl.store->has_history()) {
        EVERSTEP_TRY(check_images(*impl.options.files, options.volumes));
    }
    auto replica = Replica::open(*impl.options.files, options.volumes);
    if (!replica.ok()) return replica.status();
    impl.replica = std::move(*replica);
    auto readers = net::WorkerPool::make(kReaderThreads);
    if (!readers.ok()) return readers.status();
    impl.readers = std::move(*readers);

    const auto on_the_loop = [notices](std::function<void()> callback) {
        notices->answer(std::move(callback));
    };
    impl.apply = std::make_unique<ApplyStage>(*impl.store, *impl.replica, *impl.options.clock,
                                              ApplyHooks{[notices] { notices->progress(); },
                                                         [notices](const Status& status) {
                                                             notices->event("apply-failed",
                                                                            status.message());
                                                             notices->failed(status);
                                                         },
                                                         on_the_loop});
    ApplyStage* apply = impl.apply.get();
    impl.journal = std::make_unique<JournalStage>(
        *impl.store, JournalHooks{[notices, apply](bool received) {
                                      apply->wake();
                                      if (received) notices->progress();
                                  },
                                  [notices](const Status& status) {
                                      notices->event("journal-failed", status.message());
                                      notices->failed(status);
                                  },
                                  on_the_loop});
    EVERSTEP_TRY(impl.apply->start());
    EVERSTEP_TRY(impl.journal->start());
    // Before retention: they hold what lies below them.
    EVERSTEP_TRY(standby->open_branches());
    EVERSTEP_TRY(start_keeper(impl));
    return standby;
}

Status Standby::open_branches() {
    Impl& impl = *impl_;
    Branches::Options options;
    options.group = this;
    options.each.files = impl.options.files;
    options.each.clock = impl.options.clock;
    options.each.directory = impl.options.branches;
    options.each.group = impl.options.group;
    options.each.node = impl.options.node;
    options.each.reserve_bytes = impl.options.reserve_bytes;
    for (const VolumeFile& volume : impl.options.volumes)
        options.each.volume_bytes.push_back(volume.size);
    options.each.event = [notices = impl.notices.get()](std::string kind, std::string text) {
        notices->event(std::move(kind), std::move(text));
    };
    options.each.on_the_loop = [notices = impl.notices.get()](std::function<void()> callback) {
        notices->answer(std::move(callback));
    };
    impl.branches = std::make_unique<Branches>(std::move(options));
    if (impl.options.branches.empty() || !impl.store->has_history()) return {};
    return impl.branches->open();
}

Branches& Standby::branches() const {
    return *impl_->branches;
}

Status Standby::start_keeper(Impl& impl) {
    KeeperOptions options;
    options.files = impl.options.files;
    options.directory = impl.options.directory;
    options.limits = impl.options.keep;
    options.reserve_bytes = impl.options.reserve_bytes;
    options.segment_bytes = impl.options.segment_bytes;
    KeeperHooks hooks;
    hooks.event = [notices = impl.notices.get()](std::string kind, std::string text) {
        notices->event(std::move(kind), std::move(text));
    };
    hooks.pause = [journal = impl.journal.get()](bool paused) { journal->hold(paused); };
    impl.keeper = std::make_unique<Keeper>(*impl.store, *impl.replica, options, std::move(hooks));
    return impl.keeper->start();
}

bool Standby::full() const {
    return impl_->keeper->full();
}

void Standby::set_serving(bool serving) {
    impl_->keeper->serve(serving);
    impl_->apply->set_serving(serving);
}

void Standby::set_limits(const journal::KeepLimits& limits, ByteCount reserve_bytes) {
    impl_->keeper->set_limits(limits, reserve_bytes);
    impl_->branches->set_reserve(reserve_bytes);
}

void Standby::stop() {
    if (impl_->branches) impl_->branches->stop();
    if (impl_->keeper) impl_->keeper->stop();
    // The journal first: what it makes durable may still be applied.
    if (impl_->journal) impl_->journal->stop();
    if (impl_->apply) impl_->apply->stop();
}

const journal::Store& Standby::store() const {
    return *impl_->store;
}

const journal::ReplicaReader& Standby::replica() const {
    return *impl_->replica;
}

const Replica& Standby::images() const {
    return *impl_->replica;
}

const StandbyOptions& Standby::options() const {
    return impl_->options;
}

net::WorkerPool& Standby::readers() const {
    return *impl_->readers;
}

void Standby::event(std::string kind, std::string text) const {
    impl_->notices->event(std::move(kind), std::move(text));
}

void Standby::on_loop(std::function<void()> callback) const {
    impl_->notices->answer(std::move(callback));
}

Lsn Standby::applied() const {
    return impl_->apply->applied();
}

std::uint64_t Standby::queued_bytes() const {
    return impl_->journal->queued_bytes();
}

Status Standby::failure() const {
    const Status journal = impl_->journal->failure();
    return journal.ok() ? impl_->apply->failure() : journal;
}

Status Standby::journal_failure() const {
    return impl_->journal->failure();
}

void Standby::push(FramePtr frame, Refused refused) {
    impl_->journal->push(std::move(frame), std::move(refused));
}

void Standby::journal_task(std::function<Status(journal::Store&)> task,
                           std::function<void(Status)> done) {
    impl_->journal->push_task(std::move(task), std::move(done));
}

void Standby::push_resync(FramePtr frame, std::shared_ptr<bool> broken, Refused refused) {
    const Replica* replica = impl_->replica.get();
    auto take = [replica, frame, broken = std::move(broken)](journal::Store& store) -> Status {
        if (*broken) return {ErrorCode::refused, "extents behind some that were refused"};
        const Status taken = journal_resync(store, *replica, frame);
        // Without room it is tried again.
        if (!taken.ok() && taken.code() != ErrorCode::no_space) *broken = true;
        return taken;
    };
    impl_->journal->push_content(std::move(frame), std::move(take), std::move(refused));
}

void Standby::push_initial(FramePtr frame, Refused refused) {
    Replica* replica = impl_->replica.get();
    auto take = [replica, frame](journal::Store& store) -> Status {
        if (store.has_history()) {
            return {ErrorCode::refused, "initial sync: this node has history; adopt decides"};
        }
        return write_initial(*replica, *frame);
    };
    impl_->journal->push_content(std::move(frame), std::move(take), std::move(refused));
}

void Standby::begin_history(std::vector<journal::TimelineInfo> timelines, journal::Tip base,
                            std::function<void(Status)> done) {
    Replica* replica = impl_->replica.get();
    auto task = [replica, timelines = std::move(timelines), base](journal::Store& store) -> Status {
        if (store.has_history()) {
            return {ErrorCode::refused, "initial sync: this node has history; adopt decides"};
        }
        EVERSTEP_TRY(replica->sync());
        return store.begin_history(timelines, base);
    };
    impl_->journal->push_task(std::move(task), std::move(done));
}

void Standby::append_local(FramePtr frame, std::function<void(Status)> done) {
    impl_->journal->push_local(std::move(frame), std::move(done));
}

void Standby::sync_local(std::function<void(Status)> done) {
    impl_->journal->push_sync(std::move(done));
}

void Standby::rewind(Point target, bool dry_run, std::function<void(Result<Value>)> done,
                     std::function<void(Value)> progress) {
    // The step may be appended and not yet durable; the replica goes to durable steps only.
    ApplyStage* apply = impl_->apply.get();
    impl_->journal->push_sync([apply, target, dry_run, done = std::move(done),
                               progress = std::move(progress)](const Status&) {
        apply->rewind(target, dry_run, done, progress);
    });
}

void Standby::release(std::function<void(Status)> done) {
    // Behind the rewinds that wait for the journal.
    ApplyStage* apply = impl_->apply.get();
    impl_->journal->push_sync(
        [apply, done = std::move(done)](const Status&) { apply->release(done); });
}

void Standby::resume(bool dry_run, std::function<void(Result<Value>)> done,
                     std::function<void(Value)> progress) {
    impl_->apply->resume(dry_run, std::move(done), std::move(progress));
}

}  // namespace everstep::standby
