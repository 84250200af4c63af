#include "common/base/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace everstep {
namespace {

// Never destroyed: other threads may log while the process ends.
spdlog::logger& logger() {
    static spdlog::logger* const instance = [] {
        auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
        sink->set_formatter(std::make_unique<spdlog::pattern_formatter>(
            "%Y-%m-%dT%H:%M:%S.%fZ %l: %v", spdlog::pattern_time_type::utc));
        auto* made = new spdlog::logger("everstep", std::move(sink));
        made->set_level(spdlog::level::info);
        made->flush_on(spdlog::level::info);
        return made;
    }();
    return *instance;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
    switch (level) {
        case LogLevel::debug:
            return spdlog::level::debug;
        case LogLevel::info:
            return spdlog::level::info;
        case LogLevel::warning:
            return spdlog::level::warn;
        case LogLevel::error:
            return spdlog::level::err;
    }
    return spdlog::level::err;
}

void write(LogLevel level, std::string_view text) {
    // As an argument, never as the format: the text may hold braces.
    logger().log(to_spdlog(level), "{}", text);
}

}  // namespace

void set_log_level(LogLevel level) {
    logger().set_level(to_spdlog(level));
}

bool log_wanted(LogLevel level) {
    return logger().should_log(to_spdlog(level));
}

void log_debug(std::string_view text) {
    write(LogLevel::debug, text);
}
void log_info(std::string_view text) {
    write(LogLevel::info, text);
}
void log_warning(std::string_view text) {
    write(LogLevel::warning, text);
}
void log_error(std::string_view text) {
    write(LogLevel::error, text);
}

}  // namespace everstep
