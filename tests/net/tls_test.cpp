// Who is let in over TLS, who is not, and what a broken connection looks like.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <sstream>
#include <thread>

#include "common/net/tls_keys.hpp"
#include "tests/net/harness.hpp"

namespace everstep::net {
namespace {

[[nodiscard]] bool has(const Status& status, std::string_view text) {
    return status.message().find(text) != std::string::npos;
}

class TlsTest : public NetTest {
  protected:
    [[nodiscard]] static const Certificates& pki() { return Certificates::get(); }
    void listen_as(const std::string& name = "alpha") {
        listen("127.0.0.1:0", pki().context(name), {"beta", "gamma"});
    }
    // Both sides' answers.
    void attempt(std::shared_ptr<TlsContext> context, const std::string& name = "alpha") {
        connect_to(listener_->address(), std::move(context), name);
        EXPECT_TRUE(until([&] { return connected_ && (refusals_ > 0 || !accepted_.empty()); }));
    }
    [[nodiscard]] std::string port() const {
        return listener_->address().substr(listener_->address().rfind(':') + 1);
    }
    // From 127.0.0.`host`.
    [[nodiscard]] int raw_connection(std::uint32_t host = 1) const {
        const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = ::htonl(0x7f000000U | host);
        EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
        address.sin_port = ::htons(static_cast<std::uint16_t>(std::stoi(port())));
        EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        return fd;
    }
    // `openssl s_client` against our listener, with these arguments.
    void run_s_client(const std::string& arguments) {
        const std::string command = "timeout 20 openssl s_client -connect 127.0.0.1:" + port() +
                                    " " + arguments + " </dev/null >/dev/null 2>&1";
        std::thread client([&] {
            const int status = std::system(command.c_str());
            EXPECT_NE(status, 127) << "openssl is not here";
        });
        EXPECT_TRUE(until([&] { return refusals_ > 0 || !accepted_.empty(); }));
        client.join();
    }
    // The listener still takes a good peer.
    void still_serves() {
        client_.reset();
        accepted_.clear();
        connect_to(listener_->address(), pki().context("beta"));
        ASSERT_TRUE(until([&] { return connected_ && !accepted_.empty(); }));
        ASSERT_OK(connect_status_);
    }
};

TEST_F(TlsTest, TheRightPeersMeet) {
    listen_as();
    attempt(pki().context("beta"));
    ASSERT_OK(connect_status_);
    EXPECT_EQ(refusals_, 0);
    EXPECT_EQ(accepted_.at(0)->peer_name(), "beta");
}

TEST_F(TlsTest, AServerOfAnotherCaIsRefused) {
    listen_as();
    attempt(pki().context("beta", "foreign"));
    EXPECT_EQ(connect_status_.code(), ErrorCode::refused);
    EXPECT_TRUE(has(connect_status_, "unknown CA")) << connect_status_.message();
    EXPECT_TRUE(has(connect_status_, listener_->address())) << connect_status_.message();
    EXPECT_TRUE(has(refused_, "of a CA that it does not know")) << refused_.message();
    EXPECT_TRUE(has(refused_, refused_address_)) << refused_.message();
    still_serves();
}

TEST_F(TlsTest, AClientOfAnotherCaIsRefusedAndToldSo) {
    listen_as();
    attempt(pki().foreign_certificate());
    EXPECT_EQ(refused_.code(), ErrorCode::refused);
    EXPECT_TRUE(has(refused_, "unknown CA (")) << refused_.message();
    EXPECT_EQ(connect_status_.code(), ErrorCode::refused);
    EXPECT_TRUE(has(connect_status_, "of a CA that it does not know")) << connect_status_.message();
    EXPECT_TRUE(accepted_.empty());
    still_serves();
}

TEST_F(TlsTest, AServerOfAnotherNameIsRefused) {
    listen_as();
    attempt(pki().context("beta"), "gamma");
    EXPECT_EQ(connect_status_.code(), ErrorCode::refused);
    EXPECT_TRUE(has(connect_status_, "is for 'alpha'")) << connect_status_.message();
    EXPECT_TRUE(has(connect_status_, "wanted one of 'gamma'")) << connect_status_.message();
    EXPECT_EQ(refusals_, 1);
    still_serves();
}

TEST_F(TlsTest, AClientOfAnotherNameIsRefusedAndToldSo) {
    listen_as();
    attempt(pki().context("alpha"));
    EXPECT_TRUE(has(refused_, "is for 'alpha'")) << refused_.message();
    EXPECT_TRUE(has(refused_, "wanted one of 'beta', 'gamma'")) << refused_.message();
    EXPECT_EQ(connect_status_.code(), ErrorCode::refused);
    EXPECT_TRUE(has(connect_status_, "bears a name")) << connect_status_.message();
    still_serves();
}

TEST_F(TlsTest, ARefusalNamesTheAddressAsItWasConfigured) {
    listen_as();
    connect_to("localhost:" + port(), pki().context("beta"), "gamma");
    EXPECT_TRUE(until([&] { return connected_; }));
    EXPECT_EQ(connect_status_.code(), ErrorCode::refused);
    EXPECT_TRUE(has(connect_status_, "localhost:" + port())) << connect_status_.message();
    EXPECT_TRUE(has(connect_status_, "127.0.0.1:" + port())) << connect_status_.message();
}

TEST_F(TlsTest, AnExpiredClientIsRefusedAndToldSo) {
    listen("127.0.0.1:0", pki().context("alpha"), {"beta", "expired"});
    attempt(pki().context("expired"));
    EXPECT_TRUE(has(refused_, "'expired' has expired (")) << refused_.message();
    EXPECT_EQ(connect_status_.code(), ErrorCode::refused);
    EXPECT_TRUE(has(connect_status_, "our certificate has expired")) << connect_status_.message();
    still_serves();
}

TEST_F(TlsTest, AnExpiredServerIsRefused) {
    listen_as("expired");
    attempt(pki().context("beta"), "expired");
    EXPECT_EQ(connect_status_.code(), ErrorCode::refused);
    EXPECT_TRUE(has(connect_status_, "has expired (")) << connect_status_.message();
}

TEST_F(TlsTest, AClientWithoutACertificateIsRefused) {
    listen_as();
    run_s_client("-tls1_3");
    EXPECT_EQ(refused_.code(), ErrorCode::refused);
    EXPECT_TRUE(has(refused_, "no certificate")) << refused_.message();
    still_serves();
}

TEST_F(TlsTest, OlderVersionsAreRefused) {
    listen_as();
    run_s_client("-tls1_2 -cert " + pki().path("pki/beta.crt") + " -key " +
                 pki().path("pki/beta.key"));
    EXPECT_EQ(refused_.code(), ErrorCode::refused);
    EXPECT_TRUE(has(refused_, "TLS 1.3")) << refused_.message();
    EXPECT_TRUE(accepted_.empty());
    still_serves();
}

TEST_F(TlsTest, AForeignProgramWithAGoodCertificateIsAccepted) {
    listen_as();
    run_s_client("-tls1_3 -cert " + pki().path("pki/beta.crt") + " -key " +
                 pki().path("pki/beta.key"));
    EXPECT_EQ(accepted_.size(), 1U);
}

// openssl writes what it was sent and each message of TLS itself.
TEST_F(TlsTest, KeysAreChangedInTheMiddleAndNothingIsLost) {
    constexpr std::size_t kUnderOneKey = 256U << 10;
    constexpr std::size_t kSent = 16 * kUnderOneKey;
    const auto context = pki().context("alpha");
    change_keys_after(*context, kUnderOneKey);
    listen("127.0.0.1:0", context, {"beta"});
    const std::string file = pki().path("said");
    const std::string command = "timeout 60 openssl s_client -connect 127.0.0.1:" + port() +
                                " -tls1_3 -msg -ign_eof -cert " + pki().path("pki/beta.crt") +
                                " -key " + pki().path("pki/beta.key") + " </dev/null >" + file +
                                " 2>&1";
    std::thread client([&] { EXPECT_NE(std::system(command.c_str()), 127); });
    EXPECT_TRUE(until([&] { return !accepted_.empty(); }));
    const std::string content(kSent, 'x');
    if (!accepted_.empty()) {
        accepted_[0]->start({});
        accepted_[0]->write_copy(bytes_of(content));
        accepted_[0]->finish();
        EXPECT_TRUE(until([&] { return accepted_[0]->queued_bytes() == 0; }));
        settle();
    }
    client.join();
    std::stringstream said;
    said << std::ifstream(file).rdbuf();
    const std::string text = said.str();
    EXPECT_GE(static_cast<std::size_t>(std::count(text.begin(), text.end(), 'x')), kSent);
    int updates = 0;
    for (std::size_t at = text.find("KeyUpdate"); at != text.npos;
         at = text.find("KeyUpdate", at + 1))
        ++updates;
    EXPECT_GE(updates, 15) << "one confirms the handshake, one each for what a key may encrypt";
}

TEST_F(TlsTest, GarbageEndsOnlyItsOwnConnection) {
    listen_as();
    attempt(pki().context("beta"));
    ASSERT_EQ(accepted_.size(), 1U);
    std::mt19937_64 random(test_seed());
    std::vector<std::string> garbage{
        "GET / HTTP/1.1\r\n\r\n", "NBDMAGIC", std::string(100000, '\0'),
        std::string("\x16\x03\x01\xff\xff", 5) + std::string(70000, 'x')};
    for (int i = 0; i < 50; ++i) {
        std::string noise(1 + random() % 3000, '\0');
        for (char& c : noise) c = static_cast<char>(random());
        // Half of them begin as a handshake does.
        if (i % 2 == 0)
            noise.insert(0, std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11));
        garbage.push_back(noise);
    }
    for (const std::string& bytes : garbage) {
        refusals_ = 0;
        const int fd = raw_connection();
        EXPECT_GT(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), 0);
        ::shutdown(fd, SHUT_WR);
        ASSERT_TRUE(until([&] { return refusals_ == 1; }));
        EXPECT_TRUE(refused_.code() == ErrorCode::refused || refused_.code() == ErrorCode::closed);
        ::close(fd);
    }
    std::string got;
    accepted_[0]->start({.on_bytes = [&](Bytes bytes) { got += text_of(bytes); },
                         .on_drained = {},
                         .on_closed = {}});
    client_->write_copy(bytes_of("still here"));
    EXPECT_TRUE(until([&] { return got == "still here"; }));
    still_serves();
}

TEST_F(TlsTest, TooManyHandshakesAndSilentOnesAreDropped) {
    listen_as();
    std::vector<int> silent;
    for (int i = 0; i < 70; ++i) silent.push_back(raw_connection());
    ASSERT_TRUE(until([&] { return refusals_ == 54; })) << "one address has 16";
    EXPECT_EQ(refused_.code(), ErrorCode::busy);
    ASSERT_TRUE(until([&] { return refusals_ == 70; })) << "the others after 5 s";
    EXPECT_EQ(refused_.code(), ErrorCode::timeout);
    for (const int fd : silent) ::close(fd);
    still_serves();
}

TEST_F(TlsTest, ConnectionsThatSayNothingLockNobodyOut) {
    listen_as();
    std::vector<int> silent;
    for (std::uint32_t host = 1; host <= 6; ++host)  // the peer's own address among them
        for (int i = 0; i < 16; ++i) silent.push_back(raw_connection(host));
    ASSERT_TRUE(until([&] { return refusals_ == 6 * 16 - 64; })) << "64 at once";
    EXPECT_EQ(refused_.code(), ErrorCode::busy);
    still_serves();
    EXPECT_EQ(refusals_, 6 * 16 - 64 + 1) << "the oldest made room";
    for (const int fd : silent) ::close(fd);
}

TEST_F(TlsTest, AHandshakeThatHasBegunOutlivesSilentOnes) {
    listen_as();
    const int begun = raw_connection();
    const std::string record("\x16\x03\x01\x02\x00", 5);  // the head of a ClientHello
    EXPECT_EQ(::send(begun, record.data(), record.size(), MSG_NOSIGNAL), 5);
    std::vector<int> silent;
    for (int i = 0; i < 40; ++i) silent.push_back(raw_connection());
    ASSERT_TRUE(until([&] { return refusals_ == 41 - 16; }));
    char byte = 0;
    EXPECT_LT(::recv(begun, &byte, 1, MSG_DONTWAIT), 0);
    EXPECT_EQ(errno, EAGAIN) << "it still stands";
    EXPECT_EQ(::recv(silent[0], &byte, 1, MSG_DONTWAIT), 0) << "the oldest silent one went";
    for (const int fd : silent) ::close(fd);
    ::close(begun);
}

TEST_F(TlsTest, AServerThatNeverAnswersIsATimeout) {
    listen("127.0.0.1:0");
    connect_to(listener_->address(), pki().context("beta"), "alpha",
               std::chrono::milliseconds(200));
    ASSERT_TRUE(until([&] { return connected_; }));
    EXPECT_EQ(connect_status_.code(), ErrorCode::timeout);
    EXPECT_TRUE(has(connect_status_, listener_->address())) << connect_status_.message();
}

TEST_F(TlsTest, APlainServerIsRefused) {
    listen("127.0.0.1:0");
    connect_to(listener_->address(), pki().context("beta"));
    ASSERT_TRUE(until([&] { return !accepted_.empty(); }));
    accepted_[0]->write_copy(bytes_of("NBDMAGICIHAVEOPT and more than five bytes"));
    ASSERT_TRUE(until([&] { return connected_; }));
    EXPECT_EQ(connect_status_.code(), ErrorCode::refused);
    EXPECT_TRUE(has(connect_status_, "not TLS")) << connect_status_.message();
}

TEST_F(TlsTest, AContextNamesTheBadFile) {
    const std::string ca = pki().path("pki/ca.crt");
    const std::string certificate = pki().path("pki/alpha.crt");
    const std::string key = pki().path("pki/alpha.key");
    const auto fails_with = [](const TlsOptions& options, const std::string& file) {
        const auto made = TlsContext::make(options);
        return !made.ok() && has(made.status(), file);
    };
    EXPECT_TRUE(fails_with({"/none/ca", certificate, key}, "/none/ca"));
    EXPECT_TRUE(fails_with({key, certificate, key}, key));
    EXPECT_TRUE(fails_with({ca, "/none/crt", key}, "/none/crt"));
    EXPECT_TRUE(fails_with({ca, certificate, "/none/key"}, "/none/key"));
    const std::string other = pki().path("pki/beta.key");
    EXPECT_TRUE(fails_with({ca, certificate, other}, other));
}

// A relay between two TLS peers that can cut the wire or change a byte on it.
class CutTest : public TlsTest {
  protected:
    void SetUp() override {
        listen_as();
        auto made = Listener::make(
            loop_, "127.0.0.1:0", nullptr, {},
            [this](StreamPtr stream) {
                near_ = std::move(stream);
                dialing_ = connect(loop_, listener_->address(), nullptr, "",
                                   std::chrono::seconds(20), [this](Result<StreamPtr> far) {
                                       ASSERT_TRUE(far.ok());
                                       far_ = std::move(*far);
                                       forward();
                                   });
            },
            nullptr);
        ASSERT_TRUE(made.ok());
        relay_ = std::move(*made);
        connect_to(relay_->address(), pki().context("beta"));
        ASSERT_TRUE(until([&] { return connected_ && !accepted_.empty(); }));
        ASSERT_OK(connect_status_);
        accepted_[0]->start({.on_bytes = [this](Bytes bytes) { got_ += bytes.size(); },
                             .on_drained = {},
                             .on_closed = [this](const Status& status) { end_ = status; }});
    }
    void forward() {
        near_->start({.on_bytes =
                          [this](Bytes bytes) {
                              std::vector<std::byte> copy(bytes.begin(), bytes.end());
                              if (flip_) copy[copy.size() / 2] ^= std::byte{4};
                              far_->write_copy(copy);
                          },
                      .on_drained = {},
                      .on_closed = {}});
        far_->start({.on_bytes = [this](Bytes bytes) { near_->write_copy(bytes); },
                     .on_drained = {},
                     .on_closed = {}});
    }

    std::unique_ptr<Listener> relay_;
    std::unique_ptr<Connecting> dialing_;
    StreamPtr near_;
    StreamPtr far_;
    bool flip_ = false;
    std::size_t got_ = 0;
    std::optional<Status> end_;
};

TEST_F(CutTest, ACutIsAnError) {
    client_->write_copy(bytes_of("hello"));
    ASSERT_TRUE(until([&] { return got_ == 5; }));
    far_->finish();
    ASSERT_TRUE(until([&] { return end_.has_value(); }));
    EXPECT_EQ(end_->code(), ErrorCode::closed);
    EXPECT_TRUE(has(*end_, "connection cut")) << end_->message();
}

TEST_F(CutTest, AFlippedByteIsNeverGivenOut) {
    flip_ = true;
    client_->write_copy(bytes_of("hello"));
    ASSERT_TRUE(until([&] { return end_.has_value(); }));
    EXPECT_EQ(got_, 0U);
    EXPECT_EQ(end_->code(), ErrorCode::corrupt);
    EXPECT_TRUE(has(*end_, "damaged")) << end_->message();
}

}  // namespace
}  // namespace everstep::net
