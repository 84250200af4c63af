#include "scene.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <future>
#include <iostream>
#include <random>

namespace everstep::standby::testing {

TempDirectory::TempDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "everstep-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
}

TempDirectory::~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

LoopThread::LoopThread() : thread_([this] { loop_.run(); }) {}

LoopThread::~LoopThread() {
    loop_.stop();
    thread_.join();
}

void LoopThread::on(const std::function<void()>& work) {
    std::promise<void> done;
    loop_.post([&] {
        work();
        done.set_value();
    });
    done.get_future().wait();
}

bool eventually(const std::function<bool()>& condition, std::chrono::seconds deadline) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return true;
}

std::uint64_t test_seed() {
    const char* given = std::getenv("EVERSTEP_SEED");
    const std::uint64_t seed =
        given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
    std::cout << "EVERSTEP_SEED=" << seed << std::endl;
    return seed;
}

Scene::Scene(std::string directory, Uuid group, SceneOptions options)
    : directory_(std::move(directory)), group_(group), options_(options) {
    // The second one ends inside a block.
    volumes_ = {{"data", directory_ + "/data.img", options_.data_bytes},
                {"log", directory_ + "/log.img", ByteCount((32U << 10) + 3 * kSectorBytes)}};
}

Scene::~Scene() {
    close();
}

Status Scene::open() {
    Status status;
    thread_.on([&] {
        StandbyOptions options;
        options.files = options_.files;
        options.clock = options_.clock;
        options.directory = directory_ + "/store";
        options.branches = directory_ + "/branches";
        options.group = group_;
        options.node = "beta";
        options.volumes = volumes_;
        options.segment_bytes = options_.segment_bytes;
        options.keep = options_.keep;
        options.reserve_bytes = options_.reserve_bytes;
        StandbyEvents told;
        told.on_progress = [this] {
            if (on_progress) on_progress();
        };
        told.on_failed = [this](const Status& why) {
            const std::lock_guard lock(mutex_);
            failed_ = why;
        };
        told.on_event = [this](std::string kind, std::string text) {
            const std::lock_guard lock(mutex_);
            events_.push_back(std::move(kind) + ": " + std::move(text));
        };
        auto opened = Standby::open(options, thread_.loop(), std::move(told));
        status = opened.status();
        if (opened.ok()) standby_ = std::move(*opened);
    });
    return status;
}

void Scene::close() {
    if (standby_ == nullptr) return;
    thread_.on([&] {
        standby_->stop();
        standby_.reset();
    });
}

Status Scene::begin(const journal::TimelineInfo& timeline) {
    std::promise<Status> done;
    thread_.on([&] {
        journal::Tip base;
        base.point = {timeline.id, timeline.branch_lsn};
        base.step_time = kFirstTime;
        standby_->begin_history({timeline}, base,
                                [&](const Status& status) { done.set_value(status); });
    });
    return done.get_future().get();
}

void Scene::push(const FramePtr& frame) {
    thread_.on([&] { standby_->push(frame); });
}

Status Scene::task(std::function<Status(journal::Store&)> work) {
    std::promise<Status> done;
    thread_.on([&] {
        standby_->journal_task(std::move(work),
                               [&](const Status& status) { done.set_value(status); });
    });
    return done.get_future().get();
}

namespace {
std::function<void(Value)> into(std::vector<Value>* told) {
    return [told](Value figures) {
        if (told != nullptr) told->push_back(std::move(figures));
    };
}
}  // namespace

Result<Value> Scene::rewind(Point to, bool dry_run, std::vector<Value>* progress) {
    std::promise<Result<Value>> done;
    thread_.on([&] {
        standby_->rewind(
            to, dry_run, [&](const Result<Value>& result) { done.set_value(result); },
            into(progress));
    });
    return done.get_future().get();
}

Result<Value> Scene::resume(std::vector<Value>* progress) {
    std::promise<Result<Value>> done;
    thread_.on([&] {
        standby_->resume(
            false, [&](const Result<Value>& result) { done.set_value(result); }, into(progress));
    });
    return done.get_future().get();
}

bool Scene::wait_durable(Lsn lsn) {
    return eventually([&] { return store().durable().point.lsn >= lsn; });
}

bool Scene::wait_applied(Lsn lsn) {
    return eventually([&] { return standby_->applied() >= lsn; });
}

Status Scene::release(const std::function<void()>& begun) {
    std::promise<Status> done;
    thread_.on([&] { standby_->release([&](const Status& status) { done.set_value(status); }); });
    // The journal thread tells the apply thread before it does this.
    EVERSTEP_TRY(task([](journal::Store&) { return Status(); }));
    begun();
    return done.get_future().get();
}

std::vector<std::string> Scene::events() {
    const std::lock_guard lock(mutex_);
    return events_;
}

Status Scene::failed() {
    const std::lock_guard lock(mutex_);
    return failed_;
}

}  // namespace everstep::standby::testing
