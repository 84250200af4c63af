// `everstep-journal`: looks into the store of a node that does not run.
#include <unistd.h>

#include <iostream>

#include "journal/tool/run.hpp"

int main(int argc, char** argv) {
    everstep::journal::tool::Surroundings surroundings{
        .out = std::cout,
        .err = std::cerr,
        .err_is_terminal = ::isatty(STDERR_FILENO) == 1,
        .now = [] { return std::chrono::steady_clock::now().time_since_epoch(); },
    };
    return everstep::journal::tool::run(everstep::io::system_files(), {argv + 1, argv + argc},
                                        surroundings);
}
