// everstepd: the node. `everstepd --config FILE --node NAME [--check]`
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/base/descriptors.hpp"
#include "common/base/heap.hpp"
#include "common/base/log.hpp"
#include "common/base/version.hpp"
#include "daemon/node.hpp"

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitRefused = 3;

struct Options {
    std::string config = "/etc/everstep/everstep.toml";
    std::string node;
    bool check = false;
    bool help = false;
    bool version = false;
};

std::string host_name() {
    std::array<char, 256> name{};
    return gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data())
                                                          : std::string();
}

bool parse(int argc, char** argv, Options& options) {
    if (const char* config = std::getenv("EVERSTEP_CONFIG")) options.config = config;
    if (const char* node = std::getenv("EVERSTEP_NODE")) options.node = node;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (word == "--check") {
            options.check = true;
        } else if (word == "--version") {
            options.version = true;
        } else if (word == "--help" || word == "-h") {
            options.help = true;
        } else if ((word == "--config" || word == "--node") && i + 1 < argc) {
            (word == "--config" ? options.config : options.node) = argv[++i];
        } else {
            std::fprintf(stderr, "everstepd: '%s' is not understood; see everstepd --help\n",
                         word.c_str());
            return false;
        }
    }
    if (options.node.empty()) options.node = host_name();
    return true;
}

void help() {
    std::puts(
        "everstepd --config FILE --node NAME [--check]\n\n"
        "Runs the node NAME of the configuration FILE in the foreground.\n"
        "  --config FILE  default /etc/everstep/everstep.toml, or EVERSTEP_CONFIG\n"
        "  --node NAME    default the host name, or EVERSTEP_NODE\n"
        "  --check        checks the configuration and what the node needs from disk, and exits\n"
        "  --version      says which version this is, and exits\n\n"
        "SIGTERM and SIGINT stop it cleanly, SIGHUP reads the certificates again and\n"
        "takes over what the configuration says of ack, limits and times.");
}

int fail(const everstep::Status& status) {
    std::fprintf(stderr, "everstepd: %s\n", status.message().c_str());
    if (status.code() == everstep::ErrorCode::usage) return kExitUsage;
    return status.code() == everstep::ErrorCode::refused ? kExitRefused : kExitFailed;
}

}  // namespace

int main(int argc, char** argv) {
    everstep::keep_freed_memory();
    everstep::allow_many_files();
    Options options;
    if (!parse(argc, argv, options)) return kExitUsage;
    if (options.version) {
        std::printf("everstepd %s\n", everstep::version());
        return 0;
    }
    if (options.help) {
        help();
        return 0;
    }
    everstep::Result<everstep::Config> config = everstep::load_config(options.config);
    if (!config.ok()) return fail(config.status());
    everstep::Status checked = everstep::check_node(*config, options.node);
    if (checked.ok()) checked = everstep::daemon::check_tls(*config, options.node);
    if (checked.ok() && options.check) checked = everstep::check_volumes(*config, options.node);
    if (!checked.ok()) {
        fail(checked);
        return kExitUsage;
    }
    if (options.check) {
        std::printf("%s: good for node %s\n", options.config.c_str(), options.node.c_str());
        return 0;
    }
    everstep::daemon::Node node(std::move(*config), options.node);
    const everstep::Status started = node.start();
    if (!started.ok()) return fail(started);
    node.run();
    return 0;
}
