#include "daemon/pipeline.hpp"

#include <algorithm>
#include <future>
#include <utility>

#include "common/base/thread.hpp"
#include "daemon/direct_volume.hpp"
#include "daemon/store_volume.hpp"

namespace everstep::daemon {

namespace {
constexpr std::chrono::seconds kTick{1};
constexpr std::chrono::milliseconds kHandoverDelay{20};
constexpr std::uint64_t kHandoverTogether = 1ULL << 20;  // bytes that wait for it at most
}  // namespace

Pipeline::Pipeline(net::Loop& loop, PipelineOptions options, PipelineEvents events)
    : node_(loop),
      options_(std::move(options)),
      events_(std::move(events)),
      alive_(std::make_shared<Pipeline*>(this)),
      marked_bytes_(kIntentStandbysMax) {
    captured_ = options_.capture.tip.point.lsn.value();
}

Pipeline::~Pipeline() {
    if (thread_.joinable()) stop();
    *alive_ = nullptr;
}

Status Pipeline::start() {
    std::promise<Status> opened;
    EVERSTEP_TRY(start_thread(thread_, [this] { loop_.run(); }));
    loop_.post([this, &opened] { opened.set_value(within_limits([this] { return open(); })); });
    const Status status = opened.get_future().get();
    if (!status.ok()) stop();
    return status;
}

Status Pipeline::open() {
    capture_ = std::make_unique<Capture>(
        loop_, options_.capture, [this](const FramePtr& frame) { deliver(frame); },
        [this](const std::string& kind, const std::string& text) {
            node_.post([alive = alive_, kind, text] {
                if (*alive != nullptr) (*alive)->events_.on_event(kind, text);
            });
        });
    if (options_.store != nullptr) {
        journal_ =
            std::make_unique<StoreJournal>(loop_, *options_.store, options_.capture.tip.point.lsn);
    }
    volumes_.reserve(std::max(kVolumesMax, options_.volumes.size()));  // copies read them beside
    for (std::size_t i = 0; i < options_.volumes.size(); ++i) EVERSTEP_TRY(open_volume(i));
    count_marked();
    uris_.resize(options_.volumes.size());
    if (options_.in_batch) {
        capture_->begin_batch();
    } else {
        EVERSTEP_TRY(open_servers(0, uris_));
    }
    timer_ = std::make_unique<net::Timer>(loop_);
    timer_->every(kTick, [this] { tick(); });
    handover_timer_ = std::make_unique<net::Timer>(loop_);
    return {};
}

Status Pipeline::open_servers(std::size_t first, std::vector<std::string>& uris) {
    for (std::size_t i = first; i < options_.volumes.size(); ++i) {
        const PipelineVolume& volume = options_.volumes[i];
        if (volume.listen.empty()) continue;
        const std::string description =
            volume.description.empty() ? "everstep volume " + volume.name : volume.description;
        auto server =
            NbdServer::make(loop_, volume.listen, {{volume.name, description, volumes_[i].get()}});
        if (!server.ok()) return server.status().with_context("volume " + volume.name);
        uris[i] = server.value()->uri();
        servers_.push_back(std::move(server.value()));
    }
    return {};
}

Status Pipeline::open_volume(std::size_t index) {
    const PipelineVolume& volume = options_.volumes[index];
    const VolumeIndex place(index);
    if (journal_) {
        auto served = std::make_unique<StoreVolume>(loop_, *capture_, *journal_,
                                                    StoreVolume::Place{place, volume.size});
        EVERSTEP_TRY(served->start());
        volumes_.push_back(std::move(served));
        return {};
    }
    auto file = options_.files->open(volume.device, {io::OpenMode::read_write, true, false});
    if (!file.ok()) return file.status().with_context("volume " + volume.name);
    std::unique_ptr<io::File> direct;  // copies do without where it cannot be had
    if (auto opened = options_.files->open(volume.device, {io::OpenMode::read_only, false, true});
        opened.ok())
        direct = std::move(*opened);
    auto served = std::make_unique<DirectVolume>(
        loop_, *capture_, DirectVolume::Place{place, volume.size},
        DirectVolume::Device{std::move(file.value()), open_intent(index), std::move(direct)});
    EVERSTEP_TRY(served->start());
    if (volume.coming) served->begin_taking_in();
    volumes_.push_back(std::move(served));
    return {};
}

void Pipeline::deliver(const FramePtr& frame) {
    const std::uint64_t bytes = frame->bytes().size();
    captured_.store(frame->header().last_lsn.value(), std::memory_order_relaxed);
    captured_bytes_.fetch_add(bytes, std::memory_order_relaxed);
    step_now_ns_.store(capture_->step_time().time_since_epoch().count(), std::memory_order_relaxed);
    if (overflowed_ || handover_bytes_.load() + bytes > kHandoverBytesMax) {
        if (journal_) journal_->append(frame, {});
        if (!overflowed_) {
            overflowed_ = true;
            node_.post([this, alive = alive_] {
                if (*alive == nullptr) return;
                loop_.post([this] { overflowed_ = false; });
                events_.on_overflow();
            });
        }
        return;
    }
    handover_bytes_ += bytes;
    if (!journal_) {
        hand_over(frame);
        return;
    }
    // Behind the append: no standby ever has what this node's store does not hold after a crash.
    journal_->append(frame, [this, frame, bytes](const Status& taken) {
        if (taken.ok()) {
            hand_over(frame);
        } else {
            handover_bytes_ -= bytes;
        }
    });
}

// On the capture thread, or the journal's.
void Pipeline::hand_over(const FramePtr& frame) {
    bool at_once = eager_ || !loop_.on_this_thread();
    bool first = false;
    {
        const std::lock_guard guard(handover_.mutex);
        first = handover_.frames->empty();
        handover_.frames->push_back(frame);
        handover_.bytes += frame->bytes().size();
        at_once = at_once || handover_.bytes > kHandoverTogether || !handover_timer_;
    }
    if (at_once) {
        flush_handover();
    } else if (first) {
        handover_timer_->after(kHandoverDelay, [this] { flush_handover(); });
    }
}

void Pipeline::flush_handover() {
    std::shared_ptr<Frames> posted;
    {
        const std::lock_guard guard(handover_.mutex);
        if (handover_.frames->empty() || std::exchange(handover_.posted, true)) return;
        posted = handover_.frames;
    }
    node_.post([alive = alive_, posted] {
        if (*alive == nullptr) return;
        Pipeline& self = **alive;
        Frames frames;
        {
            const std::lock_guard guard(self.handover_.mutex);
            frames.swap(*posted);
            if (self.handover_.frames == posted) self.end_handover();
        }
        for (const FramePtr& frame : frames) {
            self.handover_bytes_ -= frame->bytes().size();
            self.events_.on_frame(frame);
            if (*alive == nullptr) return;
        }
    });
}

void Pipeline::set_eager(bool eager) {
    eager_ = eager;
    if (eager) flush_handover();
}

// Under the lock.
void Pipeline::end_handover() {
    handover_.bytes = 0;
    handover_.posted = false;
}

// What the node's loop is told after this comes behind every frame so far, and before every later
// one: those are of a task of their own, behind.
void Pipeline::all_handed_over() {
    if (journal_) journal_->wait_appended();
    flush_handover();
    const std::lock_guard guard(handover_.mutex);
    handover_.frames = std::make_shared<Frames>();
    end_handover();
}

void Pipeline::tick() {
    for (const auto& volume : volumes_) volume->tick();
    count_marked();
}

Pipeline::Stopped Pipeline::close() {
    Stopped stopped;
    timer_.reset();
    copier_.reset();
    handover_timer_.reset();
    if (capture_) capture_->gate().fail(Status(ErrorCode::closed, "the group stops serving"));
    for (const auto& volume : volumes_) volume->detach();
    servers_.clear();
    if (capture_) {
        tick();
        capture_->seal();
        stopped.tip = capture_->sealed();
    }
    for (const auto& volume : volumes_) {
        const Status synced = volume->sync();
        if (!synced.ok() || !volume->clean()) stopped.clean = false;
    }
    return stopped;
}

Pipeline::Stopped Pipeline::stop() {
    if (!thread_.joinable()) return {};
    Stopped stopped;
    std::promise<void> closed;
    loop_.post([this, &stopped, &closed] {
        stopped = close();
        closed.set_value();
    });
    closed.get_future().get();
    loop_.post([this] {  // after what the volumes' own threads have posted
        volumes_.clear();
        if (capture_) capture_->seal();
        journal_.reset();
        flush_handover();
        loop_.post([this] { loop_.stop(); });  // and after what those posted when they ended
    });
    thread_.join();
    return stopped;
}

std::size_t Pipeline::clients() {
    std::promise<std::size_t> counted;
    loop_.post([this, &counted] {
        std::size_t count = 0;
        for (const auto& server : servers_) count += server->connections();
        counted.set_value(count);
    });
    return counted.get_future().get();
}

void Pipeline::release(Lsn acknowledged) {
    loop_.post([this, acknowledged] {
        if (capture_) capture_->gate().release(acknowledged);
    });
}

void Pipeline::hold_answers(std::function<void(Lsn)> done) {
    loop_.post([this, done = std::move(done)] {
        capture_->gate().hold_all();
        node_.post([done, newest = capture_->newest()] { done(newest); });
    });
}

void Pipeline::set_seal_every_batch(bool every) {
    loop_.post([this, every] { capture_->set_seal_every_batch(every); });
}

void Pipeline::put_mark(const MarkBody& mark, std::function<void(const journal::Tip&)> done) {
    loop_.post([this, mark, done = std::move(done)] {
        capture_->put_mark(mark);
        all_handed_over();
        node_.post([done, tip = capture_->sealed()] { done(tip); });
    });
}

void Pipeline::name_gap(std::function<void(const journal::Tip&)> done) {
    loop_.post([this, done = std::move(done)] {
        capture_->name_gap();
        all_handed_over();
        node_.post([done, tip = capture_->sealed()] { done(tip); });
    });
}

void Pipeline::sync_step(std::function<void(const journal::Tip&)> done) {
    loop_.post([this, done = std::move(done)] {
        CapturedWrite write;
        write.kind = EntryKind::sync;
        capture_->captured(write);
        capture_->seal();
        all_handed_over();
        node_.post([done, tip = capture_->sealed()] { done(tip); });
    });
}

WallTime Pipeline::step_now() const {
    return WallTime(std::chrono::nanoseconds(step_now_ns_.load(std::memory_order_relaxed)));
}

}  // namespace everstep::daemon
