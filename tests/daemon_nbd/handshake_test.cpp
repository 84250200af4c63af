#include "daemon/nbd_handshake.hpp"

#include <gtest/gtest.h>

#include "tests/daemon_nbd/client_bytes.hpp"
#include "tests/daemon_nbd/memory_device.hpp"

namespace everstep::test {
namespace {

using State = NbdHandshake::State;

class Handshake : public ::testing::Test {
  protected:
    Handshake() {
        exports_ = {{"data", "the data volume", &data_}, {"old", "step 7 of it", &old_}};
        restart();
    }
    void restart() {
        out_.clear();
        handshake_ = std::make_unique<NbdHandshake>(exports_, out_);
        greeting_ = std::exchange(out_, {});
    }
    // Gives the replies to `bytes`, all of which must be taken.
    std::vector<OptionReply> send(const ByteVector& bytes) {
        out_.clear();
        EXPECT_EQ(handshake_->feed(bytes, out_), bytes.size());
        return option_replies(out_);
    }
    std::vector<OptionReply> option_answer(NbdOption number, const ByteVector& data = {}) {
        return send(option(number, data));
    }
    void expect_single(const std::vector<OptionReply>& replies, NbdOptionReply type) {
        ASSERT_EQ(replies.size(), 1U);
        EXPECT_EQ(replies[0].type, type);
    }

    MemoryDevice data_{1U << 20};
    MemoryDevice old_{2U << 20, true};
    std::vector<NbdExport> exports_;
    ByteVector out_;
    ByteVector greeting_;
    std::unique_ptr<NbdHandshake> handshake_;
};

TEST_F(Handshake, GreetsAsFixedNewstyle) {
    ASSERT_EQ(greeting_.size(), kNbdGreetingBytes);
    EXPECT_EQ(get_be<std::uint64_t>(greeting_, 0), kNbdMagic);
    EXPECT_EQ(get_be<std::uint64_t>(greeting_, 8), kNbdOptionMagic);
    EXPECT_EQ(get_be<std::uint16_t>(greeting_, 16), 3);
}

TEST_F(Handshake, UnknownClientFlagsEndIt) {
    send(client_flags(1U << 5));
    EXPECT_EQ(handshake_->state(), State::closed);
    EXPECT_FALSE(handshake_->why_closed().empty());
}

TEST_F(Handshake, GoTellsSizeFlagsAndBlockSizes) {
    send(client_flags());
    const auto replies =
        option_answer(NbdOption::go, go_data("data", {kNbdInfoName, kNbdInfoDescription, 99}));
    ASSERT_EQ(replies.size(), 5U);
    EXPECT_EQ(get_be<std::uint16_t>(replies[0].data, 0), kNbdInfoExport);
    EXPECT_EQ(get_be<std::uint64_t>(replies[0].data, 2), 1U << 20);
    const auto flags = get_be<std::uint16_t>(replies[0].data, 10);
    EXPECT_EQ(flags, kNbdHasFlags | kNbdSendFlush | kNbdSendFua | kNbdSendTrim |
                         kNbdSendWriteZeroes | kNbdCanMultiConn);
    EXPECT_EQ(get_be<std::uint16_t>(replies[1].data, 0), kNbdInfoName);
    EXPECT_EQ(get_be<std::uint16_t>(replies[2].data, 0), kNbdInfoDescription);
    EXPECT_EQ(replies[2].data.size(), 2 + exports_[0].description.size());
    EXPECT_EQ(get_be<std::uint16_t>(replies[3].data, 0), kNbdInfoBlockSize);
    EXPECT_EQ(get_be<std::uint32_t>(replies[3].data, 2), 512U);
    EXPECT_EQ(get_be<std::uint32_t>(replies[3].data, 6), 4096U);
    EXPECT_EQ(get_be<std::uint32_t>(replies[3].data, 10), 32U << 20);
    EXPECT_EQ(replies[4].type, NbdOptionReply::ack);
    EXPECT_EQ(handshake_->state(), State::transmission);
    EXPECT_EQ(handshake_->negotiated().export_index, 0U);
}

TEST_F(Handshake, ReadOnlyExportOffersNoWrites) {
    send(client_flags());
    option_answer(NbdOption::structured_reply);
    const auto replies = option_answer(NbdOption::info, go_data("old"));
    const auto flags = get_be<std::uint16_t>(replies.at(0).data, 10);
    EXPECT_EQ(flags, kNbdHasFlags | kNbdReadOnly | kNbdSendFlush | kNbdSendFua | kNbdSendDf |
                         kNbdCanMultiConn);
    EXPECT_EQ(handshake_->state(), State::haggling) << "INFO does not enter transmission";
}

TEST_F(Handshake, ExportNameAnswersWithAndWithoutZeroes) {
    for (const bool no_zeroes : {false, true}) {
        restart();
        send(client_flags(no_zeroes ? 3 : 1));
        ByteVector name;
        append(name, "old");
        out_.clear();
        handshake_->feed(option(NbdOption::export_name, name), out_);
        EXPECT_EQ(handshake_->state(), State::transmission);
        EXPECT_EQ(out_.size(), no_zeroes ? 10U : 134U);
        EXPECT_EQ(get_be<std::uint64_t>(out_, 0), 2U << 20);
        EXPECT_EQ(handshake_->negotiated().export_index, 1U);
    }
}

TEST_F(Handshake, UnknownNamesSelectNothing) {
    send(client_flags());
    expect_single(option_answer(NbdOption::go, go_data("dat")), NbdOptionReply::err_unknown);
    expect_single(option_answer(NbdOption::go, go_data("")), NbdOptionReply::err_unknown);
    expect_single(option_answer(NbdOption::info, go_data("data2")), NbdOptionReply::err_unknown);
    EXPECT_EQ(handshake_->state(), State::haggling);
    ByteVector name;
    append(name, "nothing");
    out_.clear();
    handshake_->feed(option(NbdOption::export_name, name), out_);
    EXPECT_TRUE(out_.empty());
    EXPECT_EQ(handshake_->state(), State::closed);
}

TEST_F(Handshake, TheOnlyExportIsTheDefaultOne) {
    exports_.pop_back();
    for (const std::string_view name : {"", "data"}) {
        restart();
        send(client_flags());
        option_answer(NbdOption::go, go_data(name));
        EXPECT_EQ(handshake_->state(), State::transmission);
    }
}

TEST_F(Handshake, ListNamesAllExports) {
    send(client_flags());
    const auto replies = option_answer(NbdOption::list);
    ASSERT_EQ(replies.size(), 3U);
    EXPECT_EQ(get_be<std::uint32_t>(replies[1].data, 0), 3U);
    EXPECT_EQ(replies[1].data.size(), 4U + 3 + exports_[1].description.size());
    EXPECT_EQ(replies[2].type, NbdOptionReply::ack);
    expect_single(option_answer(NbdOption::list, ByteVector(1)), NbdOptionReply::err_invalid);
}

TEST_F(Handshake, MetaContextNeedsStructuredRepliesAndTheSameExport) {
    send(client_flags());
    const auto query = meta_data("data", {"base:allocation", "qemu:dirty-bitmap:b"});
    expect_single(option_answer(NbdOption::set_meta_context, query), NbdOptionReply::err_invalid);
    expect_single(option_answer(NbdOption::structured_reply), NbdOptionReply::ack);
    const auto replies = option_answer(NbdOption::set_meta_context, query);
    ASSERT_EQ(replies.size(), 2U);
    EXPECT_EQ(replies[0].type, NbdOptionReply::meta_context);
    EXPECT_EQ(get_be<std::uint32_t>(replies[0].data, 0), kNbdBaseAllocationId);
    option_answer(NbdOption::go, go_data("old"));
    EXPECT_TRUE(handshake_->negotiated().traits.structured);
    EXPECT_FALSE(handshake_->negotiated().traits.block_status) << "it was set for another export";
}

TEST_F(Handshake, MetaContextQueriesMatchAsTheSpecificationSays) {
    send(client_flags());
    option_answer(NbdOption::structured_reply);
    const auto count = [this](NbdOption number, const std::vector<std::string_view>& queries) {
        return option_answer(number, meta_data("data", queries)).size() - 1;
    };
    EXPECT_EQ(count(NbdOption::list_meta_context, {}), 1U);
    EXPECT_EQ(count(NbdOption::list_meta_context, {"base:"}), 1U);
    EXPECT_EQ(count(NbdOption::list_meta_context, {"x-other:"}), 0U);
    EXPECT_EQ(count(NbdOption::set_meta_context, {"base:"}), 0U);
    EXPECT_EQ(count(NbdOption::set_meta_context, {"base:allocation", "base:allocation"}), 1U);
    EXPECT_EQ(count(NbdOption::set_meta_context, {}), 0U) << "replaces what was set before";
    option_answer(NbdOption::go, go_data("data"));
    EXPECT_FALSE(handshake_->negotiated().traits.block_status);
}

TEST_F(Handshake, UnknownOptionsAreAnsweredAndItGoesOn) {
    send(client_flags());
    expect_single(option_answer(NbdOption::starttls), NbdOptionReply::err_unsup);
    expect_single(send(option(11, {})), NbdOptionReply::err_unsup);
    expect_single(send(option(0xffffffff, ByteVector(500))), NbdOptionReply::err_unsup);
    option_answer(NbdOption::go, go_data("data"));
    EXPECT_EQ(handshake_->state(), State::transmission);
}

TEST_F(Handshake, AbortIsAnsweredAndEndsItQuietly) {
    send(client_flags());
    expect_single(option_answer(NbdOption::abort), NbdOptionReply::ack);
    EXPECT_EQ(handshake_->state(), State::closed);
    EXPECT_TRUE(handshake_->why_closed().empty());
}

TEST_F(Handshake, OversizedOptionIsSkippedAHugeOneEndsIt) {
    send(client_flags());
    expect_single(option_answer(NbdOption::list, ByteVector((64U << 10) + 1)),
                  NbdOptionReply::err_too_big);
    option_answer(NbdOption::info, go_data("data"));
    EXPECT_EQ(handshake_->state(), State::haggling);
    ByteVector head = option(NbdOption::list);
    put_be(MutableBytes(head), 12, 0xffffffffU);
    send(head);
    EXPECT_EQ(handshake_->state(), State::closed);
}

TEST_F(Handshake, TooManyOptionsEndIt) {
    send(client_flags());
    for (std::uint32_t i = 0; i < NbdHandshake::kOptionsMax; ++i) option_answer(NbdOption::list);
    EXPECT_EQ(handshake_->state(), State::haggling);
    out_.clear();
    handshake_->feed(option(NbdOption::list), out_);
    EXPECT_EQ(handshake_->state(), State::closed);
}

TEST_F(Handshake, WrongOptionMagicEndsIt) {
    send(client_flags());
    ByteVector bytes = option(NbdOption::list);
    bytes[3] ^= std::byte{1};
    send(bytes);
    EXPECT_EQ(handshake_->state(), State::closed);
}

TEST_F(Handshake, LengthsThatDoNotFitAreRefused) {
    send(client_flags());
    option_answer(NbdOption::structured_reply);
    const ByteVector go = go_data("data", {kNbdInfoName});
    const ByteVector meta = meta_data("data", {"base:allocation", "base:"});
    for (const auto& [number, data] :
         {std::pair(NbdOption::info, go), std::pair(NbdOption::set_meta_context, meta),
          std::pair(NbdOption::list_meta_context, meta)}) {
        for (std::size_t length = 0; length < data.size(); ++length)
            expect_single(
                option_answer(number, {data.begin(), data.begin() + static_cast<long>(length)}),
                NbdOptionReply::err_invalid);
        ByteVector longer = data;
        longer.push_back(std::byte{0});
        expect_single(option_answer(number, longer), NbdOptionReply::err_invalid);
        ByteVector lying = data;
        put_be(MutableBytes(lying), 0, 0xfffffff0U);
        expect_single(option_answer(number, lying), NbdOptionReply::err_invalid);
        handshake_.reset();
        restart();  // the number of options is limited
        send(client_flags());
        option_answer(NbdOption::structured_reply);
    }
}

TEST_F(Handshake, BytesMayArriveInAnyPieces) {
    ByteVector script = client_flags();
    append(script, option(NbdOption::structured_reply));
    append(script, option(NbdOption::set_meta_context, meta_data("data", {"base:allocation"})));
    append(script, option(NbdOption::list));
    append(script, option(NbdOption::go, go_data("data", {kNbdInfoBlockSize})));
    const std::size_t handshake_bytes = script.size();
    append(script,
           request(NbdCommand::flush, {}));  // sent ahead: belongs to the transmission phase
    ByteVector expected;
    handshake_->feed(script, expected);
    for (std::size_t piece = 1; piece < script.size(); ++piece) {
        restart();
        out_.clear();
        std::size_t at = 0;
        while (at < script.size() && handshake_->state() == State::haggling)
            at += handshake_->feed(Bytes(script).subspan(at, std::min(piece, script.size() - at)),
                                   out_);
        EXPECT_EQ(at, handshake_bytes);
        EXPECT_EQ(out_, expected);
        EXPECT_TRUE(handshake_->negotiated().traits.block_status);
    }
}

TEST_F(Handshake, GarbageNeverEscapesTheLimits) {
    std::mt19937_64 random(test_seed());
    for (int round = 0; round < 3000; ++round) {
        restart();
        out_.clear();
        ByteVector bytes = client_flags(static_cast<std::uint32_t>(random() % 4));
        for (int i = 0; i < 6; ++i) {
            ByteVector data;
            if (random() % 2 == 0) data = go_data("data", {0, 1, 2, 3});
            if (random() % 3 == 0) data = meta_data("old", {"base:", "base:allocation"});
            for (std::size_t flips = random() % 3; flips > 0 && !data.empty(); --flips)
                data[random() % data.size()] = static_cast<std::byte>(random());
            data.resize(random() % (data.size() + 3));
            append(bytes, option(static_cast<std::uint32_t>(random() % 13), data));
        }
        if (random() % 4 == 0) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        std::size_t at = 0;
        while (at < bytes.size() && handshake_->state() == State::haggling) {
            const std::size_t piece = std::min<std::size_t>(1 + random() % 40, bytes.size() - at);
            at += handshake_->feed(Bytes(bytes).subspan(at, piece), out_);
        }
        ASSERT_LT(out_.size(), 4096U);
        if (handshake_->state() == State::transmission) {
            ASSERT_LT(handshake_->negotiated().export_index, exports_.size());
        }
    }
}

}  // namespace
}  // namespace everstep::test
