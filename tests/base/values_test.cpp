// Ids, statuses, buffers, checksums, values, clocks.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "common/base/buffer.hpp"
#include "common/base/checksum.hpp"
#include "common/base/clock.hpp"
#include "common/base/log.hpp"
#include "common/base/status.hpp"
#include "common/base/value.hpp"
#include "tests/base/random_frame.hpp"

namespace everstep {
namespace {

Bytes bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

TEST(Uuid, TextRoundTripsAndRandomOnesDiffer) {
    std::set<Uuid> seen;
    for (int i = 0; i < 100; ++i) {
        const Uuid id = Uuid::random();
        EXPECT_FALSE(id.nil());
        EXPECT_TRUE(seen.insert(id).second);
        Uuid parsed;
        ASSERT_TRUE(Uuid::parse(id.hex(), parsed));
        EXPECT_EQ(parsed, id);
    }
    Uuid upper;
    ASSERT_TRUE(Uuid::parse("00112233445566778899AABBCCDDEEFF", upper));
    EXPECT_EQ(upper.hex(), "00112233445566778899aabbccddeeff");
}

TEST(Uuid, BadTextIsRefusedAndLeavesTheValue) {
    const Uuid before = Uuid::random();
    for (const std::string& bad :
         {std::string(), std::string(31, 'a'), std::string(33, 'a'), std::string(31, 'a') + "g",
          std::string("00112233-4455-6677-8899-aabbccddeeff")}) {
        Uuid id = before;
        EXPECT_FALSE(Uuid::parse(bad, id)) << bad;
        EXPECT_EQ(id, before);
    }
}

TEST(Checksum, Crc32cHasThePublishedValues) {
    EXPECT_EQ(crc32c({}), 0U);
    EXPECT_EQ(crc32c(bytes_of("123456789")), 0xE3069283U);
    // RFC 3720 B.4
    EXPECT_EQ(crc32c(std::vector<std::byte>(32)), 0x8A9136AAU);
    EXPECT_EQ(crc32c(std::vector<std::byte>(32, std::byte{0xff})), 0x62A8AB43U);
    std::vector<std::byte> counting(32);
    for (std::size_t i = 0; i < counting.size(); ++i) counting[i] = static_cast<std::byte>(i);
    EXPECT_EQ(crc32c(counting), 0x46DD794EU);
    std::ranges::reverse(counting);
    EXPECT_EQ(crc32c(counting), 0x113FDB5CU);
}

// Of every length's bits, and of two runs of which one or both are empty.
TEST(Checksum, Crc32cOfJoinedRunsIsThatOfTheWhole) {
    std::mt19937_64 random(test::test_seed());
    std::vector<std::byte> data(5U << 20);
    for (std::byte& byte : data) byte = static_cast<std::byte>(random());
    for (int round = 0; round < 400; ++round) {
        const std::size_t size = round == 0 ? 0 : random() % (data.size() >> random() % 23);
        const Bytes all = Bytes(data).subspan(random() % (data.size() - size + 1), size);
        const std::size_t cut = random() % (size + 1);
        EXPECT_EQ(crc32c_joined(crc32c(all.first(cut)), crc32c(all.subspan(cut)), size - cut),
                  crc32c(all))
            << size << " cut at " << cut;
    }
}

TEST(Checksum, Crc32cChainsAtEveryCut) {
    std::mt19937_64 random(test::test_seed());
    std::vector<std::byte> data(3000);
    for (std::byte& byte : data) byte = static_cast<std::byte>(random());
    const std::uint32_t whole = crc32c(data);
    for (std::size_t cut = 0; cut <= data.size(); ++cut) {
        EXPECT_EQ(crc32c(Bytes(data).subspan(cut), crc32c(Bytes(data).first(cut))), whole);
    }
}

TEST(Checksum, Xxh3HasThePublishedValues) {
    EXPECT_EQ(hex(xxh3_128({})), "99aa06d3014798d86001c324468d497f");
    EXPECT_EQ(hex(xxh3_128(bytes_of("abc"))), "06b05ab6733a618578af5f94892f3950");
}

TEST(Checksum, OnlyZeroesAreZero) {
    EXPECT_TRUE(is_zero({}));
    for (std::size_t size = 1; size < 200; ++size) {
        std::vector<std::byte> data(size);
        EXPECT_TRUE(is_zero(data));
        for (const std::size_t at : {std::size_t{0}, size / 2, size - 1}) {
            data[at] = std::byte{1};
            EXPECT_FALSE(is_zero(data));
            data[at] = std::byte{0};
        }
        EXPECT_FALSE(is_zero(std::vector<std::byte>(size, std::byte{7})));
    }
}

TEST(Buffer, GrowsWithItsContentAndStaysAligned) {
    std::mt19937_64 random(test::test_seed());
    Buffer buffer;
    std::vector<std::byte> model;
    while (model.size() < (1U << 20)) {
        std::vector<std::byte> more(random() % 5000);
        for (std::byte& byte : more) byte = static_cast<std::byte>(random());
        buffer.append(more);
        model.insert(model.end(), more.begin(), more.end());
        ASSERT_EQ(buffer.size(), model.size());
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 4096, 0U);
    }
    EXPECT_TRUE(std::ranges::equal(buffer.bytes(), model));
    const std::size_t capacity = buffer.capacity();
    buffer.clear();
    EXPECT_EQ(buffer.size(), 0U);
    EXPECT_EQ(buffer.capacity(), capacity);
}

TEST(Status, ErrorsNameTheirObjectAndClass) {
    const Status space = status_from_errno(ENOSPC, "write", "/x/y");
    EXPECT_EQ(space.code(), ErrorCode::no_space);
    EXPECT_EQ(space.message(), "/x/y: write: No space left on device");
    EXPECT_EQ(status_from_errno(EDQUOT, "write", "f").code(), ErrorCode::no_space);
    EXPECT_EQ(status_from_errno(ENOENT, "open", "f").code(), ErrorCode::not_found);
    EXPECT_EQ(status_from_errno(EIO, "read", "f").code(), ErrorCode::io);
    EXPECT_EQ(status_from_errno(99999, "read", "f").message(), "f: read: error 99999");
    EXPECT_EQ(space.with_context("group db").message(),
              "group db: /x/y: write: No space left on device");
    EXPECT_TRUE(Status().with_context("x").ok());
    EXPECT_EQ(error_class(ErrorCode::corrupt), ErrorClass::corrupt);
    EXPECT_EQ(error_class(ErrorCode::ok), ErrorClass::none);
    EXPECT_EQ(error_class(ErrorCode::refused), ErrorClass::misuse);
}

TEST(Status, EveryCodeHasAName) {
    std::set<std::string_view> names;
    for (unsigned code = 0; code <= static_cast<unsigned>(ErrorCode::internal); ++code) {
        EXPECT_TRUE(names.insert(error_name(static_cast<ErrorCode>(code))).second);
    }
    EXPECT_FALSE(names.contains("unknown"));
}

TEST(Value, KeepsOrderAndExactIntegers) {
    Value value = Value::map();
    value.set("b", std::uint64_t{18446744073709551615ULL}).set("a", std::int64_t{-5}).set("c", "x");
    value.set("b", std::uint64_t{18446744073709551614ULL});
    ASSERT_NE(value.as_map(), nullptr);
    EXPECT_EQ(value.as_map()->front().first, "b");
    EXPECT_EQ(value.as_map()->size(), 3U);
    EXPECT_EQ(value.at("b").number(), 18446744073709551614ULL);
    EXPECT_EQ(value.at("b").text(), "18446744073709551614");
    EXPECT_EQ(value.at("a").text(), "-5");
    EXPECT_TRUE(value.at("missing").is_null());
    EXPECT_TRUE(value.at("c").at("deeper").is_null());
    Value list = Value::list();
    list.push(true).push(value);
    ASSERT_EQ(list.as_list()->size(), 2U);
    EXPECT_EQ(list.as_list()->front().text(), "true");
    EXPECT_EQ(Value().text(), "");
}

TEST(Clock, BootTimeNeverGoesBack) {
    const Clock& clock = system_clock();
    auto before = clock.boot();
    for (int i = 0; i < 1000; ++i) {
        const auto now = clock.boot();
        EXPECT_GE(now, before);
        before = now;
    }
    EXPECT_GT(clock.wall().time_since_epoch(), std::chrono::years(50));
}

TEST(Log, LevelsBelowTheSetOneAreDroppedAndBracesAreText) {
    testing::internal::CaptureStderr();
    set_log_level(LogLevel::warning);
    EXPECT_FALSE(log_wanted(LogLevel::info));
    log_info("not shown");
    log_warning("shown {} {1}");
    set_log_level(LogLevel::info);
    log_error("too");
    const std::string text = testing::internal::GetCapturedStderr();
    EXPECT_EQ(text.find("not shown"), std::string::npos);
    EXPECT_NE(text.find("Z warning: shown {} {1}\n"), std::string::npos) << text;
    EXPECT_NE(text.find("Z error: too\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace everstep
