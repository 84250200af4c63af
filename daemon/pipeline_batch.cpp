// Pipeline: a batch of writes of this node's own, while no client is served (`everstep restore`).
#include <algorithm>
#include <cstring>

#include "common/base/buffer.hpp"
#include "common/base/checksum.hpp"
#include "daemon/pipeline.hpp"

namespace everstep::daemon {

namespace {

// Requests of one piece of work: `done` once all are answered, with the first error. It holds
// itself until then, for the volumes keep it by address.
class Answers final : public BlockSink, public std::enable_shared_from_this<Answers> {
  public:
    explicit Answers(std::function<void(Status)> done) : done_(std::move(done)) {}
    void submit(BlockDevice& to, const BlockRequest& request) {
        ++open_;
        self_ = shared_from_this();
        to.submit(request, *this);
    }
    void all_submitted() {
        submitted_ = true;
        end();
    }
    void complete(std::uint64_t, const Status& status) override {
        --open_;
        if (first_.ok()) first_ = status;
        end();
    }

  private:
    void end() {
        if (!submitted_ || open_ > 0 || !done_) return;
        const auto done = std::exchange(done_, nullptr);
        const auto kept = std::exchange(self_, nullptr);
        done(first_);
    }
    std::function<void(Status)> done_;
    std::shared_ptr<Answers> self_;
    Status first_;
    std::size_t open_ = 0;
    bool submitted_ = false;
};

// Runs of blocks that differ, each all zeroes or none; as long as a write may be.
std::vector<BlockRequest> differing(std::uint64_t offset, Bytes wanted, Bytes there) {
    std::vector<BlockRequest> out;
    for (std::size_t at = 0; at < wanted.size(); at += kBlockBytes) {
        const std::size_t count = std::min<std::size_t>(kBlockBytes, wanted.size() - at);
        if (std::memcmp(there.data() + at, wanted.data() + at, count) == 0) continue;
        const BlockOp op = is_zero(wanted.subspan(at, count)) ? BlockOp::zero : BlockOp::write;
        if (out.empty() || out.back().op != op ||
            out.back().offset + out.back().length != offset + at) {
            out.emplace_back();
            out.back().op = op;
            out.back().offset = offset + at;
        }
        out.back().length += count;
    }
    for (BlockRequest& one : out)
        if (one.op == BlockOp::write) one.data = wanted.subspan(one.offset - offset, one.length);
    return out;
}

}  // namespace

void Pipeline::flush_all(std::function<void(Status)> done) {
    const auto answers = std::make_shared<Answers>(std::move(done));
    for (const auto& volume : volumes_) {
        BlockRequest flush;
        flush.op = BlockOp::flush;
        answers->submit(*volume, flush);
    }
    for (const auto& volume : volumes_) volume->end_of_batch();
    answers->all_submitted();
}

void Pipeline::stop_listening(std::function<void(Result<journal::Tip>)> done) {
    std::fill(uris_.begin(), uris_.end(), std::string());
    loop_.post([this, done = std::move(done)] {
        servers_.clear();
        for (const auto& volume : volumes_) volume->drop_waiting();
        tick();  // a range whose write failed is read again, as it has to be known
        flush_all([this, done](const Status& status) {
            capture_->seal();
            all_handed_over();
            Result<journal::Tip> tip = capture_->sealed();
            if (!status.ok()) tip = status;
            for (const auto& volume : volumes_)
                if (status.ok() && !volume->clean())
                    tip = Status(ErrorCode::io, "a write failed, and cannot be read again");
            node_.post([alive = alive_, done, tip] {
                if (*alive != nullptr) done(tip);
            });
        });
    });
}

void Pipeline::listen(std::function<void(Status)> done) {
    loop_.post([this, done = std::move(done)] {
        std::vector<std::string> uris(options_.volumes.size());
        const Status status = servers_.empty() ? open_servers(0, uris) : Status();
        if (!status.ok()) servers_.clear();
        node_.post([alive = alive_, done, status, uris] {
            if (*alive == nullptr) return;
            if (status.ok()) (*alive)->uris_ = uris;
            done(status);
        });
    });
}

void Pipeline::begin_batch(std::function<void(const journal::Tip&)> done) {
    loop_.post([this, done = std::move(done)] {
        capture_->begin_batch();
        all_handed_over();
        node_.post([done, tip = capture_->sealed()] { done(tip); });
    });
}

void Pipeline::end_batch(Lsn before, std::function<void(Result<journal::Tip>)> done) {
    loop_.post([this, before, done = std::move(done)] {
        flush_all([this, before, done](const Status& status) {
            if (status.ok() && capture_->newest() <= before) {  // nothing differed
                CapturedWrite write;
                write.kind = EntryKind::sync;
                capture_->captured(write);
            }
            if (status.ok()) capture_->end_batch();
            all_handed_over();
            Result<journal::Tip> tip = capture_->sealed();
            if (!status.ok()) tip = status;
            node_.post([alive = alive_, done, tip] {
                if (*alive != nullptr) done(tip);
            });
        });
    });
}

void Pipeline::write_differing(Wanted at, Buffer content,
                               std::function<void(Result<std::uint64_t>)> done) {
    const auto wanted = std::make_shared<const Buffer>(std::move(content));
    loop_.post([this, at, wanted, done = std::move(done)] {
        const auto answer = [this, done](const Result<std::uint64_t>& written) {
            node_.post([alive = alive_, done, written] {
                if (*alive != nullptr) done(written);
            });
        };
        CapturedVolume& volume = *volumes_[at.volume.value()];
        Buffer there;
        there.resize(wanted->size());
        if (const Status read = volume.read_now(at.offset, there.bytes()); !read.ok())
            return answer(read);
        const std::vector<BlockRequest> requests =
            differing(at.offset.value(), wanted->bytes(), there.bytes());
        std::uint64_t bytes = 0;
        for (const BlockRequest& one : requests) bytes += one.length;
        const auto answers = std::make_shared<Answers>([answer, bytes](const Status& status) {
            answer(status.ok() ? Result<std::uint64_t>(bytes) : Result<std::uint64_t>(status));
        });
        for (const BlockRequest& one : requests) answers->submit(volume, one);
        volume.end_of_batch();
        answers->all_submitted();
    });
}

}  // namespace everstep::daemon
