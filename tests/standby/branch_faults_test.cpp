// Branches: files that fail or are damaged, races, full disks. What was written on one is never
// lost by it, and never read wrong.
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>

#include "common/base/thread.hpp"
#include "on_a_step.hpp"

namespace everstep::standby::testing {
namespace {

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
    scene_->close();  // before the files that it uses
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
    scene_->close();  // before the files that it uses
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

// In some file of the store; gives its name and the place.
std::string flip_a_byte(const std::string& store, std::mt19937_64& dice) {
    std::vector<std::string> names;
    for (const auto& one : std::filesystem::directory_iterator(store))
        if (one.is_regular_file() && one.file_size() > 0) names.push_back(one.path());
    std::sort(names.begin(), names.end());
    const std::string name = names[dice() % names.size()];
    const std::uint64_t size =
        std::min<std::uint64_t>(std::filesystem::file_size(name), 200U << 10);
    const std::uint64_t at = dice() % size;
    std::fstream file(name, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const char was = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(was ^ 0x41));
    return name + " at " + std::to_string(at);
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
        const std::string what = flip_a_byte(path_of("1") + "/store", dice);
        const std::size_t told = scene_->events().size();
        ASSERT_OK(scene_->open());
        branch = find("1");
        int missing = 0;
        if (branch) expect_nothing_wrong(*branch, writer, what, missing);
        const bool lost = branch == nullptr || missing > 0;
        if (lost)
            (void)eventually([&] { return scene_->events().size() > told; },
                             std::chrono::seconds(1));
        EXPECT_TRUE(!lost || scene_->events().size() > told)
            << missing << " steps are gone, and nothing is said: " << what;
        branch.reset();
        scene_->close();
    }
}

constexpr std::int64_t kAllThreads = std::numeric_limits<std::int64_t>::max();

TEST_F(OnAStep, WithoutThreadsForItItIsRefusedAndNothingStays) {
    begin();
    push(20);
    std::shared_ptr<Branch> branch;
    Status made;
    std::int64_t given = 0;
    do {
        ASSERT_LT(given, 20);
        threads_to_give() = given++;
        made = make("1", maker_->head_point(), branch);
        threads_to_give() = kAllThreads;
        if (made.ok()) break;
        EXPECT_EQ(made.code(), ErrorCode::refused);
        EXPECT_NE(made.message().find("no more threads"), std::string::npos) << made.message();
        EXPECT_FALSE(std::filesystem::exists(path_of("1")));
    } while (!made.ok());
    EXPECT_GT(given, 2);
    HistoryMaker writer = writer_on(*branch, *maker_);
    write(*branch, writer, 5);
    expect_all(*branch, writer);
    // The whole standby, too, is refused and not ended, whichever thread it lacks; and nothing of
    // the branch is lost by that, nor its timeline.
    const TimelineId timeline = branch->store().tip().point.timeline;
    branch.reset();
    scene_->close();
    for (given = 0; !scene_->standby_open(); ++given) {
        ASSERT_LT(given, 40);
        threads_to_give() = given;
        const Status opened = scene_->open();
        threads_to_give() = kAllThreads;
        EXPECT_TRUE(opened.ok() || opened.code() == ErrorCode::refused) << opened.message();
    }
    EXPECT_GT(given, 8);
    branch = find("1");
    ASSERT_NE(branch, nullptr);
    EXPECT_EQ(branch->store().tip().point.timeline, timeline);
    expect_all(*branch, writer);
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

}  // namespace
}  // namespace everstep::standby::testing
