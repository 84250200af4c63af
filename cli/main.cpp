// `everstep`: the command line.
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "cli/run.hpp"

namespace {

std::optional<std::string> environment(const std::string& name) {
    const char* const value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
}

std::string host_name() {
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0) return {};
    return name.data();
}

}  // namespace

int main(int argc, char** argv) {
    everstep::cli::Surroundings surroundings{
        .out = std::cout,
        .err = std::cerr,
        .out_is_terminal = ::isatty(STDOUT_FILENO) == 1,
        .err_is_terminal = ::isatty(STDERR_FILENO) == 1,
        .environment = environment,
        .host_name = host_name(),
        .now = [] { return std::chrono::steady_clock::now().time_since_epoch(); },
        .next_look =
            [] {
                std::this_thread::sleep_for(std::chrono::seconds(1));
                return true;
            },
        .in_is_terminal = ::isatty(STDIN_FILENO) == 1,
        .answer =
            [] {
                std::string line;
                std::getline(std::cin, line);
                return line;
            },
    };
    return everstep::cli::run({argv + 1, argv + argc}, surroundings);
}
