// Serves memory by NBD until SIGTERM: what real clients are tested against, and what the bare
// server is measured by. nbd_memory_server ADDRESS NAME=BYTES[,ro] ..   prints the URI when it
// serves
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/net/loop.hpp"
#include "daemon/nbd_server.hpp"
#include "tests/daemon_nbd/memory_device.hpp"

namespace everstep::test {
namespace {

int serve(const std::string& address, int count, char** arguments) {
    std::vector<std::unique_ptr<MemoryDevice>> devices;
    std::vector<daemon::NbdExport> exports;
    for (int i = 0; i < count; ++i) {
        const std::string_view argument(arguments[i]);
        const std::size_t equals = argument.find('=');
        if (equals == std::string_view::npos) {
            std::fprintf(stderr, "%s: NAME=BYTES[,ro] wanted\n", arguments[i]);
            return 2;
        }
        const std::uint64_t size = std::strtoull(arguments[i] + equals + 1, nullptr, 10);
        devices.push_back(std::make_unique<MemoryDevice>(size, argument.ends_with(",ro")));
        exports.push_back(
            {std::string(argument.substr(0, equals)), "memory", devices.back().get()});
    }
    net::Loop loop;
    auto server = daemon::NbdServer::make(loop, address, std::move(exports));
    if (!server.ok()) {
        std::fprintf(stderr, "%s\n", server.status().message().c_str());
        return 1;
    }
    const net::Signals signals(loop, [&loop](int) { loop.stop(); });
    std::printf("%s\n", (*server)->uri().c_str());
    std::fflush(stdout);
    loop.run();
    return 0;
}

}  // namespace
}  // namespace everstep::test

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: nbd_memory_server ADDRESS NAME=BYTES[,ro] ..\n");
        return 2;
    }
    return everstep::test::serve(argv[1], argc - 2, argv + 2);
}
