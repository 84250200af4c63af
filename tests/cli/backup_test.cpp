// `everstep backup` against a node that is only its admin socket, with disks that qemu-nbd serves.
#include <gtest/gtest.h>

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>

#include "cli/backup_file.hpp"
#include "cli/image_tools.hpp"
#include "cli/json.hpp"
#include "cli/render.hpp"
#include "fake_node.hpp"

namespace everstep::cli::test {
namespace {

constexpr const char* kTimeline = "4f2a91c0000000000000000000000001";
constexpr std::size_t kSize = 3 << 20;

std::string content(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void put(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// A raw file, served to whoever comes until it goes.
class ServedFile {
  public:
    ServedFile(std::string path, const std::string& bytes)
        : path_(std::move(path)), socket_(path_ + ".sock") {
        std::ofstream(path_, std::ios::binary) << bytes;
        const Result<int> pid =
            start_tool(kQemuNbd,
                       {"--socket=" + socket_, "--persistent", "--shared=8", "--read-only",
                        "--format=raw", "--description=everstep export 1 of db on beta", path_},
                       path_ + ".log");
        EXPECT_TRUE(pid.ok());
        pid_ = pid.ok() ? *pid : -1;
        for (int look = 0; look < 1000 && !NbdDisk::open(uri(), "disk").ok(); ++look)
            ::usleep(5000);
    }
    ServedFile(const ServedFile&) = delete;
    ServedFile& operator=(const ServedFile&) = delete;
    ~ServedFile() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    [[nodiscard]] std::string uri() const { return "nbd+unix:///?socket=" + socket_; }

  private:
    std::string path_;
    std::string socket_;
    int pid_ = -1;
};

// A node with two steps, 7 and 9, of one volume.
struct NodeWithSteps {
    std::map<std::string, std::string> uris;  // of "step:7" and "step:9"
    Value::List diff;
    std::uint64_t size = kSize;
    std::string description;  // of what is exported; empty: the node tells none
    std::string keeps;        // why no export can be ended; empty: they can
    std::size_t exported = 0;
    std::size_t ended = 0;
    std::function<void()> on_diff = [] {};  // in the middle of an incremental backup

    Replies answer(const wire::AdminRequest& request) {
        const auto& words = request.arguments;
        if (request.verb == "unexport") {
            ++ended;
            if (!keeps.empty()) return refusal(ErrorCode::io, keeps);
            return {reply(Value::map())};
        }
        if (request.verb == "diff") {
            on_diff();
            return {reply(Value(diff))};
        }
        if (request.verb == "log") return {reply(Value::list())};
        if (request.verb == "status") return {reply(Value::map())};
        const std::string point = words.at("point");
        const std::string step = point.substr(point.find("step:"));
        if (!uris.contains(step)) return refusal(ErrorCode::refused, "lies inside a gap");
        Value told = Value::map();
        told.set("id", std::to_string(++exported)).set("group", "db").set("timeline", kTimeline);
        told.set("uris", Value::map().set("data", uris.at(step)));
        if (!description.empty()) told.set("description", description);
        return {reply(told.set("lsn", std::stoi(step.substr(5))))};
    }
};

class Backups : public testing::Test {
  protected:
    void SetUp() override {
        for (const Tool& tool : {kQemuImg, kQemuNbd}) {
            if (!find_tool(tool).ok())
                GTEST_SKIP() << "skipped: " << find_tool(tool).status().message();
        }
        std::filesystem::create_directory(at(""));
        std::mt19937 random(7);
        first_.resize(kSize, '\0');
        for (std::size_t i = 200000; i < 900000; ++i) first_[i] = static_cast<char>(random());
        second_ = first_;
        for (std::size_t i = 300000; i < 500000; ++i) second_[i] = '\0';  // clusters of zeroes
        for (std::size_t i = 2000000; i < 2000100; ++i) second_[i] = 'x';
        changed(299520, 200704);
        changed(1999872, 512);
    }
    void changed(std::size_t offset, std::size_t length) {
        Value extent = Value::map();
        extent.set("volume", "data").set("offset", std::uint64_t{offset});
        steps_.diff.push_back(extent.set("length", std::uint64_t{length}));
        Value other = extent;
        steps_.diff.push_back(other.set("volume", "logs"));
    }
    [[nodiscard]] std::string at(const std::string& name) const {
        return world_.directory.path() + "/backups/" + name;
    }
    int run(std::vector<std::string> words) {
        words.insert(words.begin(), "backup");
        const int status = world_.run(words);
        EXPECT_EQ(steps_.ended, steps_.exported) << "an export is left";
        return status;
    }
    [[nodiscard]] std::string flat(const std::string& image) const {
        const std::string out = world_.directory.path() + "/flat";
        EXPECT_TRUE(tool_output(kQemuImg, {"convert", "-O", "raw", image, out}).ok());
        return content(out);
    }
    void expect_said(const std::vector<std::string>& names) const {
        for (const std::string& name : names)
            EXPECT_NE(world_.err.find(name), std::string::npos) << name << ": " << world_.err;
    }
    void expect_only(const std::vector<std::string>& names) const {
        std::vector<std::string> there;
        for (const auto& one : std::filesystem::directory_iterator(at("")))
            there.push_back(one.path().filename().string());
        std::sort(there.begin(), there.end());
        EXPECT_EQ(there, names);
    }
    World world_;
    NodeWithSteps steps_;
    std::string first_;
    std::string second_;
    const FakeNode node_{world_.socket(), [this](const wire::AdminRequest& request) {
                             return steps_.answer(request);
                         }};
};

TEST_F(Backups, AWholeOneAndAChainHoldTheirSteps) {
    const ServedFile seven(world_.directory.path() + "/7", first_);
    const ServedFile nine(world_.directory.path() + "/9", second_);
    steps_.uris = {{"step:7", seven.uri()}, {"step:9", nine.uri()}};
    ASSERT_EQ(run({"db", "step:7", "-o", at("raw"), "--format", "raw"}), 0) << world_.err;
    EXPECT_EQ(content(at("raw")), first_);
    struct stat seen {};
    ASSERT_EQ(::stat(at("raw").c_str(), &seen), 0);
    EXPECT_LT(seen.st_blocks * 512, 800000);
    ASSERT_EQ(run({"db/data", "step:7", "-o", at("a:1.qcow2")}), 0) << world_.err;
    EXPECT_EQ(flat(at("a:1.qcow2")), first_);
    expect_only({"a:1.qcow2", "a:1.qcow2.everstep", "raw", "raw.everstep"});

    EXPECT_EQ(run({"db", "step:9", "-o", at("b.qcow2"), "--since", "step:7"}), 3);
    expect_said({"2 backups"});
}

TEST_F(Backups, AnIncrementalOneHoldsWhatChangedAndItsZeroes) {
    const ServedFile seven(world_.directory.path() + "/7", first_);
    const ServedFile nine(world_.directory.path() + "/9", second_);
    steps_.uris = {{"step:7", seven.uri()}, {"step:9", nine.uri()}};
    ASSERT_EQ(run({"db/data", "step:7", "-o", at("a:1.qcow2")}), 0) << world_.err;
    ASSERT_EQ(run({"--json", "db", "step:9", "-o", at("b.qcow2"), "--since", "step:7"}), 0)
        << world_.err;
    EXPECT_EQ(flat(at("b.qcow2")), second_);
    EXPECT_NE(
        world_.out.find("\"since\":{\"timeline\":\"" + std::string(kTimeline) + "\",\"lsn\":7}"),
        std::string::npos)
        << world_.out;
    EXPECT_NE(world_.out.find("\"base\":\"" + at("a:1.qcow2") + "\""), std::string::npos);
    const auto record = read_backup(at("b.qcow2"));
    ASSERT_TRUE(record.ok());
    EXPECT_EQ(record->record.base, "./a:1.qcow2");
    ASSERT_TRUE(tool_output(kQemuImg, {"check", at("b.qcow2")}).ok());
    // Three clusters of zeroes lie in what changed, and are no data.
    const auto plain = tool_output(kQemuImg, {"map", "--output=json", at("b.qcow2")});
    ASSERT_TRUE(plain.ok());
    EXPECT_NE(plain->find("\"depth\": 0, \"present\": true, \"zero\": true"), std::string::npos)
        << *plain;

    ASSERT_EQ(run({"db", "step:9", "-o", at("c.qcow2"), "--since", "last"}), 0) << world_.err;
    EXPECT_EQ(read_backup(at("c.qcow2"))->record.base, "b.qcow2");
    EXPECT_EQ(run({"db", "step:9", "-o", at("b.qcow2"), "--force"}), 3);
    expect_said({"c.qcow2 lies over"});
    ASSERT_EQ(run({"db", "step:9", "-o", at("d.qcow2"), "--base", at("a:1.qcow2")}), 0);
    EXPECT_EQ(flat(at("d.qcow2")), second_);
    EXPECT_EQ(
        run({"db", "step:9", "-o", at("e.qcow2"), "--since", "step:9", "--base", at("a:1.qcow2")}),
        3);
    expect_said({"a:1.qcow2 holds step 7", "wanted as a base: step 9"});
}

TEST_F(Backups, WhatIsRefusedLeavesNothing) {
    EXPECT_EQ(run({"db", "step:8", "-o", at("a.qcow2")}), 3);
    expect_said({"lies inside a gap"});
    steps_.uris = {{"step:7", "nbd+unix:///?socket=/no/such/x.sock"}};
    EXPECT_EQ(run({"db", "step:7", "-o", at("a.qcow2")}), 1);
    expect_said({"/no/such/x.sock", "on the machine of the node"});
    const std::string dead = world_.directory.path() + "/dead.sock";
    std::ofstream(dead).close();
    steps_.uris["step:7"] = "nbd+unix:///?socket=" + dead;
    EXPECT_EQ(run({"db", "step:7", "-o", at("a.qcow2")}), 1);
    expect_said({"export 2", dead});
    EXPECT_EQ(run({"db", "step:7", "-o", at("a.everstep")}), 2);
    EXPECT_EQ(run({"db", "step:7", "-o", at("none/a.qcow2")}), 1);
    EXPECT_EQ(run({"db", "step:7", "-o", at("a"), "--since", "step:5"}), 3);
    EXPECT_EQ(run({"db", "step:7", "-o", at("a"), "--since", "last"}), 1);
    expect_said({"there is none at all"});
    expect_only({});
}

TEST_F(Backups, AnImageThatIsTooShortIsNone) {
    const ServedFile seven(world_.directory.path() + "/7", first_);  // ends with zeroes
    steps_.uris = {{"step:7", seven.uri()}};
    const std::string tools = world_.directory.path() + "/tools";
    const std::string path = std::getenv("PATH");
    std::filesystem::create_directory(tools);
    std::ofstream(tools + "/qemu-img")
        << "#!/bin/sh\nexec " << *find_tool(kQemuImg) << " create -q -f raw \"$5\" 1M\n";
    std::filesystem::permissions(tools + "/qemu-img", std::filesystem::perms::owner_all);
    ::setenv("PATH", (tools + ":" + path).c_str(), 1);
    EXPECT_EQ(run({"db", "step:7", "-o", at("a"), "--format", "raw"}), 1);
    ::setenv("PATH", path.c_str(), 1);
    expect_said({at("a.part"), "1048576 bytes", "3145728"});
    expect_only({});
}

TEST_F(Backups, LinksAreFollowedAsTheKernelDoes) {
    const ServedFile seven(world_.directory.path() + "/7", first_);
    steps_.uris = {{"step:7", seven.uri()}};
    std::filesystem::create_directories(world_.directory.path() + "/real/deep");
    std::filesystem::create_directory_symlink(world_.directory.path() + "/real/deep", at("link"));
    ASSERT_EQ(run({"db", "step:7", "-o", at("link/../a")}), 0) << world_.err;
    EXPECT_EQ(flat(world_.directory.path() + "/real/a"), first_);
    EXPECT_EQ(read_backup(world_.directory.path() + "/real/a")->record.point.lsn, Lsn(7));
    ASSERT_EQ(run({"db", "step:7", "-o", at("b"), "--base", at("link/../a")}), 0) << world_.err;
    EXPECT_EQ(flat(at("b")), first_);
    expect_only({"b", "b.everstep", "link"});
    EXPECT_EQ(run({"db", "step:7", "-o", at("link/..")}), 2);
    EXPECT_EQ(run({"db", "step:7", "-o", at("link/")}), 2);
}

TEST_F(Backups, ExportsThatCannotBeEndedAreNamed) {
    const ServedFile seven(world_.directory.path() + "/7", first_);
    steps_.uris = {{"step:7", seven.uri()}};
    ASSERT_EQ(run({"db", "step:7", "-o", at("a")}), 0) << world_.err;
    steps_.uris["step:9"] = "nbd+unix:///?socket=" + at("a");
    steps_.keeps = "the disk is gone";
    EXPECT_EQ(run({"db", "step:9", "-o", at("b"), "--since", "last"}), 1);
    expect_said({"export 2: the disk is gone", "`everstep unexport 2`",
                 "export 3: the disk is gone", "`everstep unexport 3`"});
    EXPECT_EQ(run({"db", "step:7", "-o", at("b"), "--since", "last"}), 1);
    expect_said({at("b") + " is whole", "`everstep unexport 4`", "`everstep unexport 5`"});
    expect_only({"a", "a.everstep", "b", "b.everstep"});
}

TEST_F(Backups, ADamagedBaseAndAnotherSizeAreRefused) {
    const ServedFile seven(world_.directory.path() + "/7", first_);
    const ServedFile less(world_.directory.path() + "/9", second_.substr(0, kSize / 2));
    steps_.uris = {{"step:7", seven.uri()}, {"step:9", less.uri()}};
    ASSERT_EQ(run({"db", "step:7", "-o", at("a")}), 0) << world_.err;
    EXPECT_EQ(run({"db", "step:9", "-o", at("b"), "--since", "step:7"}), 3);
    expect_said({"3145728 bytes", "1572864", "full backup"});
    steps_.uris["step:9"] = seven.uri();
    std::ofstream(at("a")) << "no qcow2 any more";
    EXPECT_EQ(run({"db", "step:9", "-o", at("b"), "--since", "step:7"}), 1);
    expect_said({"qemu-img", at("a")});
    std::ofstream(at("a.everstep")) << "{";
    EXPECT_EQ(run({"db", "step:9", "-o", at("b"), "--base", at("a")}), 1);
    expect_said({"a.everstep"});
    steps_.diff.front().set("offset", std::uint64_t{1} << 63);
    expect_only({"a", "a.everstep"});
}

// The node is elsewhere, and this machine has a socket of that name, too.
TEST_F(Backups, TheExportOfAnotherMachineIsNotTakenForTheOneHere) {
    const ServedFile here(world_.directory.path() + "/7", first_);
    steps_.uris = {{"step:7", here.uri()}};
    steps_.description = "everstep export 1 of db on gamma";
    EXPECT_EQ(run({"db", "step:7", "-o", at("a")}), 1);
    expect_said({"export 1", "serves \"everstep export 1 of db on beta\"",
                 "wanted \"everstep export 1 of db on gamma\"", "on the machine of the node"});
    expect_only({});
    steps_.description = "everstep export 1 of db on beta";
    EXPECT_EQ(run({"db", "step:7", "-o", at("a")}), 0) << world_.err;
}

// A guest that was booted from it, or qemu-img commit: its record does not know of that.
TEST_F(Backups, ABaseThatSomethingWroteToIsRefused) {
    const ServedFile seven(world_.directory.path() + "/7", first_);
    const ServedFile nine(world_.directory.path() + "/9", second_);
    steps_.uris = {{"step:7", seven.uri()}, {"step:9", nine.uri()}};
    ASSERT_EQ(run({"db", "step:7", "-o", at("a")}), 0) << world_.err;
    ASSERT_EQ(run({"db", "step:9", "-o", at("b"), "--since", "last"}), 0) << world_.err;
    const std::string whole = content(at("a"));
    const auto wrote = tool_output({"qemu-io", "qemu-utils"},
                                   {"-f", "qcow2", "-c", "write -P 7 602112 512", at("a")});
    ASSERT_TRUE(wrote.ok()) << wrote.status().message();
    for (const char* base : {"a", "b"}) {  // b lies over a, in which the other byte shows
        EXPECT_EQ(run({"db", "step:9", "-o", at("c"), "--base", at(base)}), 3);
        expect_said({at(base) + " does not hold step", "differ at byte 602112", "full backup"});
    }
    put(at("a"), whole);  // of another time, as a copy is
    EXPECT_EQ(run({"db", "step:9", "-o", at("c"), "--base", at("a")}), 0) << world_.err;
    EXPECT_EQ(flat(at("c")), second_);
    EXPECT_EQ(run({"db", "step:9", "-o", at("d"), "--since", "last"}), 0) << world_.err;
    EXPECT_EQ(flat(at("d")), second_);
}

TEST_F(Backups, ABaseIsNotWrittenOverWhileAnotherIsMadeOverIt) {
    const ServedFile seven(world_.directory.path() + "/7", first_);
    const ServedFile nine(world_.directory.path() + "/9", second_);
    steps_.uris = {{"step:7", seven.uri()}, {"step:9", nine.uri()}};
    ASSERT_EQ(run({"db", "step:7", "-o", at("a")}), 0) << world_.err;
    Status over;
    steps_.on_diff = [&] { over = BackupFile::begin(at("a"), true).status(); };
    ASSERT_EQ(run({"db", "step:9", "-o", at("b"), "--since", "last"}), 0) << world_.err;
    EXPECT_EQ(over.code(), ErrorCode::busy) << over.message();
    EXPECT_NE(over.message().find(at("a") + ": another backup is being made over it"),
              std::string::npos)
        << over.message();
    EXPECT_EQ(flat(at("b")), second_);
    {
        const auto writes_over = BackupFile::begin(at("b"), true);
        ASSERT_TRUE(writes_over.ok()) << writes_over.status().message();
        EXPECT_EQ(run({"db", "step:9", "-o", at("c"), "--since", "last"}), 1);
        expect_said({at("b") + ": another backup is about to write over it"});
    }
    // What came to lie over it before it was locked counts, too.
    EXPECT_EQ(run({"db", "step:9", "-o", at("a"), "--force"}), 3);
    expect_said({at("b") + " lies over " + at("a")});
    EXPECT_EQ(run({"db", "step:9", "-o", at("b"), "--since", "last", "--force"}), 3);
    expect_said({"is what the new backup would lie over"});
    expect_only({"a", "a.everstep", "b", "b.everstep"});
}

TEST_F(Backups, ProgressIsShownOnATerminal) {
    const ServedFile seven(world_.directory.path() + "/7", first_);
    steps_.uris = {{"step:7", seven.uri()}};
    world_.terminal = true;
    ASSERT_EQ(run({"db", "step:7", "-o", at("a")}), 0) << world_.err;
    expect_said({"100%, 3.0 MiB of 3.0 MiB"});
    ASSERT_EQ(run({"db", "step:7", "-o", at("b"), "--quiet"}), 0) << world_.err;
    EXPECT_EQ(world_.err + world_.out, "");
}

TEST(BackupTexts, SayWhatIsWhereAndWhatItNeeds) {
    Value body = Value::map();
    body.set("file", "/b/next").set("format", "qcow2").set("volume", "data").set("lsn", 9);
    body.set("timeline", kTimeline).set("size", 1 << 30).set("read", 2 << 20);
    body.set("written", 1 << 20).set("seconds", 0.25).set("base", Value());
    const std::string whole =
        "step 9 of timeline 4f2a91c0, volume data of 1.0 GiB, is in /b/next: qcow2, 2.0 MiB read, "
        "1.0 MiB written, in 0.250 s\n";
    EXPECT_EQ(backup_text(body), whole);
    body.set("base", "/b/full").set("since", Value::map().set("lsn", 7));
    EXPECT_EQ(backup_text(body), whole + "it lies over /b/full, step 7; keep both\n");
}

}  // namespace
}  // namespace everstep::cli::test
