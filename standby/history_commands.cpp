#include "standby/history_commands.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>
#include <list>
#include <set>
#include <thread>

#include "common/base/config.hpp"
#include "common/base/thread.hpp"
#include "standby/history_log.hpp"
#include "standby/paths.hpp"
#include "standby/reply_stream.hpp"
#include "standby/scrub_job.hpp"
#include "standby/time_text.hpp"

namespace everstep::standby {
namespace {

constexpr std::size_t kLogObjects = 1000;    // a message
constexpr std::size_t kDiffObjects = 10000;  // a message
constexpr std::size_t kLongCommandsMax = 4;  // at once

using Reply = std::function<void(wire::AdminReply)>;

wire::AdminReply reply_of(const Status& status, Value body = {}) {
    wire::AdminReply reply;
    reply.error = status.code();
    reply.message = status.message();
    if (status.ok()) reply.body = std::move(body);
    return reply;
}

std::function<void(Result<Value>)> end_of_move(const Reply& reply) {
    return [reply](const Result<Value>& result) {
        reply(result.ok() ? reply_of({}, *result) : reply_of(result.status()));
    };
}

bool has_mark(const journal::Store& in, const std::string& name) {
    const std::vector<journal::Mark> marks = in.marks();
    return std::any_of(marks.begin(), marks.end(),
                       [&](const journal::Mark& one) { return one.name == name; });
}

std::function<void(Value)> progress_of(const Reply& reply) {
    return [reply](Value figures) {
        wire::AdminReply told = reply_of({}, Value::map().set("progress", std::move(figures)));
        told.more = true;
        reply(std::move(told));
    };
}

std::string argument(const wire::AdminRequest& request, const std::string& name) {
    const auto found = request.arguments.find(name);
    return found == request.arguments.end() ? std::string() : found->second;
}

// Bytes, with or without a unit.
std::optional<ByteCount> parse_bytes(std::string_view text) {
    constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
    if (const auto number = parse_number(text))
        return *number <= kMost ? std::optional(ByteCount(*number)) : std::nullopt;
    const auto with_unit = parse_byte_count(text);
    return with_unit.ok() ? std::optional(*with_unit) : std::nullopt;
}

bool flag(const wire::AdminRequest& request, const std::string& name) {
    return argument(request, name) == "1";
}

// A long command: its thread and what ends it early.
struct LongCommand {
    std::shared_ptr<ReplyStream> stream;
    std::thread thread;
};

}  // namespace

struct HistoryCommands::Impl {
    Standby* standby = nullptr;
    std::vector<std::string> volumes;
    std::function<WallTime()> step_now;
    std::list<LongCommand> running;
    std::unique_ptr<ScrubJob> scrubbing;
    std::shared_ptr<std::set<std::string>> held_names = std::make_shared<std::set<std::string>>();

    [[nodiscard]] const journal::Store& store() const { return standby->store(); }
    [[nodiscard]] Naming naming() const;
    [[nodiscard]] Result<PlacedPoint> resolve(std::string_view expression) const;
    [[nodiscard]] Result<Point> of_group(std::string_view expression) const;
    [[nodiscard]] Result<PlacedView> view(const PlacedPoint& point) const;
    [[nodiscard]] Result<PlacedView> view(std::string_view expression) const;
    [[nodiscard]] Result<journal::StepFilter> log_filter(const wire::AdminRequest& request) const;
    [[nodiscard]] Result<LogRange> log_range(const wire::AdminRequest& request) const;
    struct NewMark {
        journal::Mark mark;
        std::shared_ptr<Branch> branch;  // that it is made on; none: the group's history
        NameHold name;
    };
    [[nodiscard]] Result<NewMark> new_mark(const wire::AdminRequest& request) const;
    [[nodiscard]] bool is_marked(const std::string& name) const;
    [[nodiscard]] NameHold hold_name(const std::string& name) const;
    // On the journal thread of the group's store, or of a branch's.
    void task(const std::shared_ptr<Branch>& branch, std::function<Status(journal::Store&)> work,
              std::function<void(Status)> done) const;
    void start(std::size_t objects, const Reply& reply,
               std::function<Status(ReplyStream&, std::string&)> work);
    void log(const wire::AdminRequest& request, const Reply& reply);
    void diff(const wire::AdminRequest& request, const Reply& reply);
    void point(const wire::AdminRequest& request, const Reply& reply) const;
    void mark(const wire::AdminRequest& request, const Reply& reply);
    void marks(const Reply& reply) const;
    void unmark(const wire::AdminRequest& request, const Reply& reply);
    void rewind(const wire::AdminRequest& request, const Reply& reply);
    void resume(const wire::AdminRequest& request, const Reply& reply);
};

Naming HistoryCommands::Impl::naming() const {
    Naming names{volumes, store().timelines()};
    for (const auto& [id, entry] : standby->branches().all()) {
        if (!entry.branch) continue;
        for (const journal::TimelineInfo& one : entry.branch->store().timelines())
            if (entry.branch->owns(one.id)) names.timelines.push_back(one);
    }
    return names;
}

Result<PlacedPoint> HistoryCommands::Impl::resolve(std::string_view expression) const {
    return resolve_placed(
        expression, {&store(), volumes, step_now ? step_now() : WallTime(), &standby->branches()});
}

// What the replica can go to.
Result<Point> HistoryCommands::Impl::of_group(std::string_view expression) const {
    const Result<PlacedPoint> placed = resolve(expression);
    if (!placed.ok()) return placed.status();
    const auto branch = standby->branches().branch_of(placed->source.get());
    if (!branch) return placed->point;
    return Status(
        ErrorCode::refused,
        fmt::format("point '{0}': it lies on the branch of export {1}; the replica goes to "
                    "steps of the group's own history, `everstep rewind --branch {1}` "
                    "takes the branch there",
                    expression, branch->record().id));
}

Result<PlacedView> HistoryCommands::Impl::view(const PlacedPoint& point) const {
    Result<journal::View> view = point.source->store().view(point.point);
    if (!view.ok()) return view.status();
    return placed(std::move(*view), point.source, standby->branches());
}

Result<PlacedView> HistoryCommands::Impl::view(std::string_view expression) const {
    const Result<PlacedPoint> point = resolve(expression);
    if (!point.ok()) return point.status();
    return view(*point);
}

Result<journal::StepFilter> HistoryCommands::Impl::log_filter(
    const wire::AdminRequest& request) const {
    journal::StepFilter filter;
    if (const std::string name = argument(request, "volume"); !name.empty()) {
        const auto found = std::find(volumes.begin(), volumes.end(), name);
        if (found == volumes.end())
            return Status(ErrorCode::usage, fmt::format("log: there is no volume {}; there is {}",
                                                        name, fmt::join(volumes, ", ")));
        filter.volume = VolumeIndex(static_cast<std::uint64_t>(found - volumes.begin()));
    }
    const std::string range = argument(request, "range");
    if (range.empty()) return filter;
    const std::size_t plus = range.find('+');
    const auto offset = parse_bytes(std::string_view(range).substr(0, plus));
    const auto length = plus == std::string::npos
                            ? std::optional<ByteCount>()
                            : parse_bytes(std::string_view(range).substr(plus + 1));
    if (!offset || !length || *length == ByteCount(0))
        return Status(ErrorCode::usage,
                      fmt::format("log: range '{}': wanted OFFSET+LENGTH, each a number of bytes, "
                                  "or with a unit: 4096+512, 1GiB+64KiB",
                                  range));
    filter.offset = ByteOffset(offset->value());
    filter.length = *length;
    return filter;
}

Result<LogRange> HistoryCommands::Impl::log_range(const wire::AdminRequest& request) const {
    if (!store().has_history()) return Status(ErrorCode::refused, "log: there is no history yet");
    LogRange range;
    range.flushes = flag(request, "flushes");
    const auto filter = log_filter(request);
    if (!filter.ok()) return filter.status();
    range.filter = *filter;
    const std::string limit = argument(request, "limit");
    if (!limit.empty()) {
        const auto number = parse_number(limit);
        if (!number)
            return Status(ErrorCode::usage, fmt::format("limit '{}': not a number", limit));
        range.limit = *number;
    }
    const std::string from = argument(request, "from");
    const std::string to = argument(request, "to");
    // The head may lie in an open gap: its steps are listed all the same.
    PlacedView view_to{store().view_at_tip(), standby->branches().group(), {}};
    PlacedPoint point_to{{view_to.view.timeline, view_to.view.at.lsn}, view_to.source};
    if (!to.empty()) {
        const Result<PlacedPoint> point = resolve(to);
        if (!point.ok()) return point.status();
        const Result<PlacedView> there = view(*point);
        if (!there.ok()) return there.status();
        point_to = *point;
        view_to = *there;
    }
    range.stretches = stretches_to(view_to);
    if (from.empty()) return range;
    const Result<PlacedPoint> point_from = resolve(from);
    if (!point_from.ok()) return point_from.status();
    if (cut_before(range.stretches, *point_from)) return range;
    const Result<PlacedView> view_from = view(*point_from);
    if (!view_from.ok()) return view_from.status();
    range.stretches = stretches_to(*view_from);
    if (cut_before(range.stretches, point_to)) return range;
    return Status(ErrorCode::usage, fmt::format("log: '{}' does not lie on the way to '{}'", from,
                                                to.empty() ? "head" : to));
}

void HistoryCommands::Impl::start(std::size_t objects, const Reply& reply,
                                  std::function<Status(ReplyStream&, std::string&)> work) {
    for (auto one = running.begin(); one != running.end();) {
        if (one->stream->ended()) {
            one->thread.join();
            one = running.erase(one);
        } else {
            ++one;
        }
    }
    if (running.size() >= kLongCommandsMax) {
        reply(reply_of({ErrorCode::busy, "too many long commands run already; try again"}));
        return;
    }
    LongCommand& command = running.emplace_back();
    command.stream = std::make_shared<ReplyStream>(*standby, reply, objects);
    const Status begun =
        start_thread(command.thread, [stream = command.stream, work = std::move(work)] {
            std::string message;
            const Status status = work(*stream, message);
            stream->finish(status, std::move(message));
        });
    if (begun.ok()) return;
    running.pop_back();
    reply(reply_of(begun));
}

void HistoryCommands::Impl::log(const wire::AdminRequest& request, const Reply& reply) {
    Result<LogRange> range = log_range(request);
    if (!range.ok()) return reply(reply_of(range.status()));
    start(kLogObjects, reply,
          [range = std::move(*range), names = naming()](ReplyStream& out, std::string&) {
              return list_log(range, names,
                              [&](Value object) { return out.add(std::move(object)); });
          });
}

void HistoryCommands::Impl::diff(const wire::AdminRequest& request, const Reply& reply) {
    Result<PlacedView> a = view(argument(request, "from"));
    if (!a.ok()) return reply(reply_of(a.status()));
    Result<PlacedView> b = view(argument(request, "to"));
    if (!b.ok()) return reply(reply_of(b.status()));
    start(kDiffObjects, reply,
          [group = &store(), a = std::move(*a), b = std::move(*b), names = naming()](
              ReplyStream& out, std::string& message) {
              for (const journal::Gap& gap : gaps_on_way(a, b)) {
                  message += fmt::format("{}crosses the {} from {} ({})",
                                         message.empty() ? "" : "; ", gap.batch ? "batch" : "gap",
                                         format_point(gap.from, *group), gap.reason);
              }
              return list_diff(a, b, [&](const journal::GapExtent& extent) {
                  return out.add(extent_value(extent, names));
              });
          });
}

void HistoryCommands::Impl::point(const wire::AdminRequest& request, const Reply& reply) const {
    const Result<PlacedPoint> placed = resolve(argument(request, "point"));
    if (!placed.ok()) return reply(reply_of(placed.status()));
    Value value = Value::map();
    value.set("lsn", placed->point.lsn.value());
    value.set("timeline", placed->point.timeline.hex());
    reply(reply_of({}, std::move(value)));
}

bool HistoryCommands::Impl::is_marked(const std::string& name) const {
    const auto& branches = standby->branches().all();
    return has_mark(store(), name) ||
           std::any_of(branches.begin(), branches.end(), [&](const auto& one) {
               return one.second.branch && has_mark(one.second.branch->store(), name);
           });
}

// Each store looks for the name in its own marks only, and later.
NameHold HistoryCommands::Impl::hold_name(const std::string& name) const {
    if (is_marked(name) || !held_names->insert(name).second) return nullptr;
    return {new std::string(name), [held = held_names](const std::string* one) {
                held->erase(*one);
                delete one;
            }};
}

void HistoryCommands::Impl::task(const std::shared_ptr<Branch>& branch,
                                 std::function<Status(journal::Store&)> work,
                                 std::function<void(Status)> done) const {
    if (branch)
        branch->journal_task(std::move(work), std::move(done));
    else
        standby->journal_task(std::move(work), std::move(done));
}

Result<HistoryCommands::Impl::NewMark> HistoryCommands::Impl::new_mark(
    const wire::AdminRequest& request) const {
    constexpr std::array<std::string_view, 3> kConsistencies = {"crash", "filesystem",
                                                                "application"};
    NewMark made;
    journal::Mark& mark = made.mark;
    mark.name = argument(request, "name");
    mark.pinned = flag(request, "pin");
    if (const std::string given = argument(request, "consistency"); !given.empty())
        mark.consistency = given;
    EVERSTEP_TRY(check_mark_name(mark.name));
    if (std::find(kConsistencies.begin(), kConsistencies.end(), mark.consistency) ==
        kConsistencies.end()) {
        return Status(ErrorCode::usage,
                      fmt::format("consistency '{}': wanted crash, filesystem or application",
                                  mark.consistency));
    }
    if (!store().has_history()) return Status(ErrorCode::refused, "mark: there is no history yet");
    PlacedPoint placed{store().durable().point, standby->branches().group()};
    if (const std::string at = argument(request, "at"); !at.empty()) {
        const Result<PlacedPoint> point = resolve(at);
        if (!point.ok()) return point.status();
        placed = *point;
    }
    mark.at = placed.point;
    made.branch = standby->branches().branch_of(placed.source.get());
    made.name = hold_name(mark.name);
    if (!made.name)
        return Status(ErrorCode::exists, fmt::format("the name {} is taken", mark.name));
    const journal::Store& where = placed.source->store();
    const Result<journal::View> view = where.view(mark.at);
    if (!view.ok()) return view.status();
    const Result<journal::StepInfo> step = where.step(*view, mark.at.lsn);
    if (step.ok()) {
        mark.made = step->step_time;
    } else if (const Result<journal::Tip> tip = where.tip_at(mark.at); tip.ok()) {
        mark.made = tip->step_time;
    }
    return made;
}

void HistoryCommands::Impl::mark(const wire::AdminRequest& request, const Reply& reply) {
    const Result<NewMark> made = new_mark(request);
    if (!made.ok()) return reply(reply_of(made.status()));
    task(
        made->branch, [mark = made->mark](journal::Store& to) { return to.put_mark(mark); },
        [mark = made->mark, name = made->name, names = naming(), reply](const Status& status) {
            reply(reply_of(status, mark_value(mark, names)));
        });
}

void HistoryCommands::Impl::marks(const Reply& reply) const {
    Value list = Value::list();
    const Naming names = naming();
    for (const journal::Mark& mark : store().marks()) list.push(mark_value(mark, names));
    for (const auto& [id, entry] : standby->branches().all()) {
        if (!entry.branch) continue;
        for (const journal::Mark& mark : entry.branch->store().marks())
            list.push(mark_value(mark, names));
    }
    reply(reply_of({}, std::move(list)));
}

void HistoryCommands::Impl::unmark(const wire::AdminRequest& request, const Reply& reply) {
    const std::string name = argument(request, "name");
    // Of two with the name, the one that a point expression means.
    std::shared_ptr<Branch> on;
    for (const auto& [id, entry] : standby->branches().all())
        if (!on && entry.branch && !has_mark(store(), name) &&
            has_mark(entry.branch->store(), name))
            on = entry.branch;
    task(
        on, [name](journal::Store& to) { return to.drop_mark(name); },
        [reply](const Status& status) { reply(reply_of(status, Value::map())); });
}

void HistoryCommands::Impl::rewind(const wire::AdminRequest& request, const Reply& reply) {
    const Result<Point> point = of_group(argument(request, "point"));
    if (!point.ok()) return reply(reply_of(point.status()));
    standby->rewind(*point, flag(request, "dry_run"), end_of_move(reply), progress_of(reply));
}

void HistoryCommands::Impl::resume(const wire::AdminRequest& request, const Reply& reply) {
    standby->resume(flag(request, "dry_run"), end_of_move(reply), progress_of(reply));
}

HistoryCommands::HistoryCommands(Standby& standby, std::vector<std::string> volume_names,
                                 std::function<WallTime()> step_now)
    : impl_(std::make_shared<Impl>()) {
    impl_->standby = &standby;
    impl_->volumes = std::move(volume_names);
    impl_->step_now = std::move(step_now);
    impl_->scrubbing = std::make_unique<ScrubJob>(standby, impl_->volumes);
}

HistoryCommands::~HistoryCommands() {
    impl_->scrubbing.reset();
    for (LongCommand& command : impl_->running) command.stream->cancel();
    for (LongCommand& command : impl_->running) command.thread.join();
}

bool HistoryCommands::knows(std::string_view verb) {
    constexpr std::array<std::string_view, 9> kVerbs = {
        "log", "mark", "marks", "unmark", "rewind", "resume", "diff", "scrub", "point"};
    return std::find(kVerbs.begin(), kVerbs.end(), verb) != kVerbs.end();
}

void HistoryCommands::run(const wire::AdminRequest& request,
                          std::function<void(wire::AdminReply)> reply) {
    // Answers that come after the commands are gone are dropped.
    const Reply answer = [alive = std::weak_ptr(impl_),
                          reply = std::move(reply)](const wire::AdminReply& message) {
        if (alive.lock() != nullptr) reply(message);
    };
    if (request.verb == "log") return impl_->log(request, answer);
    if (request.verb == "diff") return impl_->diff(request, answer);
    if (request.verb == "point") return impl_->point(request, answer);
    if (request.verb == "mark") return impl_->mark(request, answer);
    if (request.verb == "marks") return impl_->marks(answer);
    if (request.verb == "unmark") return impl_->unmark(request, answer);
    if (request.verb == "rewind") return impl_->rewind(request, answer);
    if (request.verb == "resume") return impl_->resume(request, answer);
    if (request.verb == "scrub") return impl_->scrubbing->run(argument(request, "rate"), answer);
    answer(
        reply_of({ErrorCode::usage, fmt::format("'{}' is no command of a history", request.verb)}));
}

NameHold HistoryCommands::hold_name(const std::string& name) const {
    return impl_->hold_name(name);
}

Result<Point> HistoryCommands::resolve(std::string_view expression) const {
    return impl_->of_group(expression);
}

Result<PlacedPoint> HistoryCommands::place(std::string_view expression) const {
    return impl_->resolve(expression);
}

}  // namespace everstep::standby
