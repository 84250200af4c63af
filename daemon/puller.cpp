#include "daemon/puller.hpp"

#include <algorithm>
#include <cstring>

namespace everstep::daemon {

namespace {
constexpr std::uint64_t kPullBytes = 1U << 20;
constexpr std::size_t kAskedMax = 8;

// Writes what differs of one piece, block by block; gives the bytes written.
Result<std::uint64_t> write_differing(io::File& file, ByteOffset offset, Bytes wanted) {
    Buffer there;
    there.resize(wanted.size());
    EVERSTEP_TRY(file.read_at(offset, there.bytes()));
    std::vector<io::WriteOp> ops;
    std::uint64_t bytes = 0;
    for (std::size_t at = 0; at < wanted.size(); at += kBlockBytes) {
        const std::size_t count = std::min<std::size_t>(kBlockBytes, wanted.size() - at);
        if (std::memcmp(there.data() + at, wanted.data() + at, count) == 0) continue;
        ops.push_back({offset + at, wanted.subspan(at, count)});
        bytes += count;
    }
    EVERSTEP_TRY(file.write(ops));
    return bytes;
}

}  // namespace

Puller::Puller(const GroupContext& context, PullOptions options, Link& link, Done done)
    : context_(context),
      options_(std::move(options)),
      reads_([&link](const wire::Control& message) { link.send(message); }),
      done_(std::move(done)),
      alive_(std::make_shared<Puller*>(this)) {}

Puller::~Puller() {
    *alive_ = nullptr;
}

LinkEvents Puller::link_events() {
    LinkEvents events;
    events.on_control = [this](const wire::Control& message) { return on_control(message); };
    events.on_data = [this](Buffer data) { return reads_.on_data(std::move(data)); };
    return events;
}

void Puller::begin() {
    auto worker = net::WorkerPool::make(1);
    if (!worker.ok()) {
        finish(worker.status());
        return;
    }
    worker_ = std::move(*worker);
    for (const std::string& device : options_.devices) {
        auto file = context_.files->open(device, {io::OpenMode::read_write, true, false});
        if (!file.ok()) {
            finish(file.status());
            return;
        }
        files_.push_back(std::move(*file));
    }
    ask();
}

void Puller::ask() {
    while (!finished_ && reads_.waiting() + writing_ < kAskedMax &&
           extent_ < options_.extents.size()) {
        const journal::GapExtent& extent = options_.extents[extent_];
        const std::uint64_t length = extent.length.value();
        if (offset_ >= length) {
            ++extent_;
            offset_ = 0;
            continue;
        }
        const Wanted wanted{extent.volume, extent.offset + offset_,
                            ByteCount(std::min(kPullBytes, length - offset_))};
        offset_ += wanted.length.value();
        reads_.ask({0, options_.at, wanted.volume, wanted.offset, wanted.length},
                   [this, alive = alive_, wanted](Result<Buffer> content) {
                       if (*alive == nullptr) return;
                       if (content.ok()) {
                           put(wanted, std::move(*content));
                       } else {
                           finish(content.status());
                       }
                   });
    }
    if (!finished_ && extent_ == options_.extents.size() && reads_.waiting() == 0 && writing_ == 0)
        finish(Status());
}

Status Puller::on_control(const wire::Control& message) {
    if (std::holds_alternative<wire::Keepalive>(message) ||
        std::holds_alternative<wire::Ack>(message))
        return {};
    const auto* reply = std::get_if<wire::ReadReply>(&message);
    if (reply == nullptr) return Status(ErrorCode::corrupt, "an answer that was not asked for");
    return reads_.on_reply(*reply);
}

void Puller::put(const Wanted& wanted, Buffer content_of) {
    if (finished_) return;
    ++writing_;
    worker_->post([alive = alive_, loop = context_.loop, file = files_[wanted.volume.value()],
                   wanted, content = std::make_shared<const Buffer>(std::move(content_of))] {
        const Result<std::uint64_t> changed =
            write_differing(*file, wanted.offset, content->bytes());
        loop->post([alive, changed] {
            if (*alive != nullptr) (*alive)->written(changed.status(), changed.ok() ? *changed : 0);
        });
    });
}

void Puller::written(const Status& status, std::uint64_t changed) {
    --writing_;
    changed_ += changed;
    if (!status.ok()) {
        finish(status);
        return;
    }
    ask();
}

void Puller::finish(const Status& status) {
    if (finished_) return;
    finished_ = true;
    auto close = [alive = alive_, loop = context_.loop, files = std::move(files_),
                  status]() mutable {
        Status result = status;
        for (const auto& file : files) {
            const Status synced = file->sync();
            if (result.ok()) result = synced;
        }
        files.clear();  // and with them the locks, before anybody else opens the devices
        loop->post([alive, result] {
            if (*alive == nullptr) return;
            Puller& self = **alive;
            const Done done = self.done_;
            done(result, ByteCount(self.changed_));  // may end this object
        });
    };
    if (worker_)
        worker_->post(std::move(close));
    else
        close();
}

}  // namespace everstep::daemon
