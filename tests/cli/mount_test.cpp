// What a mount reads of the kernel and of the tools that it runs, and the places that it keeps.
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "cli/mount_place.hpp"
#include "cli/render.hpp"
#include "fake_node.hpp"

namespace everstep::cli::test {
namespace {

TEST(MountTable, TheLastOneAtAPlaceLiesOnTop) {
    const auto mounts = parse_mounts(
        "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        "88 22 0:39 / /run/a\\040b\\134c rw - fuse /dev/fuse rw,user_id=0\n"
        "89 22 7:0 / /mnt rw master:2 propagate_from:3 - ext4 /dev/loop0 ro\n"
        "90 22 7:1 / /mnt ro,nosuid - xfs /dev/loop1 ro\n"
        "91 22 7:2 / /cut ro\n"
        "\n");
    ASSERT_EQ(mounts.size(), 4U);
    EXPECT_EQ(mounts[1], (MountEntry{"0:39", "/run/a b\\c", "fuse", "/dev/fuse"}));
    ASSERT_NE(mount_at(mounts, "/mnt"), nullptr);
    EXPECT_EQ(*mount_at(mounts, "/mnt"), (MountEntry{"7:1", "/mnt", "xfs", "/dev/loop1"}));
    EXPECT_EQ(mount_at(mounts, "/cut"), nullptr);
    EXPECT_EQ(mount_at(mounts, "/mn"), nullptr);
    ASSERT_NE(mount_at(current_mounts(), "/proc"), nullptr);
    EXPECT_EQ(mount_at(current_mounts(), "/proc")->type, "proc");
}

TEST(MountTable, LoopDevicesAreThoseOverTheFile) {
    const TemporaryDirectory directory;
    const auto make = [&](const std::string& name, const std::string& file, const char* device) {
        const std::filesystem::path block = directory.path() + "/" + name;
        std::filesystem::create_directories(block / "loop");
        if (!file.empty()) std::ofstream(block / "loop" / "backing_file") << file << '\n';
        std::ofstream(block / "dev") << device << '\n';
    };
    make("loop0", "/run/x/disk", "7:0");
    make("loop1", "/run/x/disk2", "7:1");
    make("loop2", "", "7:2");
    make("vda", "/run/x/disk", "254:0");
    EXPECT_EQ(loops_over("/run/x/disk", directory.path()),
              (std::vector<LoopDevice>{{"/dev/loop0", "7:0", "/run/x/disk"}}));
    EXPECT_TRUE(loops_over("/run/x/disk", directory.path() + "/none").empty());
}

TEST(DiskLayout, PartitionsAreThoseThatCanHoldAFileSystem) {
    const auto found = parse_partitions(
        "NR=\"1\" START=\"2048\" SECTORS=\"8192\" TYPE=\"0x83\"\n"
        "NR=\"2\" START=\"12288\" SECTORS=\"16384\" TYPE=\"0x5\"\n"
        "NR=\"3\" START=\"12288\" SECTORS=\"1\" TYPE=\"0xf\"\n"
        "NR=\"5\" START=\"14336\" SECTORS=\"4096\" TYPE=\"0x83\"\n"
        "NR=\"6\" START=\"14336\" SECTORS=\"0\" TYPE=\"0x83\"\n"
        "NR=\"7\" START=\"36028797018963968\" SECTORS=\"1\" TYPE=\"0x83\"\n"
        "NR=\"8\" START=\"1\" SECTORS=\"36028797018963967\" TYPE=\"0x83\"\n"
        "NR=\"x\" START=\"1\" SECTORS=\"1\" TYPE=\"0x83\"\n"
        "NR=\"9\" START=\"1\n"
        "NR=\"10\" START=\"34\" SECTORS=\"2\" TYPE=\"0fc63daf-8483-4772-8e79-3d69d8477de4\"\n");
    EXPECT_EQ(found, (std::vector<Partition>{
                         {1, ByteOffset(2048 * 512), ByteCount(8192 * 512)},
                         {5, ByteOffset(14336 * 512), ByteCount(4096 * 512)},
                         {10, ByteOffset(34 * 512), ByteCount(2 * 512)},
                     }));
}

TEST(DiskLayout, AProbeIsItsKeysAndValues) {
    const auto probe = parse_probe("DEVNAME=/dev/loop0\nLABEL=a=b\nno value\nTYPE=ext4\n");
    EXPECT_EQ(probe, (std::map<std::string, std::string>{
                         {"DEVNAME", "/dev/loop0"}, {"LABEL", "a=b"}, {"TYPE", "ext4"}}));
}

TEST(DiskLayout, AFileWithoutAnythingHoldsNoFileSystem) {
    const TemporaryDirectory directory;
    const std::string file = directory.path() + "/blank";
    std::ofstream(file) << std::string(1 << 16, '\0');
    const Status none = find_file_system(file).status();
    EXPECT_EQ(none.code(), ErrorCode::not_found);
    EXPECT_NE(none.message().find("blkid sees nothing"), std::string::npos) << none.message();
    EXPECT_EQ(find_partition(file, 1).status().code(), ErrorCode::usage);
}

TEST(MountPlaces, EachDirectoryHasItsOwn) {
    const TemporaryDirectory directory;
    const std::string root = directory.path() + "/made/on the way";
    std::vector<std::string> files;
    for (const char* one : {"/mnt/a", "/mnt-a", "/mnt/%2da", "/.", "/..a", "/mnt/a b", "/mnt/a%20b",
                            "/mnt/\n", "/"}) {
        const Result<MountPlace> place = MountPlace::of(one, root);
        ASSERT_TRUE(place.ok());
        EXPECT_EQ(std::filesystem::path(place->file()).parent_path().parent_path(), root) << one;
        EXPECT_EQ(std::find(files.begin(), files.end(), place->file()), files.end()) << one;
        files.push_back(place->file());
    }
    EXPECT_EQ(files.front(), root + "/mnt-a/disk");
    EXPECT_EQ(MountPlace::of("/" + std::string(256, 'a'), root).status().code(),
              ErrorCode::too_large);
}

TEST(MountPlaces, WhoMadeOneIsTheOnlyOneUntilItIsTakenDown) {
    const TemporaryDirectory directory;
    const Result<MountPlace> place = MountPlace::of("/no/such", directory.path() + "/places");
    ASSERT_TRUE(place.ok());
    EXPECT_FALSE(place->is_there());
    EXPECT_TRUE(place->detach().ok());
    ASSERT_TRUE(place->make().ok());
    EXPECT_TRUE(place->is_there());
    const Status again = place->make();
    EXPECT_EQ(again.code(), ErrorCode::exists);
    EXPECT_NE(again.message().find("everstep umount /no/such"), std::string::npos);
    std::ofstream(place->file()) << "left over";
    EXPECT_TRUE(place->detach().ok());
    EXPECT_FALSE(place->is_there());
    EXPECT_TRUE(place->make().ok());
}

TEST(MountPlaces, ServersAreTheProcessesOfTheirFile) {
    const TemporaryDirectory directory;
    const auto process = [&](const std::string& id, const std::string& words) {
        std::filesystem::create_directories(directory.path() + "/" + id);
        std::ofstream(directory.path() + "/" + id + "/cmdline") << words;
    };
    using namespace std::string_literals;
    process("12", "nbdfuse\0/run/x/disk\0nbd+unix:///?socket=/a\0"s);
    process("13", "nbdfuse\0/run/x/disk2\0nbd+unix:///?socket=/a\0"s);
    process("14", "less\0/run/x/disk\0"s);
    process("15", "");
    process("self", "nbdfuse\0/run/x/disk\0"s);
    EXPECT_EQ(servers_of("/run/x/disk", directory.path()), std::vector<int>{12});
}

TEST(Tools, WhatIsMissingNamesItsPackage) {
    const Status none = find_tool({"everstep-no-such-tool", "some-package"}).status();
    EXPECT_EQ(none.code(), ErrorCode::not_found);
    EXPECT_NE(none.message().find("package some-package"), std::string::npos) << none.message();
    EXPECT_EQ(run_tool({"everstep-no-such-tool", "some-package"}, {}).status().code(),
              ErrorCode::not_found);
}

TEST(Tools, WordsArriveAsTheyAreAndWhatIsSaidComesBack) {
    constexpr Tool kPrintf{"printf", "coreutils"};
    const std::string word = "$HOME `id` \"';*\n";
    const Result<std::string> said = tool_output(kPrintf, {"%s", word});
    ASSERT_TRUE(said.ok()) << said.status().message();
    EXPECT_EQ(*said, word);
    const Result<std::string> long_text = tool_output(kPrintf, {"%0300000d", "7"});
    ASSERT_TRUE(long_text.ok());
    EXPECT_EQ(long_text->size(), 300000U);
    const Status failed = tool_output({"ls", "coreutils"}, {"/no/such/file"}).status();
    EXPECT_EQ(failed.code(), ErrorCode::io);
    EXPECT_TRUE(failed.message().starts_with("ls: ")) << failed.message();
    EXPECT_NE(failed.message().find("/no/such/file"), std::string::npos) << failed.message();
    EXPECT_EQ((ToolEnd{3, " \n", "a\n\n b \n"}.said()), "a b");
    EXPECT_EQ((ToolEnd{3, "", ""}.said()), "exit 3");
}

// A node that makes an export, whose socket is not on this machine, and lists it until it is ended.
struct NodeElsewhere {
    std::string mount;                       // of the export that is there
    std::string socket = "/no/such/x.sock";  // as it stands in the URI
    bool refuses_to_end = false;
    wire::AdminRequest ended;

    Replies answer(const wire::AdminRequest& request) {
        Value told = Value::map();
        told.set("id", "7").set("group", "db").set("mount", mount);
        told.set("uris", Value::map().set("data", "nbd+unix:///?socket=" + socket));
        if (request.verb == "exports")
            return {reply(mount.empty() ? Value::list() : Value::list().push(told))};
        if (request.verb == "export") {
            mount = request.arguments.at("mount");
            return {reply(told.set("mount", mount))};
        }
        if (refuses_to_end) return refusal(ErrorCode::io, "the disk is gone");
        mount.clear();
        ended = request;
        return {reply(Value::map())};
    }
};

class MountsOf : public testing::Test {
  protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "skipped: only root can mount";
        for (const Tool& tool : {kNbdfuse, kLosetup, kBlkid, kMount, kUmount}) {
            if (!find_tool(tool).ok())
                GTEST_SKIP() << "skipped: " << find_tool(tool).status().message();
        }
        std::filesystem::create_directory(there_);
    }
    World world_;
    const std::string there_ = world_.directory.path() + "/then";
    NodeElsewhere elsewhere_;
    const FakeNode node_{world_.socket(), [this](const wire::AdminRequest& request) {
                             return elsewhere_.answer(request);
                         }};
};

TEST_F(MountsOf, ADiskThatIsOnAnotherMachineHasItsExportEnded) {
    EXPECT_EQ(world_.run({"mount", "db", "step:9", there_, "--on", "beta"}), 1);
    EXPECT_NE(world_.err.find("/no/such/x.sock"), std::string::npos) << world_.err;
    EXPECT_NE(world_.err.find("on the machine of the node"), std::string::npos) << world_.err;
    const auto requests = node_.requests();
    ASSERT_EQ(requests.size(), 3U);
    EXPECT_EQ(requests[1].arguments, (std::map<std::string, std::string>{{"group", "db"},
                                                                         {"point", "step:9"},
                                                                         {"writable", "1"},
                                                                         {"mount", there_},
                                                                         {"on", "beta"}}));
    EXPECT_EQ(elsewhere_.ended.arguments,
              (std::map<std::string, std::string>{
                  {"id", "7"}, {"group", "db"}, {"drop", "1"}, {"on", "beta"}}));
    EXPECT_FALSE(MountPlace::of(there_)->is_there());
}

TEST_F(MountsOf, ASocketThatNobodyServesIsNbdfusesToReport) {
    const std::string path = world_.directory.path() + "/a %b";
    std::ofstream(path).close();
    elsewhere_.socket = world_.directory.path() + "/a%20%25b";
    EXPECT_EQ(world_.run({"mount", "db", "head", there_}), 1);
    EXPECT_NE(world_.err.find("nbdfuse nbd+unix:///?socket=" + elsewhere_.socket),
              std::string::npos)
        << world_.err;
    EXPECT_NE(world_.err.find("it ended: "), std::string::npos) << world_.err;
    EXPECT_EQ(elsewhere_.ended.verb, "unexport");
    EXPECT_FALSE(MountPlace::of(there_)->is_there());
}

TEST_F(MountsOf, WhatCouldNotBeUndoneIsSaidAndEndedLater) {
    elsewhere_.refuses_to_end = true;
    EXPECT_EQ(world_.run({"mount", "db", "head", there_}), 1);
    EXPECT_NE(world_.err.find("x.sock"), std::string::npos) << world_.err;
    EXPECT_NE(world_.err.find("export 7: the disk is gone"), std::string::npos) << world_.err;
    EXPECT_NE(world_.err.find("`everstep umount " + there_ + "`"), std::string::npos) << world_.err;
    EXPECT_EQ(world_.run({"mount", "db", "head", there_}), 1);
    EXPECT_NE(world_.err.find("export 7 is left"), std::string::npos) << world_.err;
    EXPECT_EQ(world_.run({"umount", there_}), 1);
    elsewhere_.refuses_to_end = false;
    EXPECT_EQ(world_.run({"umount", there_, "--keep"}), 0);
    EXPECT_EQ(world_.out, there_ + " is unmounted; export 7 is kept\n");
    EXPECT_EQ(elsewhere_.ended.arguments,
              (std::map<std::string, std::string>{{"id", "7"}, {"group", "db"}, {"keep", "1"}}));
    EXPECT_EQ(world_.run({"umount", there_}), 1);
    EXPECT_NE(world_.err.find("no mount of a step"), std::string::npos) << world_.err;
}

TEST(MountTexts, SayWhatIsWhereAndHowItEnds) {
    Value body = Value::map();
    body.set("directory", "/mnt/then").set("device", "/dev/loop3").set("id", "7");
    body.set("group", "db").set("volume", "data").set("lsn", 99);
    body.set("timeline", "4f2a91c0000000000000000000000000").set("writable", false);
    body.set("filesystem", "xfs").set("seconds", 0.25);
    EXPECT_EQ(mount_text(body),
              "step 99 of timeline 4f2a91c0, volume data, is mounted on /mnt/then, read-only: xfs "
              "on /dev/loop3, export 7, in 0.250 s\n`everstep umount /mnt/then` ends it\n");
    body.set("writable", true);
    EXPECT_NE(mount_text(body).find("writable: xfs"), std::string::npos);
    EXPECT_NE(mount_text(body).find("goes with it, without --keep"), std::string::npos);

    Value gone = Value::map();
    gone.set("directory", "/mnt/then").set("ids", Value::list()).set("kept", false);
    EXPECT_EQ(umount_text(gone), "/mnt/then is unmounted; no export was left of it\n");
    gone.set("ids", Value::list().push("7"));
    EXPECT_EQ(umount_text(gone), "/mnt/then is unmounted; export 7 is ended\n");
    gone.set("kept", true);
    EXPECT_EQ(umount_text(gone), "/mnt/then is unmounted; export 7 is kept\n");
}

}  // namespace
}  // namespace everstep::cli::test
