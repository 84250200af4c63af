#include "daemon/compression.hpp"

#include <time.h>

#include <algorithm>
#include <utility>

#include "common/base/assert.hpp"

namespace everstep::daemon {

namespace {

constexpr int kAutoLevel = 1;
constexpr std::uint64_t kTryBytes = 1ULL << 20;
constexpr std::uint64_t kSavedShareMin = 8;  // one of so many bytes
constexpr std::uint64_t kSavedPerSecondMin = 64ULL << 20;
constexpr std::uint64_t kRestBytesMin = 16ULL << 20;
constexpr std::uint64_t kRestBytesMax = 1ULL << 30;
constexpr std::chrono::seconds kRest{60};
constexpr std::uint64_t kRecentBytes = 64ULL << 20;

// It takes time from the application's writes: what it saves has to be worth it.
bool is_worth(std::uint64_t saved_bytes, std::chrono::nanoseconds took) {
    using Seconds = std::chrono::duration<double>;
    return static_cast<double>(saved_bytes) >=
           std::chrono::duration_cast<Seconds>(took).count() * double{kSavedPerSecondMin};
}

}  // namespace

std::chrono::nanoseconds thread_cpu_time() {
    timespec time{};
    const int read = clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    EVERSTEP_ASSERT(read == 0, "a thread has a clock");
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

bool AutoCompression::wanted(std::uint64_t bytes, std::chrono::nanoseconds now) {
    now_ = now;
    if (state_ != State::rests) return true;
    if (bytes <= left_bytes_ && now < rests_until_) {
        left_bytes_ -= bytes;
        return false;
    }
    state_ = State::trying;
    return true;
}

void AutoCompression::compressed(std::uint64_t bytes, std::uint64_t sealed_bytes,
                                 std::chrono::nanoseconds took) {
    tried_bytes_ += bytes;
    sealed_bytes_ += sealed_bytes;
    took_ += took;
    if (tried_bytes_ >= kTryBytes) judge();
}

void AutoCompression::judge() {
    const std::uint64_t saved = tried_bytes_ - std::min(tried_bytes_, sealed_bytes_);
    if (saved * kSavedShareMin >= tried_bytes_ && is_worth(saved, took_)) {
        state_ = State::pays;
        rest_bytes_ = 0;
    } else {
        state_ = State::rests;
        rest_bytes_ = std::clamp(2 * rest_bytes_, kRestBytesMin, kRestBytesMax);
        left_bytes_ = rest_bytes_;
        rests_until_ = now_ + kRest;
    }
    tried_bytes_ = sealed_bytes_ = 0;
    took_ = {};
}

void CompressionFigures::sealed(std::uint64_t bytes, std::uint64_t sealed_bytes) {
    bytes_ += bytes;
    sealed_bytes_ += sealed_bytes;
    if (recent_bytes_ >= 2 * kRecentBytes) {  // the one thread that counts is in here
        recent_bytes_ = recent_bytes_ / 2;
        recent_sealed_bytes_ = recent_sealed_bytes_ / 2;
    }
    recent_bytes_ += bytes;
    recent_sealed_bytes_ += sealed_bytes;
}

Value CompressionFigures::status() const {
    const std::uint64_t sealed_bytes = recent_sealed_bytes_;
    Value value = Value::map();
    value.set("working", working_.load());
    value.set("bytes", bytes_.load());
    value.set("sealed_bytes", sealed_bytes_.load());
    value.set("ratio", sealed_bytes == 0 ? Value()
                                         : Value(static_cast<double>(recent_bytes_) /
                                                 static_cast<double>(sealed_bytes)));
    return value;
}

Value CompressionControl::status() const {
    Value value = writes_.status();
    value.set("setting", compression_name(setting()));
    value.set("copies", copies_.status());
    return value;
}

// Null: the frame stays as it is.
Packer* FrameCompressor::packer_for(const CompressionSetting& setting, std::uint64_t bytes) {
    if (setting != used_) auto_ = AutoCompression();
    if (setting.off()) {
        packer_.reset();
    } else if (!packer_) {
        packer_.emplace(setting.automatic ? kAutoLevel : setting.level);
    } else if (setting != used_) {
        packer_->set_level(setting.automatic ? kAutoLevel : setting.level);
    }
    used_ = setting;
    const bool wanted = !setting.automatic || auto_.wanted(bytes, clock_.boot());
    return packer_ && wanted ? &*packer_ : nullptr;
}

FramePtr FrameCompressor::seal(FrameBuilder& builder, const FrameHeader& header) {
    const CompressionSetting setting = control_->setting();
    const std::uint64_t bytes = builder.size_bytes();
    Packer* const packer = packer_for(setting, bytes);
    const bool measured = packer != nullptr && setting.automatic;
    const auto before = measured ? control_->cpu_time() : std::chrono::nanoseconds(0);
    FramePtr frame = builder.seal(header, packer);
    const std::uint64_t sealed_bytes = frame->bytes().size();
    if (measured) auto_.compressed(bytes, sealed_bytes, control_->cpu_time() - before);
    figures_.sealed(bytes, sealed_bytes);
    figures_.set_working(packer != nullptr && (!setting.automatic || auto_.pays()));
    return frame;
}

}  // namespace everstep::daemon
