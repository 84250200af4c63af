// Compression of frames (walk, stage 3; docs/decisions/0021-compression-per-frame.md): what the
// configuration says, where `auto` thinks that it pays, and what came of it.
//
// Thread: CompressionControl any; the others one: the capture thread, or, of the content of copies,
// the one that reads it (pipeline_copy.cpp).
// Invariants: a frame is compressed once, when it is sealed, for all who get it; the setting counts
// from the next frame on. What copies bring is tried and counted by itself.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "common/base/clock.hpp"
#include "common/base/config.hpp"
#include "common/base/frame.hpp"
#include "common/base/value.hpp"

namespace everstep::daemon {

// Says where compression pays: a try of 1 MiB has to save an eighth of its bytes, and 64 MiB for
// each second of the processor's that it takes. While it does it goes on, and each further MiB is
// such a try. Where it does not, frames are left as they are until 16 MiB have passed, or a minute;
// after each try in vain twice as much, up to 1 GiB.
class AutoCompression {
  public:
    // Whether the next frame, of so many bytes, is to be compressed.
    [[nodiscard]] bool wanted(std::uint64_t bytes, std::chrono::nanoseconds now);
    // What one that was came to.
    void compressed(std::uint64_t bytes, std::uint64_t sealed_bytes, std::chrono::nanoseconds took);
    [[nodiscard]] bool pays() const { return state_ == State::pays; }

  private:
    enum class State : std::uint8_t { trying, pays, rests };
    void judge();
    State state_ = State::trying;
    std::uint64_t tried_bytes_ = 0;
    std::uint64_t sealed_bytes_ = 0;
    std::chrono::nanoseconds took_{0};
    std::uint64_t rest_bytes_ = 0;  // how much the next rest is, or is left of this one
    std::uint64_t left_bytes_ = 0;
    std::chrono::nanoseconds rests_until_{0};
    std::chrono::nanoseconds now_{0};
};

// The processor's time that the calling thread has used: a busy machine makes nothing cost more.
[[nodiscard]] std::chrono::nanoseconds thread_cpu_time();

// What came of it. Thread: one counts, any reads.
class CompressionFigures {
  public:
    // Of frames that were sealed.
    void sealed(std::uint64_t bytes, std::uint64_t sealed_bytes);
    void set_working(bool working) { working_ = working; }
    // {"working", "bytes", "sealed_bytes", "ratio"}: of what was sealed since the group began to
    // serve; ratio: of the newest 64 MiB or more.
    [[nodiscard]] Value status() const;

  private:
    std::atomic<bool> working_{false};
    std::atomic<std::uint64_t> bytes_{0};
    std::atomic<std::uint64_t> sealed_bytes_{0};
    std::atomic<std::uint64_t> recent_bytes_{0};
    std::atomic<std::uint64_t> recent_sealed_bytes_{0};
};

class CompressionControl {
  public:
    using CpuTime = std::function<std::chrono::nanoseconds()>;
    explicit CompressionControl(CpuTime cpu_time = thread_cpu_time)
        : cpu_time_(std::move(cpu_time)) {}
    [[nodiscard]] std::chrono::nanoseconds cpu_time() const { return cpu_time_(); }
    void set(const CompressionSetting& setting) { setting_ = setting; }
    [[nodiscard]] CompressionSetting setting() const { return setting_; }
    [[nodiscard]] CompressionFigures& writes() { return writes_; }
    [[nodiscard]] CompressionFigures& copies() { return copies_; }
    // "setting", the figures of the writes, and those of the copies as "copies".
    [[nodiscard]] Value status() const;

  private:
    const CpuTime cpu_time_;
    std::atomic<CompressionSetting> setting_{};
    CompressionFigures writes_;
    CompressionFigures copies_;
};

// Seals frames as the control says; `figures` are the control's.
class FrameCompressor {
  public:
    FrameCompressor(std::shared_ptr<CompressionControl> control, const Clock& clock,
                    CompressionFigures& figures)
        : control_(std::move(control)), clock_(clock), figures_(figures) {}
    [[nodiscard]] bool off() const { return control_->setting().off(); }
    [[nodiscard]] FramePtr seal(FrameBuilder& builder, const FrameHeader& header);

  private:
    [[nodiscard]] Packer* packer_for(const CompressionSetting& setting, std::uint64_t bytes);
    std::shared_ptr<CompressionControl> control_;
    const Clock& clock_;
    CompressionFigures& figures_;
    CompressionSetting used_;
    AutoCompression auto_;
    std::optional<Packer> packer_;
};

}  // namespace everstep::daemon
