#include "common/net/address.hpp"

#include <gtest/gtest.h>
#include <netinet/tcp.h>

namespace everstep::net {
namespace {

TEST(AddressTest, TheThreeFormsAreRead) {
    EXPECT_EQ(parse_address("unix:/run/x.sock")->path, "/run/x.sock");
    EXPECT_TRUE(parse_address("unix:/run/x.sock")->unix_socket);
    EXPECT_EQ(parse_address("tcp:db.example:7600")->host, "db.example");
    EXPECT_EQ(parse_address("127.0.0.1:65535")->port, "65535");
    EXPECT_EQ(parse_address("[::1]:7600")->host, "::1");
}

TEST(AddressTest, EverythingElseIsRefusedWithItsText) {
    for (const char* text : {"", "host", "host:", "host:x", "host:65536", "host:-1", "host: 1",
                             ":1", "unix:", "::1:7600", "tcp:", "[]:1", "host:1x"}) {
        const auto parsed = parse_address(text);
        ASSERT_FALSE(parsed.ok()) << text;
        EXPECT_EQ(parsed.status().code(), ErrorCode::usage);
        EXPECT_NE(parsed.status().message().find("'" + std::string(text) + "'"), std::string::npos);
    }
}

TEST(AddressTest, AnOverlongUnixPathIsRefused) {
    EXPECT_TRUE(unix_address(std::string(107, 'x')).ok());
    EXPECT_EQ(unix_address(std::string(108, 'x')).status().code(), ErrorCode::usage);
}

TEST(AddressTest, NumbersNeedNoResolver) {
    const auto v6 = numeric_addresses(*parse_address("[::1]:7600"));
    ASSERT_EQ(v6.size(), 1U);
    EXPECT_EQ(to_text(v6[0]), "[::1]:7600");
    EXPECT_EQ(to_text(numeric_addresses(*parse_address("127.0.0.1:80")).at(0)), "127.0.0.1:80");
    EXPECT_TRUE(numeric_addresses(*parse_address("localhost:80")).empty());
}

TEST(AddressTest, TheKernelGivesUpALinkAsWellAndNoClient) {
    const auto link = make_socket(AF_INET);
    const auto client = make_socket(AF_INET);
    ASSERT_TRUE(link.ok() && client.ok());
    tune(link->get(), AF_INET);
    tune_link(link->get());
    tune(client->get(), AF_INET);
    const auto timeout_ms = [](int fd) {
        int value = -1;
        socklen_t size = sizeof value;
        EXPECT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &size), 0);
        return value;
    };
    EXPECT_EQ(timeout_ms(link->get()), 60000);
    EXPECT_EQ(timeout_ms(client->get()), 0);
}

}  // namespace
}  // namespace everstep::net
