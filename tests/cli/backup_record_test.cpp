// The record beside a backup, the choice of a base by it, and the file while it is made.
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "cli/backup_base.hpp"
#include "cli/backup_file.hpp"
#include "cli/block_copy.hpp"
#include "fake_node.hpp"

namespace everstep::cli::test {
namespace {

constexpr const char* kTimeline = "4f2a91c0000000000000000000000001";

Point point(std::uint64_t lsn, const char* timeline = kTimeline) {
    Point out;
    EXPECT_TRUE(Uuid::parse(timeline, out.timeline));
    out.lsn = Lsn(lsn);
    return out;
}

BackupRecord record(std::uint64_t lsn) {
    BackupRecord out;
    out.group = "db";
    out.volume = "data";
    out.size = ByteCount(1 << 20);
    out.point = point(lsn);
    out.time = "2026-11-20T20:45:00.250000Z";
    out.made = "2026-11-21T00:00:00.000000Z";
    return out;
}

BackupRecord incremental(std::uint64_t lsn, std::uint64_t since, const std::string& base) {
    BackupRecord out = record(lsn);
    out.since = point(since);
    out.base = base;
    return out;
}

void put(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
}

std::string content(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void put_backup(const std::string& image, const BackupRecord& about) {
    put(image, "image");
    put(image + ".everstep", backup_record_text(about));
}

void expect_named(const Status& status, ErrorCode code, const std::vector<std::string>& names) {
    EXPECT_EQ(status.code(), code) << status.message();
    for (const std::string& name : names)
        EXPECT_NE(status.message().find(name), std::string::npos)
            << name << ": " << status.message();
}

TEST(BackupRecords, AreReadAsTheyWereWritten) {
    BackupRecord raw = record(7);
    raw.image_format = ImageFormat::raw;
    raw.time.clear();
    for (const BackupRecord& one :
         {record(0), raw, incremental(1ULL << 62, 3, "a \"b\"\n\xc3\xa9.qcow2")}) {
        const auto again = parse_backup_record(backup_record_text(one));
        ASSERT_TRUE(again.ok()) << again.status().message();
        EXPECT_EQ(*again, one);
    }
    EXPECT_EQ(backup_record_text(incremental(9, 7, "full.qcow2")),
              "{\"format\":1,\"group\":\"db\",\"volume\":\"data\",\"size\":1048576,\"timeline\":"
              "\"4f2a91c0000000000000000000000001\",\"lsn\":9,\"time\":"
              "\"2026-11-20T20:45:00.250000Z\",\"made\":\"2026-11-21T00:00:00.000000Z\","
              "\"image_format\":\"qcow2\",\"since\":{\"timeline\":"
              "\"4f2a91c0000000000000000000000001\",\"lsn\":7},\"base\":\"full.qcow2\"}\n");
}

TEST(BackupRecords, ANewerFormatIsSaidToBeOne) {
    const Status newer = parse_backup_record("{\"format\": 2, \"what\": \"ever\"}").status();
    expect_named(newer, ErrorCode::version, {"format 2", "format 1"});
}

TEST(BackupRecords, WhatIsWrongInThemIsNamed) {
    const std::string good = backup_record_text(incremental(9, 7, "full.qcow2"));
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string text = good;
        const std::size_t at = text.find(from);
        EXPECT_NE(at, std::string::npos) << from;
        return text.replace(at, from.size(), to);
    };
    const std::pair<std::string, std::string> rows[] = {
        {"", "no JSON object"},
        {"[1]", "no JSON object"},
        {good.substr(0, good.size() / 2), "no JSON object"},
        {good + good, "no JSON object"},
        {std::string(100000, '['), "65536 bytes"},
        {std::string(60000, '['), "no JSON object"},
        {"{\"format\":" + std::string(50000, '[') + std::string(50000, ']') + "}", "65536"},
        {with("\"format\":1", "\"format\":\"1\""), "\"format\""},
        {with("\"db\"", "17"), "\"group\""},
        {with("\"data\"", "\"\""), "\"volume\""},
        {with("\"data\"", "\"a\\u0000b\""), "\"volume\""},
        {with("1048576", "-1"), "\"size\""},
        {with("1048576", "1000"), "sectors"},
        {with("1048576", "1e9"), "\"size\""},
        {with("1048576", "18446744073709551104"), "too large"},
        {with("\"lsn\":9", "\"lsn\":null"), "\"lsn\""},
        {with("4f2a91c0", "4f2a91cx"), "\"timeline\""},
        {with(kTimeline, std::string(32, '0')), "\"timeline\""},
        {with("\"qcow2\"", "\"vmdk\""), "\"image_format\""},
        {with("\"qcow2\"", "\"raw\""), "no base"},
        {with("\"base\":\"full.qcow2\"", "\"base\":null"), "\"base\""},
        {with("\"since\":{", "\"other\":{"), "without \"since\""},
        {with("\"time\":\"2026", "\"time\":[\"2026") + "]", "no JSON object"},
    };
    for (const auto& [text, names] : rows)
        expect_named(parse_backup_record(text).status(), ErrorCode::corrupt, {names});
}

// Bytes changed, taken out, doubled and cut: each is read to the same record again, or refused.
TEST(BackupRecords, ChangedBytesAreReadOrRefused) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const std::string good = backup_record_text(incremental(9, 7, "full.qcow2"));
    const std::string bytes = "{}[]\":,\\0129-+.eEtfn\xff\xc3\n\0u";
    std::size_t read = 0;
    for (int round = 0; round < 30000; ++round) {
        std::string text = good;
        for (unsigned i = random() % 4 + 1; i > 0 && !text.empty(); --i) {
            const std::size_t at = random() % text.size();
            const unsigned kind = random() % 4;
            if (kind == 0) text[at] = bytes[random() % bytes.size()];
            if (kind == 1) text.erase(at, random() % 9);
            if (kind == 2) text.insert(at, text.substr(random() % text.size(), random() % 40));
            if (kind == 3) text[at] = static_cast<char>(random() % 256);
        }
        const auto one = parse_backup_record(text);
        if (!one.ok()) {
            const bool known = one.status().code() == ErrorCode::corrupt ||
                               one.status().code() == ErrorCode::version;
            ASSERT_TRUE(known) << text;
            continue;
        }
        ++read;
        const auto again = parse_backup_record(backup_record_text(*one));
        ASSERT_TRUE(again.ok()) << text;
        ASSERT_EQ(*again, *one) << text;
    }
    EXPECT_GT(read, 0U);
}

class Bases : public testing::Test {
  protected:
    [[nodiscard]] FoundBackups found() const {
        const auto out = find_backups(directory_.path());
        EXPECT_TRUE(out.ok());
        return out.ok() ? *out : FoundBackups{};
    }
    [[nodiscard]] std::string at(const std::string& name) const {
        return directory_.path() + "/" + name;
    }
    static BaseWanted wanted(std::uint64_t lsn) { return {"db", "data", point(lsn)}; }
    const TemporaryDirectory directory_;
};

TEST_F(Bases, AreTheBackupsOfThatVeryStep) {
    put_backup(at("a.qcow2"), record(7));
    put_backup(at("b.qcow2"), incremental(9, 7, "a.qcow2"));
    BackupRecord other = record(9);
    other.volume = "logs";
    put_backup(at("c.qcow2"), other);
    other = record(9);
    other.point = point(9, "4f2a91c0000000000000000000000002");
    put_backup(at("d.qcow2"), other);
    const auto base = choose_base(found(), wanted(9));
    ASSERT_TRUE(base.ok()) << base.status().message();
    EXPECT_EQ(base->image, at("b.qcow2"));
    EXPECT_EQ(base->base_path(), at("a.qcow2"));
    expect_named(
        choose_base(found(), wanted(8)).status(), ErrorCode::not_found,
        {"step 8 of timeline 4f2a91c0 of db/data", "a.qcow2 holds step 7", "db/logs", "--base"});
}

TEST_F(Bases, SeveralAreNamedAndNoneIsChosen) {
    put_backup(at("a.qcow2"), record(7));
    put_backup(at("b.qcow2"), record(7));
    expect_named(choose_base(found(), wanted(7)).status(), ErrorCode::refused,
                 {"a.qcow2", "b.qcow2", "--base"});
}

TEST_F(Bases, ARecordWithoutItsImageIsNone) {
    put(at("a.qcow2.everstep"), backup_record_text(record(7)));
    expect_named(choose_base(found(), wanted(7)).status(), ErrorCode::refused, {"a.qcow2"});
}

TEST_F(Bases, ALinkIsWhatItLeadsTo) {
    const TemporaryDirectory elsewhere;
    put_backup(at("b.qcow2"), record(7));
    put_backup(elsewhere.path() + "/c.qcow2", record(8));
    for (const char* ending : {"", ".everstep"}) {
        std::filesystem::create_symlink("b.qcow2" + std::string(ending), at("a") + ending);
        std::filesystem::create_symlink(elsewhere.path() + "/c.qcow2" + ending, at("c") + ending);
    }
    ASSERT_EQ(found().good.size(), 2U);
    const auto base = choose_base(found(), wanted(7));
    ASSERT_TRUE(base.ok()) << base.status().message();
    EXPECT_EQ(base->image, at("b.qcow2"));
    EXPECT_EQ(choose_base(found(), wanted(8))->image, real_image(at("c")));
    EXPECT_EQ(real_image(at("a")), at("b.qcow2"));
    EXPECT_EQ(real_image(at("none")), at("none"));
    std::filesystem::remove(at("b.qcow2"));
    EXPECT_EQ(real_image(at("a")), at("a"));
}

TEST_F(Bases, DamagedRecordsAreNamedWhereNoOtherFits) {
    put_backup(at("a.qcow2"), record(7));
    put(at("b.everstep"), "{\"format\":");
    put(at("c.everstep"), "{\"format\":3}");
    std::filesystem::create_directory(at("d.everstep"));
    ASSERT_EQ(::mkfifo(at("e.everstep").c_str(), 0600), 0);
    EXPECT_EQ(found().bad.size(), 4U);
    EXPECT_TRUE(choose_base(found(), wanted(7)).ok());
    expect_named(choose_base(found(), wanted(8)).status(), ErrorCode::not_found,
                 {"b.everstep", "c.everstep: it has format 3", "d.everstep", "e.everstep"});
    expect_named(read_backup(at("b")).status(), ErrorCode::corrupt, {"b.everstep"});
    expect_named(read_backup(at("none")).status(), ErrorCode::not_found, {"none.everstep"});
}

TEST_F(Bases, TheLastIsTheOneThatWasMadeLast) {
    BackupRecord late = record(5);  // of an earlier step
    late.made = "2026-11-22T00:00:00.000000Z";
    put_backup(at("a.qcow2"), late);
    put_backup(at("b.qcow2"), record(9));
    const auto last = last_base(found(), {"db", "data", std::nullopt});
    ASSERT_TRUE(last.ok());
    EXPECT_EQ(last->image, at("a.qcow2"));
    expect_named(last_base(found(), {"db", "logs", std::nullopt}).status(), ErrorCode::not_found,
                 {"db/logs", "b.qcow2"});
}

TEST_F(Bases, AnImageThatOthersLieOverIsNotWrittenOver) {
    put_backup(at("a.qcow2"), record(7));
    put_backup(at("b.qcow2"), incremental(9, 7, "./a.qcow2"));
    expect_named(check_nothing_over(found(), at("a.qcow2")), ErrorCode::refused,
                 {"b.qcow2", "a.qcow2"});
    EXPECT_TRUE(check_nothing_over(found(), at("b.qcow2")).ok());
    EXPECT_TRUE(check_nothing_over(found(), at("new.qcow2")).ok());

    const auto base = read_backup(at("b.qcow2"));
    ASSERT_TRUE(base.ok());
    expect_named(check_not_below(*base, at("b.qcow2")), ErrorCode::refused, {"b.qcow2"});
    expect_named(check_not_below(*base, at("a.qcow2")), ErrorCode::refused, {"a.qcow2"});
    EXPECT_TRUE(check_not_below(*base, at("new.qcow2")).ok());
    put_backup(at("a.qcow2"), incremental(7, 9, "b.qcow2"));  // a ring
    EXPECT_TRUE(check_not_below(*base, at("new.qcow2")).ok());
}

TEST_F(Bases, AnImageThatOthersMayLieOverIsNotWrittenOver) {
    put_backup(at("a.qcow2"), record(7));
    put(at("b.qcow2.everstep"), "{\"format\":2}");  // of a newer program
    expect_named(check_nothing_over(found(), at("a.qcow2")), ErrorCode::refused,
                 {at("b.qcow2.everstep"), "format 2", at("a.qcow2"), "another file"});
    EXPECT_TRUE(check_nothing_over(found(), at("b.qcow2")).ok());
    put(at("b.qcow2"), "image");
    EXPECT_TRUE(check_nothing_over(found(), at("b.qcow2")).ok()) << "its own record";
    EXPECT_TRUE(check_nothing_over(found(), at("new.qcow2")).ok());
}

TEST_F(Bases, FilesOfBackupsAreWholeOrNotThere) {
    const std::string file = at("a.qcow2");
    {
        const auto one = BackupFile::begin(file, false);
        ASSERT_TRUE(one.ok()) << one.status().message();
        EXPECT_EQ(one->part(), file + ".part");
        put(one->part(), "half");
        expect_named(BackupFile::begin(file, true).status(), ErrorCode::busy, {"another backup"});
        EXPECT_FALSE(std::filesystem::exists(file));
    }
    EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));

    put(file + ".part", "of one that was killed");
    put(file + ".everstep.part", std::string(5000, 'x'));
    {
        auto one = BackupFile::begin(file, false);
        ASSERT_TRUE(one.ok()) << one.status().message();
        EXPECT_EQ(content(one->part()), "");
        put(one->part(), "whole");
        ASSERT_TRUE(one->publish(record(7)).ok());
    }
    EXPECT_EQ(content(file), "whole");
    EXPECT_EQ(content(file + ".everstep"), backup_record_text(record(7)));
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_.path()), {}), 2);
    struct stat seen {};
    ASSERT_EQ(::stat(file.c_str(), &seen), 0);
    EXPECT_EQ(seen.st_mode & 0777U, 0600U);

    expect_named(BackupFile::begin(file, false).status(), ErrorCode::refused, {file, "--force"});
    auto over = BackupFile::begin(file, true);
    ASSERT_TRUE(over.ok());
    put(over->part(), "newer");
    ASSERT_TRUE(over->publish(record(8)).ok());
    EXPECT_EQ(content(file), "newer");
    EXPECT_EQ(content(file + ".everstep"), backup_record_text(record(8)));
    expect_named(BackupFile::begin(directory_.path(), true).status(), ErrorCode::refused,
                 {"no plain file"});
    expect_named(BackupFile::begin(at("none/x"), false).status(), ErrorCode::not_found, {"none/x"});
}

TEST_F(Bases, AFileOfSomebodyElseIsNotRemoved) {
    put(at("a.part"), "mine");
    expect_named(BackupFile::begin(at("a"), true).status(), ErrorCode::refused, {at("a.part")});
    EXPECT_EQ(content(at("a.part")), "mine");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_.path()), {}), 1);
}

TEST(Steps, HaveTheNameOfTheTimelineThatWroteThem) {
    const std::string first(32, '1');
    const std::string second(32, '2');
    const std::string third(32, '3');
    Value all = Value::list();
    const auto add = [&](const std::string& id, const Value& parent, const Value& from) {
        Value one = Value::map();
        all.push(one.set("timeline", id).set("parent", parent).set("from", from));
    };
    add(first, Value(), Value());
    add(second, first, 10);
    add(third, second, 20);
    const auto own = [&](std::uint64_t lsn, const std::string& id) {
        return own_name(all, point(lsn, id.c_str()));
    };
    EXPECT_EQ(own(21, third), point(21, third.c_str()));
    EXPECT_EQ(own(20, third), point(20, second.c_str()));
    EXPECT_EQ(own(11, third), point(11, second.c_str()));
    EXPECT_EQ(own(10, third), point(10, first.c_str()));
    EXPECT_EQ(own(0, second), point(0, first.c_str()));
    EXPECT_EQ(own(10, first), point(10, first.c_str()));
    EXPECT_EQ(own(5, kTimeline), point(5));
    EXPECT_EQ(own_name(Value(), point(5)), point(5));
    add(kTimeline, kTimeline, 9);  // a ring
    EXPECT_EQ(own(5, kTimeline), point(5));
}

TEST(Extents, AreWholeBlocksThatDoNotTouch) {
    const auto extent = [](std::uint64_t offset, std::uint64_t length) {
        return DiskExtent{ByteOffset(offset), ByteCount(length)};
    };
    EXPECT_EQ(in_blocks({extent(70, 1), extent(5, 3), extent(10, 10), extent(29, 2), extent(4, 0)},
                        ByteCount(10), ByteCount(76)),
              (std::vector<DiskExtent>{extent(0, 40), extent(70, 6)}));
    EXPECT_EQ(in_blocks({extent(0, 100), extent(20, 5)}, ByteCount(10), ByteCount(100)),
              (std::vector<DiskExtent>{extent(0, 100)}));
    EXPECT_TRUE(in_blocks({}, ByteCount(10), ByteCount(100)).empty());
}

}  // namespace
}  // namespace everstep::cli::test
