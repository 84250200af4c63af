#include "daemon/capture.hpp"

#include "common/base/config.hpp"

namespace everstep::daemon {

namespace {
constexpr std::chrono::milliseconds kSealDelay{1};  // how long a small frame may stay open
constexpr std::size_t kMarkTextMax = 64;
}  // namespace

Capture::Capture(net::Loop& loop, const CaptureOptions& options, SealStage::Deliver deliver,
                 Event event)
    : seal_every_batch_(options.seal_every_batch),
      event_(std::move(event)),
      order_(options.tip.point.lsn, options.tip.step_time, *options.clock),
      seal_(options.group, options.tip, options.new_timeline, std::move(deliver)),
      timer_(loop),
      soon_(loop) {
    if (options.compression) seal_.compress(options.compression, *options.clock);
    order_.tick();  // the first reading, which nothing can have changed since
}

void Capture::read_clocks() {
    if (clocks_read_) return;
    clocks_read_ = true;
    const StepClock::Change change = order_.tick();
    if (change == StepClock::Change::none) return;
    const std::string time = format_time(order_.step_time());
    event_("clock",
           change == StepClock::Change::wall_jumped
               ? "the wall clock jumped; step times follow the boot-time clock from " + time
               : "the wall clock is steady again; step times follow it from " + time);
    MarkBody mark;
    mark.name = ("clock-" + time).substr(0, kMarkTextMax);
    mark.consistency = "crash";
    const std::vector<std::byte> body = pack_mark(mark);
    seal_.push(order_.behind(order_.newest(), EntryKind::mark, VolumeIndex(0)), body);
}

Lsn Capture::captured(const CapturedWrite& write) {
    read_clocks();
    const FrameEntry entry = order_.push(write);
    seal_.push(entry, write.payload);
    return entry.lsn;
}

void Capture::flush_mark(Lsn behind, VolumeIndex volume) {
    read_clocks();
    seal_.push(order_.behind(behind, EntryKind::flush, volume), {});
    end_of_batch();
}

void Capture::end_of_batch() {
    clocks_read_ = false;
    if (seal_.empty()) return;
    if (seal_every_batch_ || seal_.full()) {
        seal_behind_answers();
    } else if (!timer_set_) {
        timer_set_ = true;
        timer_.after(kSealDelay, [this] {
            timer_set_ = false;
            seal_.seal();
        });
    }
}

// What takes its time does so once the answers of the batch have left.
void Capture::seal_behind_answers() {
    if (!seal_.compresses()) return seal_.seal();
    if (std::exchange(seal_soon_, true)) return;
    soon_.after(std::chrono::nanoseconds(0), [this] {
        seal_soon_ = false;
        seal_.seal();
    });
}

void Capture::seal() {
    seal_.seal();
    clocks_read_ = false;
}

void Capture::put_mark(const MarkBody& mark) {
    read_clocks();
    const std::vector<std::byte> body = pack_mark(mark);
    seal_.push(order_.behind(order_.newest(), EntryKind::mark, VolumeIndex(0)), body);
    seal();
}

void Capture::put_batch(EntryKind kind) {
    in_batch_ = kind == EntryKind::batch_begin;
    read_clocks();
    seal_.push(order_.behind(order_.newest(), kind, VolumeIndex(0)), {});
    seal();
}

void Capture::name_gap() {
    seal();
    seal_.name_gap();
}

}  // namespace everstep::daemon
