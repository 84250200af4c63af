// Branches: writes over a step in a store of their own, over restarts, beside retention, cut short.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <random>

#include "checks.hpp"
#include "faulty_files.hpp"
#include "standby/branches.hpp"

namespace everstep::standby::testing {
namespace {

class OnAStep : public ::testing::Test {
  protected:
    void begin(journal::KeepLimits keep = {}, ByteCount reserve = ByteCount(0)) {
        scene_ = std::make_unique<Scene>(directory_.path(), group_,
                                         SceneOptions{.files = &files_,
                                                      .segment_bytes = ByteCount(64U << 10),
                                                      .keep = keep,
                                                      .reserve_bytes = reserve});
        ASSERT_OK(scene_->open());
        for (const VolumeFile& volume : scene_->volumes()) sizes_.push_back(volume.size);
        maker_ = std::make_unique<HistoryMaker>(group_, sizes_, test_seed());
        ASSERT_OK(scene_->begin(maker_->timeline()));
    }
    void push(int frames) {
        for (int i = 0; i < frames; ++i) scene_->push(maker_->frame());
        ASSERT_TRUE(scene_->wait_applied(maker_->head()));
    }
    Status make(const std::string& id, Point base, std::shared_ptr<Branch>& branch) {
        Status status;
        scene_->thread().on([&] {
            Branches& branches = scene_->standby().branches();
            BranchRecord record;
            record.id = id;
            record.base = base;
            record.volumes = {"data"};
            auto made = branches.make(record, {base, branches.holder(base.timeline)});
            status = made.status();
            if (made.ok()) branch = *made;
        });
        return status;
    }
    std::shared_ptr<Branch> find(const std::string& id) {
        std::shared_ptr<Branch> branch;
        scene_->thread().on([&] { branch = scene_->standby().branches().find(id); });
        return branch;
    }
    Status drop(const std::string& id) {
        Status status;
        scene_->thread().on([&] { status = scene_->standby().branches().drop(id); });
        return status;
    }
    // Appended and synced; `writer` has followed the branch's timeline.
    static void write(Branch& branch, HistoryMaker& writer, int frames) {
        for (int i = 0; i < frames; ++i) {
            std::promise<Status> done;
            branch.append_local(writer.frame(),
                                [&](const Status& status) { done.set_value(status); });
            ASSERT_OK(done.get_future().get());
        }
        std::promise<Status> synced;
        branch.sync_local([&](const Status& status) { synced.set_value(status); });
        ASSERT_OK(synced.get_future().get());
    }
    HistoryMaker writer_on(const Branch& branch, const HistoryMaker& below) {
        HistoryMaker writer = below;
        writer.follow(branch.store().timelines().back());
        return writer;
    }
    void expect_all(const Branch& branch, const HistoryMaker& writer) {
        for (const Point at : writer.points()) {
            if (!branch.owns(at.timeline)) continue;
            EXPECT_IMAGE(read_step(branch, sizes_, at), writer.image(at));
        }
    }
    [[nodiscard]] std::string path_of(const std::string& id) const {
        return directory_.path() + "/branches/" + id;
    }

    const TempDirectory directory_;
    FaultyFiles files_{io::system_files(), "/branches"};
    const Uuid group_ = Uuid::random();
    std::vector<ByteCount> sizes_;
    std::unique_ptr<Scene> scene_;
    std::unique_ptr<HistoryMaker> maker_;
};

TEST_F(OnAStep, ItsStepsAndThoseOfTheGroupAreWhatWasWritten) {
    begin();
    push(40);
    const Point base = maker_->point(Lsn(maker_->head().value() / 2));
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", base, branch));
    HistoryMaker writer = writer_on(*branch, *maker_);
    write(*branch, writer, 30);
    push(40);
    expect_all(*branch, writer);
    EXPECT_IMAGE(read_step(*branch, sizes_, base), maker_->image(base));
    for (const Point at : maker_->points())
        EXPECT_IMAGE(read_step(scene_->standby(), at), maker_->image(at));
}

TEST_F(OnAStep, ACleanStopGoesOnOnTheSameTimelineAnotherDoesNot) {
    begin();
    push(20);
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", maker_->head_point(), branch));
    HistoryMaker writer = writer_on(*branch, *maker_);
    write(*branch, writer, 5);
    const TimelineId first = writer.timeline().id;
    branch.reset();
    scene_->close();
    ASSERT_OK(scene_->open());
    branch = find("1");
    ASSERT_NE(branch, nullptr);
    EXPECT_EQ(branch->store().tip().point, writer.head_point());
    write(*branch, writer, 5);
    expect_all(*branch, writer);
    // As after a kill -9: the record does not say that the stop was clean.
    branch.reset();
    scene_->close();
    BranchRecord record = load_branch(io::system_files(), path_of("1")).value();
    EXPECT_TRUE(record.clean);
    record.clean = false;
    ASSERT_OK(save_branch(io::system_files(), path_of("1"), record));
    ASSERT_OK(scene_->open());
    branch = find("1");
    ASSERT_NE(branch, nullptr);
    EXPECT_NE(branch->store().tip().point.timeline, first);
    EXPECT_EQ(branch->store().tip().point.lsn, writer.head());
    expect_all(*branch, writer);
    writer.follow(branch->store().timelines().back());
    write(*branch, writer, 5);
    expect_all(*branch, writer);
}

TEST_F(OnAStep, ItBelongsToItsDirectoryUntilThatIsForgotten) {
    begin();
    push(10);
    BranchRecord record;
    record.id = "1";
    record.base = maker_->head_point();
    record.volumes = {"data"};
    record.mount = "/mnt/then";
    scene_->thread().on([&] {
        Branches& branches = scene_->standby().branches();
        ASSERT_OK(branches.make(record, {record.base, branches.group()}).status());
    });
    const auto again = [&] {
        scene_->close();
        ASSERT_OK(scene_->open());
        ASSERT_NE(find("1"), nullptr);
    };
    again();
    EXPECT_EQ(find("1")->record().mount, "/mnt/then");
    scene_->thread().on([&] { ASSERT_OK(scene_->standby().branches().find("1")->forget_mount()); });
    EXPECT_EQ(find("1")->record().mount, "");
    again();
    EXPECT_EQ(find("1")->record().mount, "");
    EXPECT_EQ(find("1")->record().base, record.base);
}

TEST_F(OnAStep, RetentionLeavesWhatLiesBelowAlsoBehindAStart) {
    journal::KeepLimits keep;
    keep.keep_bytes = ByteCount(256U << 10);
    begin(keep);
    push(10);
    const Point base = maker_->head_point();
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", base, branch));
    HistoryMaker writer = writer_on(*branch, *maker_);
    write(*branch, writer, 5);
    branch.reset();
    for (int turn = 0; turn < 3; ++turn) {
        push(60);
        scene_->close();
        ASSERT_OK(scene_->open());
        expect_all(*find("1"), writer);
    }
    EXPECT_LE(scene_->store().baseline().lsn, base.lsn);
    // Dropped, it holds nothing any more.
    ASSERT_OK(drop("1"));
    push(60);
    EXPECT_TRUE(eventually([&] { return base.lsn < scene_->store().baseline().lsn; }));
}

TEST_F(OnAStep, BranchesOverBranchesGoFromTheTop) {
    begin();
    push(20);
    std::shared_ptr<Branch> lower;
    ASSERT_OK(make("9", maker_->head_point(), lower));
    HistoryMaker low = writer_on(*lower, *maker_);
    write(*lower, low, 6);
    std::shared_ptr<Branch> upper;
    ASSERT_OK(make("10", low.point(low.head() - 2), upper));
    HistoryMaker high = writer_on(*upper, low);
    write(*upper, high, 6);
    lower.reset();
    upper.reset();
    scene_->close();
    ASSERT_OK(scene_->open());
    expect_all(*find("9"), low);
    expect_all(*find("10"), high);
    EXPECT_EQ(drop("9").code(), ErrorCode::refused);
    ASSERT_OK(drop("10"));
    ASSERT_OK(drop("9"));
    EXPECT_EQ(find("9"), nullptr);
    EXPECT_TRUE(branch_ids(io::system_files(), directory_.path() + "/branches")->empty());
}

TEST_F(OnAStep, WhatWasCutShortIsRemovedAndWhatIsDamagedStays) {
    begin();
    push(10);
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", maker_->head_point(), branch));
    ASSERT_OK(make("2", maker_->head_point(), branch));
    branch.reset();
    scene_->close();
    // A making or dropping that a crash cut short has a store and no record; or nothing at all.
    std::filesystem::remove(path_of("1") + "/branch");
    std::filesystem::create_directories(path_of("3"));
    std::ofstream(path_of("2") + "/branch", std::ios::app) << "x";
    ASSERT_OK(scene_->open());
    EXPECT_FALSE(std::filesystem::exists(path_of("1")));
    EXPECT_FALSE(std::filesystem::exists(path_of("3")));
    EXPECT_TRUE(std::filesystem::exists(path_of("2") + "/store"));
    EXPECT_EQ(find("2"), nullptr);
    const auto events = scene_->events();
    EXPECT_TRUE(std::any_of(events.begin(), events.end(), [](const std::string& event) {
        return event.find("alarm-export") != std::string::npos &&
               event.find("branches/2/branch") != std::string::npos;
    }));
    ASSERT_OK(drop("2"));
    EXPECT_FALSE(std::filesystem::exists(path_of("2")));
}

TEST_F(OnAStep, BranchesThatCannotBeListedAreNotForgotten) {
    begin();
    push(20);
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", maker_->head_point(), branch));
    HistoryMaker writer = writer_on(*branch, *maker_);
    write(*branch, writer, 5);
    branch.reset();
    scene_->close();
    files_.close_all(true);
    const Status opened = scene_->open();
    files_.close_all(false);
    if (opened.ok()) {
        std::shared_ptr<Branch> other;
        EXPECT_FALSE(make("1", maker_->head_point(), other).ok()) << "over one that is there";
        other.reset();
        scene_->close();
    }
    ASSERT_OK(scene_->open());
    ASSERT_NE(find("1"), nullptr);
    expect_all(*find("1"), writer);
}

TEST_F(OnAStep, OneThatCannotBeOpenedOnceKeepsWhatLiesBelow) {
    journal::KeepLimits keep;
    keep.keep_bytes = ByteCount(256U << 10);
    begin(keep);
    push(10);
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", maker_->head_point(), branch));
    HistoryMaker writer = writer_on(*branch, *maker_);
    write(*branch, writer, 5);
    branch.reset();
    scene_->close();
    // Its store cannot be opened at this start; retention goes on.
    FaultyFiles store(io::system_files(), "/branches/1/store/");
    scene_ = std::make_unique<Scene>(
        directory_.path(), group_,
        SceneOptions{.files = &store, .segment_bytes = ByteCount(64U << 10), .keep = keep});
    store.close_all(true);
    ASSERT_OK(scene_->open());
    EXPECT_EQ(find("1"), nullptr);
    push(120);
    EXPECT_FALSE(eventually(
        [&] {
            return load_branch(io::system_files(), path_of("1")).value().base.lsn <
                   scene_->store().baseline().lsn;
        },
        std::chrono::seconds(5)))
        << "retention has passed the step below";
    store.close_all(false);
    scene_->close();
    ASSERT_OK(scene_->open());
    ASSERT_NE(find("1"), nullptr);
    expect_all(*find("1"), writer);
}

TEST_F(OnAStep, OneThatCouldNotBeOpenedIsNotDroppedBelowAnother) {
    begin();
    push(20);
    std::shared_ptr<Branch> lower;
    ASSERT_OK(make("1", maker_->head_point(), lower));
    HistoryMaker low = writer_on(*lower, *maker_);
    write(*lower, low, 6);
    std::shared_ptr<Branch> upper;
    ASSERT_OK(make("2", low.head_point(), upper));
    HistoryMaker high = writer_on(*upper, low);
    write(*upper, high, 6);
    lower.reset();
    upper.reset();
    scene_->close();
    FaultyFiles store(io::system_files(), "/branches/1/store/");
    scene_ = std::make_unique<Scene>(
        directory_.path(), group_,
        SceneOptions{.files = &store, .segment_bytes = ByteCount(64U << 10)});
    store.close_all(true);
    ASSERT_OK(scene_->open());
    store.close_all(false);
    EXPECT_EQ(drop("1").code(), ErrorCode::refused);
    scene_->close();
    ASSERT_OK(scene_->open());
    ASSERT_NE(find("2"), nullptr);
    expect_all(*find("2"), high);
    ASSERT_OK(drop("2"));
    ASSERT_OK(drop("1"));
}

TEST_F(OnAStep, NoneIsMadeOverOneThatIsDroppedMeanwhile) {
    begin();
    push(20);
    std::shared_ptr<Branch> lower;
    ASSERT_OK(make("1", maker_->head_point(), lower));
    HistoryMaker low = writer_on(*lower, *maker_);
    write(*lower, low, 6);
    Status made;
    scene_->thread().on([&] {
        Branches& branches = scene_->standby().branches();
        const PlacedPoint at{low.head_point(), branches.holder(low.timeline().id)};
        ASSERT_OK(branches.drop("1"));
        BranchRecord record;
        record.id = "2";
        record.base = at.point;
        record.volumes = {"data"};
        made = branches.make(record, at).status();
    });
    EXPECT_FALSE(made.ok());
}

TEST_F(OnAStep, AStepHasOneContentAlsoWhenAllThatWasWrittenIsLost) {
    begin();
    push(20);
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", maker_->head_point(), branch));
    // What the disk holds if the power fails before the first flush.
    const std::string saved = directory_.path() + "/saved";
    std::filesystem::copy(path_of("1"), saved, std::filesystem::copy_options::recursive);
    HistoryMaker writer = writer_on(*branch, *maker_);
    std::promise<Status> done;
    branch->append_local(writer.frame(), [&](const Status& status) { done.set_value(status); });
    ASSERT_OK(done.get_future().get());  // told to its client, readable as a step
    const Point told = branch->store().tip().point;
    branch.reset();
    scene_->close();
    std::filesystem::remove_all(path_of("1"));
    std::filesystem::rename(saved, path_of("1"));
    ASSERT_OK(scene_->open());
    branch = find("1");
    ASSERT_NE(branch, nullptr);
    EXPECT_NE(branch->store().tip().point.timeline, told.timeline);
    EXPECT_FALSE(branch->is_written());
}

TEST_F(OnAStep, ABranchIsFullBeforeTheGroupStopsReceiving) {
    constexpr std::uint64_t kReserve = 64U << 20;
    begin({}, ByteCount(kReserve));
    push(10);
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", maker_->head_point(), branch));
    files_.set_free(kReserve + kReserve / 16);
    EXPECT_TRUE(eventually([&] { return branch->full(); }, std::chrono::seconds(5)));
    EXPECT_FALSE(scene_->standby().full());
}

TEST_F(OnAStep, WhenItsHoldHasEndedNothingWrongIsRead) {
    begin();
    push(40);
    const Point base = maker_->point(Lsn(maker_->head().value() / 4));
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", base, branch));
    HistoryMaker writer = writer_on(*branch, *maker_);
    write(*branch, writer, 3);
    push(200);
    ASSERT_OK(scene_->task([](journal::Store& store) -> Status {
        store.end_holds(journal::HoldKind::lasting);
        return {};
    }));
    journal::KeepLimits limits;
    limits.force = true;
    limits.keep_bytes = ByteCount(1);
    scene_->thread().on([&] { scene_->standby().set_limits(limits, ByteCount(0)); });
    ASSERT_TRUE(eventually([&] { return base.lsn < scene_->store().baseline().lsn; }));
    for (const Point at : writer.points()) {
        if (!branch->owns(at.timeline)) continue;
        const auto view = branch->store().view(at);
        ASSERT_TRUE(view.ok());
        for (std::size_t v = 0; v < sizes_.size(); ++v) {
            std::vector<std::byte> found(sizes_[v].value());
            const Status read = branch->store().read(*view, branch->replica(), VolumeIndex(v),
                                                     ByteOffset(0), found);
            EXPECT_TRUE(!read.ok() || found == writer.image(at)[v]) << "volume " << v;
        }
    }
}

TEST_F(OnAStep, EveryByteOfARecordThatIsDamagedIsFound) {
    begin();
    push(10);
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", maker_->head_point(), branch));
    branch.reset();
    scene_->close();
    std::ifstream in(path_of("1") + "/branch", std::ios::binary);
    const std::string good((std::istreambuf_iterator<char>(in)), {});
    const auto put = [&](const std::string& text) {
        std::ofstream(path_of("1") + "/branch", std::ios::binary | std::ios::trunc) << text;
    };
    for (std::size_t at = 0; at < good.size(); ++at) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 8)));
        put(bad);
        EXPECT_FALSE(load_branch(io::system_files(), path_of("1")).ok()) << at;
        put(good.substr(0, at));
        EXPECT_FALSE(load_branch(io::system_files(), path_of("1")).ok()) << at;
        if (at % 37 != 0) continue;
        ASSERT_OK(scene_->open());
        EXPECT_EQ(find("1"), nullptr);
        scene_->close();
    }
    put(good);
    ASSERT_OK(scene_->open());
    EXPECT_NE(find("1"), nullptr);
}

TEST_F(OnAStep, DamageOfItsStoreIsToldAndNeverRead) {
    begin();
    push(20);
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", maker_->head_point(), branch));
    HistoryMaker writer = writer_on(*branch, *maker_);
    write(*branch, writer, 30);
    const bool clean = (test_seed() & 1) == 0;
    branch.reset();
    scene_->close();
    if (!clean) {
        BranchRecord record = load_branch(io::system_files(), path_of("1")).value();
        record.clean = false;
        ASSERT_OK(save_branch(io::system_files(), path_of("1"), record));
    }
    const std::string saved = directory_.path() + "/saved";
    const auto all = std::filesystem::copy_options::recursive;
    std::filesystem::copy(path_of("1"), saved, all);
    std::mt19937_64 dice(test_seed());
    for (int round = 0; round < 40; ++round) {
        std::filesystem::remove_all(path_of("1"));
        std::filesystem::copy(saved, path_of("1"), all);
        std::vector<std::string> names;
        for (const auto& one : std::filesystem::directory_iterator(path_of("1") + "/store"))
            if (one.is_regular_file() && one.file_size() > 0) names.push_back(one.path());
        std::sort(names.begin(), names.end());
        const std::string name = names[dice() % names.size()];
        const std::uint64_t size =
            std::min<std::uint64_t>(std::filesystem::file_size(name), 200U << 10);
        const std::uint64_t at = dice() % size;
        {
            std::fstream file(name, std::ios::in | std::ios::out | std::ios::binary);
            file.seekg(static_cast<std::streamoff>(at));
            const char was = static_cast<char>(file.get());
            file.seekp(static_cast<std::streamoff>(at));
            file.put(static_cast<char>(was ^ 0x41));
        }
        const std::size_t told = scene_->events().size();
        ASSERT_OK(scene_->open());
        const std::string what = name + " at " + std::to_string(at);
        branch = find("1");
        if (branch == nullptr) {
            std::string why;
            scene_->thread().on([&] {
                const auto& entries = scene_->standby().branches().all();
                why = entries.empty() ? "not listed" : entries.begin()->second.failed.message();
            });
            EXPECT_GT(scene_->events().size(), told) << what << ": " << why;
        } else {
            int wrong = 0;
            int missing = 0;
            for (const Point point : writer.points()) {
                if (!branch->owns(point.timeline)) continue;
                const auto view = branch->store().view(point);
                if (!view.ok()) {
                    ++missing;
                    continue;
                }
                for (std::size_t v = 0; v < sizes_.size(); ++v) {
                    std::vector<std::byte> found(sizes_[v].value());
                    const Status read = branch->store().read(*view, branch->replica(),
                                                             VolumeIndex(v), ByteOffset(0), found);
                    if (read.ok() && found != writer.image(point)[v]) ++wrong;
                }
            }
            EXPECT_EQ(wrong, 0) << what;
            (void)eventually([&] { return scene_->events().size() > told; },
                             std::chrono::seconds(1));
            EXPECT_TRUE(missing == 0 || scene_->events().size() > told)
                << missing << " steps are gone, and nothing is said: " << what;
        }
        branch.reset();
        scene_->close();
    }
}

TEST_F(OnAStep, AMarkOnItIsWritten) {
    begin();
    push(10);
    std::shared_ptr<Branch> branch;
    ASSERT_OK(make("1", maker_->head_point(), branch));
    std::promise<Status> done;
    branch->journal_task(
        [at = maker_->head_point()](journal::Store& store) {
            journal::Mark mark;
            mark.name = "here";
            mark.at = at;
            mark.pinned = true;
            return store.put_mark(mark);
        },
        [&](const Status& status) { done.set_value(status); });
    ASSERT_OK(done.get_future().get());
    EXPECT_TRUE(branch->is_written());
}

TEST_F(OnAStep, ARecordThatCouldNotBeReadAgainIsRefused) {
    begin();
    push(10);
    for (const std::string evil : {"/tmp/a\nb", "/tmp/a\nclean = 1", "/tmp/a\nmount = /"}) {
        Status made;
        scene_->thread().on([&] {
            Branches& branches = scene_->standby().branches();
            BranchRecord record;
            record.id = "1";
            record.base = maker_->head_point();
            record.volumes = {"data"};
            record.socket = evil;
            made = branches.make(record, {record.base, branches.group()}).status();
        });
        EXPECT_EQ(made.code(), ErrorCode::usage);
        scene_->close();
        ASSERT_OK(scene_->open());
        scene_->thread().on([&] { EXPECT_TRUE(scene_->standby().branches().all().empty()); });
    }
}

TEST(BranchRecord, IsReadAsItWasWrittenAndNothingElseIs) {
    BranchRecord record;
    record.id = "12";
    record.base = {Uuid::random(), Lsn(345)};
    record.volumes = {"data", "logs"};
    record.socket = "/run/a = b.sock";
    record.clean = true;
    const std::string text = pack_branch(record);
    ASSERT_TRUE(unpack_branch(text).ok());
    EXPECT_EQ(unpack_branch(text).value(), record);
    record.socket.clear();
    record.tcp = "[::1]:10809";
    record.mount = "/mnt/a = b";
    ASSERT_TRUE(unpack_branch(pack_branch(record)).ok());
    EXPECT_EQ(unpack_branch(pack_branch(record)).value(), record);
    for (const char* bad : {"", "id = 1\n", "base = x 1\n", "id = 1\nbase = zz 1\n", "clean = 2\n",
                            "id 1\n", "unknown = 1\n"})
        EXPECT_EQ(unpack_branch(bad).status().code(), ErrorCode::corrupt) << bad;
}

}  // namespace
}  // namespace everstep::standby::testing
