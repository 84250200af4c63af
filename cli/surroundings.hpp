// What a command sees of the world around it: handed in, so that a test can be that world.
// Thread: the command line has one.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <ostream>
#include <string>

namespace everstep::cli {

struct Surroundings {
    std::ostream& out;
    std::ostream& err;
    bool out_is_terminal = false;
    bool err_is_terminal = false;  // progress is shown only then
    std::function<std::optional<std::string>(const std::string& name)> environment;
    std::string host_name;
    std::function<std::chrono::nanoseconds()> now;  // of a clock that only goes forward
    std::function<bool()>
        next_look;                // --watch: returns when it is time to look again; false ends it
    bool in_is_terminal = false;  // somebody can be asked
    std::function<std::string()> answer{};  // what they say: a line; empty at the end
};

}  // namespace everstep::cli
