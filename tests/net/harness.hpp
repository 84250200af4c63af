// What the tests of this folder share: a loop that runs until something is true, a directory with
// certificates, and a pair of connected streams of each kind.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <random>

#include "common/net/pki.hpp"
#include "common/net/stream.hpp"

namespace everstep::net {

#define ASSERT_OK(expression)                            \
    do {                                                 \
        const ::everstep::Status status_ = (expression); \
        ASSERT_TRUE(status_.ok()) << status_.message();  \
    } while (false)

inline std::uint64_t test_seed() {
    const char* given = ::getenv("EVERSTEP_SEED");
    const std::uint64_t seed =
        given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
    std::printf("EVERSTEP_SEED=%llu\n", static_cast<unsigned long long>(seed));
    return seed;
}

inline Bytes bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}
inline std::string text_of(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A PKI that is made once for all tests: nodes alpha and beta, expired, and a foreign CA with its
// own alpha.
class Certificates {
  public:
    static const Certificates& get() {
        static const Certificates made;
        return made;
    }
    [[nodiscard]] std::string path(const std::string& name) const {
        return directory_ + "/" + name;
    }
    [[nodiscard]] std::shared_ptr<TlsContext> context(const std::string& name,
                                                      const std::string& pki = "pki") const {
        const std::string own = path(pki) + "/";
        auto made = TlsContext::make({own + "ca.crt", own + name + ".crt", own + name + ".key"});
        EXPECT_TRUE(made.ok()) << made.status().message();
        return *made;
    }
    // A node that trusts our CA but shows a certificate of the other one.
    [[nodiscard]] std::shared_ptr<TlsContext> foreign_certificate() const {
        const auto made = TlsContext::make(
            {path("pki/ca.crt"), path("foreign/alpha.crt"), path("foreign/alpha.key")});
        EXPECT_TRUE(made.ok()) << made.status().message();
        return *made;
    }

  private:
    Certificates() {
        std::string name = "/tmp/everstep-net-XXXXXX";
        directory_ = ::mkdtemp(name.data());
        for (const char* pki : {"pki", "foreign"}) {
            EXPECT_TRUE(pki_init(path(pki)).ok());
            EXPECT_TRUE(pki_issue(path(pki), "alpha").ok());
            EXPECT_TRUE(pki_issue(path(pki), "beta").ok());
        }
        EXPECT_TRUE(pki_issue(path("pki"), "expired", -2).ok());
    }
    ~Certificates() { std::filesystem::remove_all(directory_); }
    std::string directory_;
};

class NetTest : public ::testing::Test {
  protected:
    // Runs the loop until `condition` holds; false after the deadline.
    template <class Condition>
    [[nodiscard]] bool until(Condition condition,
                             std::chrono::seconds deadline = std::chrono::seconds(60)) {
        const auto end = std::chrono::steady_clock::now() + deadline;
        bool held = false;
        Timer poll(loop_);
        poll.every(std::chrono::milliseconds(1), [&] {
            held = condition();
            if (held || std::chrono::steady_clock::now() > end) loop_.stop();
        });
        loop_.run();
        return held;
    }
    // Everything that is on its way has its turn.
    void settle() {
        int turns = 0;
        EXPECT_TRUE(until([&] { return ++turns == 20; }));
    }

    void listen(const std::string& address, std::shared_ptr<TlsContext> tls = nullptr,
                std::vector<std::string> names = {"beta"}) {
        auto made = Listener::make(
            loop_, address, std::move(tls), std::move(names),
            [this](StreamPtr stream) { accepted_.push_back(std::move(stream)); },
            [this](std::string peer, const Status& why) {
                refused_address_ = std::move(peer);
                refused_ = why;
                ++refusals_;
            });
        ASSERT_TRUE(made.ok()) << made.status().message();
        listener_ = std::move(*made);
    }
    void connect_to(const std::string& address, std::shared_ptr<TlsContext> tls = nullptr,
                    const std::string& name = "alpha",
                    std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
        connected_ = false;
        connecting_ = connect(loop_, address, std::move(tls), name, timeout,
                              [this](Result<StreamPtr> result) {
                                  connected_ = true;
                                  connect_status_ = result.status();
                                  if (result.ok()) client_ = std::move(*result);
                              });
    }

    Loop loop_;
    std::unique_ptr<Listener> listener_;
    std::vector<StreamPtr> accepted_;
    std::unique_ptr<Connecting> connecting_;
    StreamPtr client_;
    Status connect_status_;
    bool connected_ = false;
    std::string refused_address_;
    Status refused_;
    int refusals_ = 0;
};

enum class Kind { unix_socket, tcp, tls };

// A connected pair: client_ and server_.
class PairTest : public NetTest, public ::testing::WithParamInterface<Kind> {
  protected:
    void SetUp() override {
        const bool tls = GetParam() == Kind::tls;
        const std::string path = Certificates::get().path("pair.sock");
        listen(GetParam() == Kind::unix_socket ? "unix:" + path : "tcp:127.0.0.1:0",
               tls ? Certificates::get().context("alpha") : nullptr);
        connect_to(listener_->address(), tls ? Certificates::get().context("beta") : nullptr);
        ASSERT_TRUE(until([this] { return connected_ && !accepted_.empty(); }));
        ASSERT_OK(connect_status_);
        server_ = std::move(accepted_.front());
        accepted_.clear();
    }
    StreamPtr server_;
};

inline std::string kind_name(const ::testing::TestParamInfo<Kind>& kind) {
    switch (kind.param) {
        case Kind::unix_socket:
            return "Unix";
        case Kind::tcp:
            return "Tcp";
        case Kind::tls:
            return "Tls";
    }
    return "";
}
#define EVERSTEP_ALL_KINDS(suite) \
    INSTANTIATE_TEST_SUITE_P(     \
        Kinds, suite, ::testing::Values(Kind::unix_socket, Kind::tcp, Kind::tls), kind_name)

}  // namespace everstep::net
