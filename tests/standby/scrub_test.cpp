// The scrub of a running store: beside writes, at its rate, watched by many, cut short and gone on
// with; what it finds is an event and in the answer, and other steps stay readable.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "checks.hpp"
#include "journal/record_scan.hpp"
#include "standby/branches.hpp"
#include "standby/history_commands.hpp"
#include "standby/scrub_state.hpp"

namespace everstep::standby::testing {
namespace {

class ScrubCommand : public ::testing::Test {
  protected:
    ScrubCommand() : scene(directory.path(), group) {
        std::vector<ByteCount> sizes;
        for (const VolumeFile& volume : scene.volumes()) sizes.push_back(volume.size);
        maker = std::make_unique<HistoryMaker>(group, sizes, test_seed());
    }
    void SetUp() override {
        open();
        ASSERT_OK(scene.begin(maker->timeline()));
        push_to(Lsn(1200));
    }
    void TearDown() override { close_commands(); }
    void open() {
        ASSERT_OK(scene.open());
        scene.thread().on([&] {
            commands = std::make_unique<HistoryCommands>(scene.standby(),
                                                         std::vector<std::string>{"data", "log"},
                                                         [] { return WallTime(); });
        });
    }
    void close_commands() {
        scene.thread().on([&] { commands.reset(); });
    }
    void push_to(Lsn lsn) {
        while (maker->head() < lsn) scene.push(maker->frame());
        ASSERT_TRUE(scene.wait_durable(maker->head()));
        ASSERT_TRUE(scene.wait_applied(maker->head()));
    }
    struct Asked {
        std::mutex mutex;
        wire::AdminReply last;
        std::size_t progress = 0;
        bool ended = false;
    };
    std::shared_ptr<Asked> ask(const std::string& rate) {
        auto asked = std::make_shared<Asked>();
        scene.thread().on([&] {
            commands->run({"scrub", {{"rate", rate}}}, [asked](const wire::AdminReply& reply) {
                const std::lock_guard lock(asked->mutex);
                EXPECT_FALSE(asked->ended);
                if (!reply.body.at("progress").is_null()) ++asked->progress;
                asked->last = reply;
                asked->ended = !reply.more;
            });
        });
        return asked;
    }
    static bool ended(const std::shared_ptr<Asked>& asked) {
        const std::lock_guard lock(asked->mutex);
        return asked->ended;
    }
    wire::AdminReply scrub(const std::string& rate = "1GiB") {
        const auto asked = ask(rate);
        EXPECT_TRUE(eventually([&] { return ended(asked); }));
        return asked->last;
    }
    [[nodiscard]] std::string store_file(journal::FileKind kind, std::uint64_t n) const {
        return scene.standby().options().directory + "/" + journal::file_name(kind, n);
    }
    void flip(const std::string& path, std::size_t at) const {
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekg(static_cast<std::streamoff>(at));
        const char byte = static_cast<char>(file.get() ^ 1);
        file.seekp(static_cast<std::streamoff>(at));
        file.put(byte);
    }
    // Where the first payload of a redo file lies.
    [[nodiscard]] static std::size_t first_payload(const std::string& path) {
        std::ifstream in(path, std::ios::binary);
        const std::string all{std::istreambuf_iterator<char>(in), {}};
        const Bytes bytes = std::as_bytes(std::span(all));
        for (std::size_t at = all.find("EVSF"); at != std::string::npos;
             at = all.find("EVSF", at + 1)) {
            const auto length = SealedFrame::frame_bytes(bytes.subspan(at, kFrameHeaderBytes));
            if (!length.ok()) continue;
            Buffer copy;
            copy.append(bytes.subspan(at, *length));
            const auto frame = SealedFrame::parse(std::move(copy));
            if (!frame.ok()) continue;
            for (const FrameEntry& entry : (*frame)->entries())
                if (takes_lsn(entry.kind) && entry.payload_bytes > 0)
                    return at + entry.payload_offset;
        }
        ADD_FAILURE() << path << ": no payload";
        return 0;
    }
    [[nodiscard]] std::size_t events(const std::string& word) {
        std::size_t count = 0;
        for (const std::string& event : scene.events())
            if (event.find(word) != std::string::npos) ++count;
        return count;
    }

    const TempDirectory directory;
    const Uuid group = Uuid::random();
    mutable Scene scene;
    std::unique_ptr<HistoryMaker> maker;
    std::unique_ptr<HistoryCommands> commands;
};

TEST_F(ScrubCommand, FindsNothingWhileWritesGoOn) {
    const auto asked = ask("8MiB");
    while (!ended(asked)) push_to(maker->head() + 20);
    EXPECT_EQ(asked->last.error, ErrorCode::ok) << asked->last.message;
    EXPECT_EQ(asked->last.body.at("damages").number(), 0U);
    EXPECT_GT(asked->last.body.at("segments").number(), 2U);
    EXPECT_TRUE(asked->last.body.at("resumed_at").is_null());
    const wire::AdminReply again = scrub();
    EXPECT_EQ(again.body.at("damages").number(), 0U);
    EXPECT_GE(again.body.at("bytes").number(), asked->last.body.at("bytes").number());
    EXPECT_EQ(events("alarm-damage"), 0U);
}

TEST_F(ScrubCommand, DamageIsAnAlarmAndInTheAnswerAndOtherStepsAreRead) {
    const std::string path = store_file(journal::FileKind::redo, 1);
    const std::size_t at = first_payload(path) + 5;
    flip(path, at);
    const wire::AdminReply reply = scrub();
    ASSERT_EQ(reply.error, ErrorCode::ok) << reply.message;
    EXPECT_EQ(reply.body.at("damages").number(), 1U);
    const Value::List* const list = reply.body.at("damage").as_list();
    ASSERT_TRUE(list != nullptr && list->size() == 1);
    const Value& damage = list->front();
    EXPECT_EQ(damage.at("file").text(), path);
    EXPECT_LE(damage.at("offset").number(), at);
    EXPECT_LT(at, damage.at("offset").number() + damage.at("length").number());
    EXPECT_FALSE(damage.at("first").is_null());
    ASSERT_TRUE(damage.at("extents").as_list() != nullptr);
    ASSERT_FALSE(damage.at("extents").as_list()->empty());
    const std::string volume = damage.at("extents").as_list()->front().at("volume").text();
    EXPECT_TRUE(volume == "data" || volume == "log") << volume;
    EXPECT_TRUE(eventually([&] { return events("alarm-damage") >= 1; }));
    // Newer steps do not need it.
    const auto view = scene.store().view({maker->timeline().id, maker->head() - 1});
    ASSERT_OK(view.status());
    std::vector<std::byte> bytes(4096);
    ASSERT_OK(
        scene.store().read(*view, scene.standby().replica(), VolumeIndex(0), ByteOffset(0), bytes));
    push_to(maker->head() + 10);
    flip(path, at);
    EXPECT_EQ(scrub().body.at("damages").number(), 0U);
}

TEST_F(ScrubCommand, BranchesAreCheckedToo) {
    const std::uint64_t bytes = scrub().body.at("bytes").number();
    const std::string branch_directory = scene.standby().options().branches + "/1";
    std::shared_ptr<Branch> branch;
    scene.thread().on([&] {
        BranchRecord record;
        record.id = "1";
        record.base = maker->point(Lsn(700));
        record.volumes = {"data"};
        Branches& all = scene.standby().branches();
        auto made = all.make(record, {record.base, all.group()});
        ASSERT_OK(made.status());
        branch = *made;
    });
    HistoryMaker writer = *maker;
    writer.follow(branch->store().timelines().back());
    const Lsn from = writer.head();
    std::promise<Status> synced;
    while (writer.head() < from + 40)
        branch->append_local(writer.frame(), [](const Status& status) {
            EXPECT_TRUE(status.ok()) << status.message();
        });
    branch->sync_local([&](const Status& status) { synced.set_value(status); });
    ASSERT_OK(synced.get_future().get());
    const wire::AdminReply good = scrub();
    EXPECT_EQ(good.body.at("damages").number(), 0U);
    EXPECT_GT(good.body.at("bytes").number(), bytes);

    // The first segment is that of the line below.
    const std::string path =
        branch_directory + "/store/" + journal::file_name(journal::FileKind::redo, 2);
    flip(path, first_payload(path) + 5);
    const wire::AdminReply bad = scrub();
    ASSERT_EQ(bad.body.at("damages").number(), 1U);
    const Value& damage = bad.body.at("damage").as_list()->front();
    EXPECT_EQ(damage.at("file").text(), path);
    EXPECT_GT(damage.at("first").number(), 700U);

    // One that could not be opened is no secret either; one that is dropped is gone.
    branch.reset();
    close_commands();
    scene.close();
    flip(branch_directory + "/branch", 3);
    open();
    const wire::AdminReply closed = scrub();
    ASSERT_EQ(closed.body.at("damages").number(), 1U);
    EXPECT_EQ(closed.body.at("damage").as_list()->front().at("file").text(), branch_directory);
    scene.thread().on([&] { ASSERT_OK(scene.standby().branches().drop("1")); });
    EXPECT_EQ(scrub().body.at("damages").number(), 0U);
}

// What is written anew from the segments by itself is still told.
TEST_F(ScrubCommand, DamageOfTheCatalogueIsToldAndMendedByTheNextSegment) {
    const std::string path = scene.standby().options().directory + "/catalogue-0";
    const std::string last = scene.standby().options().directory + "/catalogue-1-sum";
    ASSERT_TRUE(eventually([&] { return std::filesystem::exists(last); }));
    flip(path, 4200);
    const wire::AdminReply reply = scrub();
    ASSERT_EQ(reply.error, ErrorCode::ok) << reply.message;
    // None, if a segment was catalogued in between.
    const Value::List* const list = reply.body.at("damage").as_list();
    ASSERT_TRUE(list != nullptr);
    for (const Value& damage : *list) EXPECT_EQ(damage.at("file").text(), path);
    EXPECT_TRUE(eventually([&] {
        push_to(maker->head() + 100);
        return scrub().body.at("damages").number() == 0;
    }));
}

TEST_F(ScrubCommand, EndsWithItsStoreAndSaysSo) {
    const auto asked = ask("1KiB");
    EXPECT_FALSE(ended(asked));
    close_commands();
    ASSERT_TRUE(ended(asked));
    EXPECT_EQ(asked->last.error, ErrorCode::closed) << asked->last.message;
}

TEST_F(ScrubCommand, GoesOnWhereItWasCutShort) {
    close_commands();
    const std::string store = scene.standby().options().directory;
    scene.close();
    io::FileSystem& files = io::system_files();
    const auto file = files.open(store + "/" + journal::file_name(journal::FileKind::redo, 2), {});
    ASSERT_OK(file.status());
    ScrubState state;
    state.segment = 2;
    state.salt = 1;  // of a file that is gone
    state.damages = 3;
    ASSERT_OK(save_scrub(files, store, state));
    EXPECT_FALSE(load_scrub(files, store).has_value());
    state.salt =
        journal::envelope_salt(journal::read_header(**file, journal::FileKind::redo)->header.salt);
    ASSERT_OK(save_scrub(files, store, state));
    open();
    const wire::AdminReply reply = scrub();
    ASSERT_EQ(reply.error, ErrorCode::ok) << reply.message;
    EXPECT_EQ(reply.body.at("resumed_at").number(), 3U);
    EXPECT_EQ(reply.body.at("damages").number(), 0U);
    EXPECT_EQ(reply.body.at("damages_before").number(), 3U);
    EXPECT_FALSE(load_scrub(files, store).has_value()) << "it came to its end";
    const wire::AdminReply whole = scrub();
    EXPECT_TRUE(whole.body.at("resumed_at").is_null());
    EXPECT_EQ(whole.body.at("segments").number(), reply.body.at("segments").number() + 2);
}

TEST_F(ScrubCommand, WhereItStandsIsKeptWhole) {
    const std::string& store = scene.standby().options().directory;
    io::FileSystem& files = io::system_files();
    const auto file = files.open(store_file(journal::FileKind::redo, 1), {});
    ASSERT_OK(file.status());
    ScrubState state;
    state.segment = 1;
    state.salt =
        journal::envelope_salt(journal::read_header(**file, journal::FileKind::redo)->header.salt);
    state.chain.emplace();
    state.chain->tip = scene.store().tip();
    state.chain->sub = 7;
    state.chain->may_jump = true;
    ASSERT_OK(save_scrub(files, store, state));
    const auto found = load_scrub(files, store);
    ASSERT_TRUE(found.has_value());
    EXPECT_TRUE(found->chain == state.chain);
    // Another chain than the next segment's head has is found.
    EXPECT_EQ(scrub().body.at("damages").number(), 1U);
}

TEST_F(ScrubCommand, TheSecondWhoAsksWatchesTheFirst) {
    const auto slow = ask("64KiB");
    const auto second = ask("1GiB");  // and lets it run
    EXPECT_TRUE(eventually([&] { return ended(slow) && ended(second); }));
    EXPECT_EQ(slow->last.body.at("bytes").number(), second->last.body.at("bytes").number());
}

TEST_F(ScrubCommand, ARateThatIsNoneIsUsage) {
    EXPECT_EQ(scrub("fast").error, ErrorCode::usage);
    EXPECT_EQ(scrub("0MiB").error, ErrorCode::usage);
}

}  // namespace
}  // namespace everstep::standby::testing
