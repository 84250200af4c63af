// The admin verbs of a history: arguments in, bodies out (docs/admin.md).
#include "standby/history_commands.hpp"

#include <gtest/gtest.h>

#include "checks.hpp"
#include "standby/branches.hpp"
#include "standby/time_text.hpp"

namespace everstep::standby::testing {
namespace {

class Commands : public ::testing::Test {
  protected:
    Commands() : scene(directory.path(), group) {
        std::vector<ByteCount> sizes;
        for (const VolumeFile& volume : scene.volumes()) sizes.push_back(volume.size);
        maker = std::make_unique<HistoryMaker>(group, sizes, test_seed());
    }
    void SetUp() override {
        ASSERT_OK(scene.open());
        scene.thread().on([&] {
            commands = std::make_unique<HistoryCommands>(scene.standby(),
                                                         std::vector<std::string>{"data", "log"},
                                                         [] { return WallTime(); });
        });
    }
    void TearDown() override {
        scene.thread().on([&] { commands.reset(); });
    }
    void begin(Lsn at_least) {
        ASSERT_OK(scene.begin(maker->timeline()));
        if (at_least > Lsn(1000)) maker->keep_no_images();
        while (maker->head() < at_least) scene.push(maker->frame());
        ASSERT_TRUE(scene.wait_durable(maker->head()));
        ASSERT_TRUE(scene.wait_applied(maker->head()));
    }
    struct Answer {
        wire::AdminReply last;
        Value::List list;  // of all messages
        std::size_t messages = 0;
    };
    Answer run(const std::string& verb, std::map<std::string, std::string> arguments = {}) {
        std::mutex mutex;
        Answer answer;
        bool ended = false;
        scene.thread().on([&] {
            commands->run({verb, std::move(arguments)}, [&](const wire::AdminReply& reply) {
                const std::lock_guard lock(mutex);
                EXPECT_FALSE(ended);
                if (const Value::List* list = reply.body.as_list()) {
                    answer.list.insert(answer.list.end(), list->begin(), list->end());
                    EXPECT_LE(list->size(), 10000U);
                }
                ++answer.messages;
                answer.last = reply;
                ended = !reply.more;
            });
        });
        EXPECT_TRUE(eventually([&] {
            const std::lock_guard lock(mutex);
            return ended;
        }));
        return answer;
    }

    const TempDirectory directory;
    const Uuid group = Uuid::random();
    Scene scene;
    std::unique_ptr<HistoryMaker> maker;
    std::unique_ptr<HistoryCommands> commands;
};

TEST_F(Commands, LogListsEveryStepNewestFirst) {
    begin(Lsn(2500));
    const Answer log = run("log");
    ASSERT_EQ(log.last.error, ErrorCode::ok) << log.last.message;
    ASSERT_EQ(log.list.size(), maker->head().value());
    EXPECT_GE(log.messages, 3U);
    for (std::size_t i = 0; i < log.list.size(); ++i) {
        const Value& step = log.list[i];
        const Lsn lsn(maker->head().value() - i);
        ASSERT_EQ(step.at("lsn").number(), lsn.value());
        ASSERT_EQ(step.at("step_time").text(), format_time(maker->times().at(lsn)));
        ASSERT_EQ(step.at("timeline").text(), maker->timeline().id.hex());
        ASSERT_EQ(step.at("timeline_number").number(), 1U);
        ASSERT_TRUE(step.at("volume").text() == "data" || step.at("volume").text() == "log");
    }
}

TEST_F(Commands, LogWithBoundsLimitAndFlushes) {
    begin(Lsn(50));
    Answer log = run("log", {{"from", "step:10"}, {"to", "step:20"}});
    ASSERT_EQ(log.list.size(), 11U);
    EXPECT_EQ(log.list.front().at("lsn").number(), 20U);
    EXPECT_EQ(log.list.back().at("lsn").number(), 10U);
    log = run("log", {{"from", "step:20"}, {"to", "step:10"}});
    EXPECT_EQ(log.list.size(), 11U);
    log = run("log", {{"limit", "7"}});
    ASSERT_EQ(log.list.size(), 7U);
    EXPECT_EQ(log.list.front().at("lsn").number(), maker->head().value());
    log = run("log", {{"from", "step:0"}, {"flushes", "1"}});
    std::vector<Lsn> flushes = maker->flushes();
    flushes.erase(std::unique(flushes.begin(), flushes.end()), flushes.end());
    EXPECT_EQ(log.list.size(), flushes.size());
    EXPECT_EQ(run("log", {{"limit", "many"}}).last.error, ErrorCode::usage);
    EXPECT_EQ(run("log", {{"to", "step:9999"}}).last.error, ErrorCode::refused);
    EXPECT_EQ(run("log", {{"from", "no-such-mark"}}).last.error, ErrorCode::not_found);
}

// Two stores make them, neither knows of the other.
TEST_F(Commands, OfTwoMarksOfANameAtOnceOneIsMade) {
    begin(Lsn(20));
    TimelineId on_branch;
    scene.thread().on([&] {
        Branches& branches = scene.standby().branches();
        BranchRecord record;
        record.id = "1";
        record.base = maker->head_point();
        record.volumes = {"data"};
        const auto made = branches.make(record, {record.base, branches.group()});
        ASSERT_OK(made.status());
        on_branch = (*made)->store().tip().point.timeline;
    });
    const std::string head = "t:" + on_branch.hex() + "@head";
    for (int turn = 0; turn < 4; ++turn) {
        std::mutex mutex;
        std::vector<ErrorCode> answers;
        const auto take = [&](const wire::AdminReply& reply) {
            const std::lock_guard lock(mutex);
            answers.push_back(reply.error);
        };
        const std::string name = "mark-" + std::to_string(turn);
        std::vector<std::map<std::string, std::string>> both = {{{"name", name}, {"at", "step:3"}},
                                                                {{"name", name}, {"at", head}}};
        if (turn % 2 == 1) std::swap(both[0], both[1]);
        scene.thread().on([&] {
            for (const auto& one : both) commands->run({"mark", one}, take);
        });
        ASSERT_TRUE(eventually([&] {
            const std::lock_guard lock(mutex);
            return answers.size() == 2;
        }));
        EXPECT_EQ(std::count(answers.begin(), answers.end(), ErrorCode::ok), 1);
        EXPECT_EQ(std::count(answers.begin(), answers.end(), ErrorCode::exists), 1);
        const Answer marks = run("marks");
        EXPECT_EQ(marks.list.size(), static_cast<std::size_t>(turn) + 1);
        EXPECT_EQ(run("mark", {{"name", name}, {"at", "step:4"}}).last.error, ErrorCode::exists);
        // A name that was refused for its point is nobody's.
        EXPECT_EQ(run("mark", {{"name", "free"}, {"at", "step:9999"}}).last.error,
                  ErrorCode::refused);
    }
    EXPECT_EQ(run("mark", {{"name", "free"}, {"at", "step:4"}}).last.error, ErrorCode::ok);
}

TEST_F(Commands, MarksAreMadeListedShownInPlaceAndDropped) {
    begin(Lsn(30));
    Answer mark = run(
        "mark", {{"name", "one"}, {"at", "step:10"}, {"pin", "1"}, {"consistency", "application"}});
    ASSERT_EQ(mark.last.error, ErrorCode::ok) << mark.last.message;
    EXPECT_EQ(mark.last.body.at("lsn").number(), 10U);
    EXPECT_EQ(mark.last.body.at("pinned").text(), "true");
    EXPECT_EQ(mark.last.body.at("consistency").text(), "application");
    mark = run("mark", {{"name", "two"}});
    EXPECT_EQ(mark.last.body.at("lsn").number(), maker->head().value());
    EXPECT_EQ(mark.last.body.at("consistency").text(), "crash");
    EXPECT_EQ(run("mark", {{"name", "one"}}).last.error, ErrorCode::exists);
    EXPECT_EQ(run("mark", {{"name", "he ad"}}).last.error, ErrorCode::usage);
    EXPECT_EQ(run("mark", {{"name", "head"}}).last.error, ErrorCode::usage);
    EXPECT_EQ(run("mark", {{"name", "x"}, {"consistency", "some"}}).last.error, ErrorCode::usage);
    EXPECT_EQ(run("marks").list.size(), 2U);
    const Answer log = run("log");
    ASSERT_EQ(log.list.size(), maker->head().value() + 2);
    EXPECT_EQ(log.list[0].at("kind").text(), "mark");
    EXPECT_EQ(log.list[0].at("name").text(), "two");
    for (std::size_t i = 1; i + 1 < log.list.size(); ++i) {
        if (log.list[i].at("kind").text() != "mark") continue;
        EXPECT_EQ(log.list[i].at("name").text(), "one");
        EXPECT_EQ(log.list[i + 1].at("lsn").number(), 10U);
    }
    EXPECT_EQ(run("unmark", {{"name", "one"}}).last.error, ErrorCode::ok);
    EXPECT_EQ(run("unmark", {{"name", "one"}}).last.error, ErrorCode::not_found);
    EXPECT_EQ(run("marks").list.size(), 1U);
}

TEST_F(Commands, GapsStandInPlace) {
    begin(Lsn(20));
    const Point from = maker->head_point();
    ASSERT_OK(
        scene.task([from](journal::Store& store) { return store.open_gap(from, "lost order"); }));
    scene.push(maker->frame({.after_gap = true}));
    scene.push(maker->frame({.sync_step = true}));
    const Lsn to = maker->head();
    const Point end = maker->head_point();
    ASSERT_OK(scene.task([end](journal::Store& store) { return store.close_gap(end); }));
    scene.push(maker->frame());
    ASSERT_TRUE(scene.wait_durable(maker->head()));
    const Answer log = run("log");
    std::size_t gaps = 0;
    for (std::size_t i = 0; i + 1 < log.list.size(); ++i) {
        if (log.list[i].at("kind").text() != "gap") continue;
        ++gaps;
        EXPECT_EQ(log.list[i].at("from").number(), from.lsn.value());
        EXPECT_EQ(log.list[i].at("to").number(), to.value());
        EXPECT_EQ(log.list[i].at("reason").text(), "lost order");
        EXPECT_NE(log.list[i].at("extents").as_list(), nullptr);
        EXPECT_EQ(log.list[i].at("extent_count").number(), 0U);
        EXPECT_EQ(log.list[i - 1].at("lsn").number(), to.value());
        EXPECT_EQ(log.list[i - 1].at("kind").text(), "sync");
    }
    EXPECT_EQ(gaps, 1U);
}

TEST_F(Commands, DiffIsExactToTheSector) {
    begin(Lsn(60));
    for (int i = 0; i < 10; ++i) {
        const Lsn a(static_cast<std::uint64_t>(i) * 3);
        const Lsn b(maker->head().value() - static_cast<std::uint64_t>(i) * 4);
        const Answer diff = run("diff", {{"from", "step:" + std::to_string(a.value())},
                                         {"to", "step:" + std::to_string(b.value())}});
        ASSERT_EQ(diff.last.error, ErrorCode::ok) << diff.last.message;
        const Image& left = maker->image(maker->point(a));
        const Image& right = maker->image(maker->point(b));
        std::vector<std::vector<bool>> wanted(left.size());
        std::vector<std::vector<bool>> found(left.size());
        for (std::size_t v = 0; v < left.size(); ++v) {
            wanted[v].resize(left[v].size() / kSectorBytes);
            found[v].resize(left[v].size() / kSectorBytes);
            for (std::size_t s = 0; s < wanted[v].size(); ++s) {
                const auto at = static_cast<std::ptrdiff_t>(s * kSectorBytes);
                wanted[v][s] =
                    !std::equal(left[v].begin() + at, left[v].begin() + at + kSectorBytes,
                                right[v].begin() + at);
            }
        }
        for (const Value& extent : diff.list) {
            const std::size_t v = extent.at("volume").text() == "data" ? 0 : 1;
            const std::size_t first = extent.at("offset").number() / kSectorBytes;
            for (std::size_t s = 0; s < extent.at("length").number() / kSectorBytes; ++s)
                found[v][first + s] = true;
        }
        EXPECT_EQ(found, wanted);
    }
}

TEST_F(Commands, RewindAndResume) {
    begin(Lsn(30));
    const Answer dry = run("rewind", {{"point", "step:12"}, {"dry_run", "1"}});
    ASSERT_EQ(dry.last.error, ErrorCode::ok) << dry.last.message;
    EXPECT_EQ(scene.standby().applied(), maker->head());
    EXPECT_GT(dry.last.body.at("bytes").number(), 0U);
    EXPECT_GT(std::get<double>(dry.last.body.at("about_seconds").data()), 0);
    const Answer rewind = run("rewind", {{"point", "step:12"}});
    ASSERT_EQ(rewind.last.error, ErrorCode::ok) << rewind.last.message;
    EXPECT_EQ(rewind.last.body.at("lsn").number(), 12U);
    EXPECT_EQ(rewind.last.body.at("from").number(), maker->head().value());
    EXPECT_IMAGE(read_files(scene.volumes()), maker->image(maker->point(Lsn(12))));
    EXPECT_TRUE(rewind.last.body.at("about_seconds").is_null());
    const Answer dry_resume = run("resume", {{"dry_run", "1"}});
    ASSERT_EQ(dry_resume.last.error, ErrorCode::ok) << dry_resume.last.message;
    EXPECT_EQ(dry_resume.last.body.at("lsn").number(), maker->head().value());
    EXPECT_EQ(dry_resume.last.body.at("bytes").number(), dry.last.body.at("bytes").number());
    EXPECT_EQ(scene.standby().applied(), Lsn(12));
    EXPECT_TRUE(scene.standby().store().replica().held);
    const Answer resume = run("resume");
    ASSERT_EQ(resume.last.error, ErrorCode::ok) << resume.last.message;
    EXPECT_EQ(resume.last.body.at("lsn").number(), maker->head().value());
    EXPECT_IMAGE(read_files(scene.volumes()), maker->now());
    EXPECT_EQ(run("rewind", {{"point", "step:99999"}}).last.error, ErrorCode::refused);
    EXPECT_EQ(run("rewind").last.error, ErrorCode::usage);
    EXPECT_EQ(run("dance").last.error, ErrorCode::usage);
}

TEST_F(Commands, WithoutHistoryEverythingIsRefusedAndNothingHangs) {
    EXPECT_EQ(run("log").last.error, ErrorCode::refused);
    EXPECT_EQ(run("mark", {{"name", "x"}}).last.error, ErrorCode::refused);
    EXPECT_EQ(run("rewind", {{"point", "head"}}).last.error, ErrorCode::refused);
    EXPECT_EQ(run("resume").last.error, ErrorCode::refused);
    EXPECT_EQ(run("marks").last.error, ErrorCode::ok);
}

TEST_F(Commands, EndingThemInTheMiddleOfALogHangsNothing) {
    begin(Lsn(3000));
    std::atomic<int> messages{0};
    scene.thread().on([&] {
        commands->run({"log", {}}, [&](const wire::AdminReply&) { ++messages; });
        commands.reset();
    });
    EXPECT_LE(messages, 3);
}

}  // namespace
}  // namespace everstep::standby::testing
