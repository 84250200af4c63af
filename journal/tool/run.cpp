#include "journal/tool/run.hpp"

#include "common/base/version.hpp"
#include "journal/tool/check.hpp"
#include "journal/tool/dump.hpp"
#include "journal/tool/extract.hpp"

namespace everstep::journal::tool {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kRefused = 3;

int exit_status(const Status& status) {
    if (status.ok()) return 0;
    if (status.code() == ErrorCode::usage) return kUsage;
    return status.code() == ErrorCode::refused ? kRefused : kFailed;
}

Status run_command(io::FileSystem& files, const Options& options, Surroundings& surroundings) {
    if (options.command == Command::help) {
        surroundings.out << help_text();
        return {};
    }
    if (options.command == Command::version) {
        surroundings.out << "everstep-journal " << version() << '\n';
        return {};
    }
    const auto store = open_dead_store(files, options.directory);
    if (!store.ok()) return store.status();
    switch (options.command) {
        case Command::dump:
            return dump(files, *store, {options.json, options.segment}, surroundings);
        case Command::verify:
            return verify(files, *store, options.json, surroundings);
        case Command::rebuild:
            return rebuild(files, *store, options.json, surroundings);
        case Command::extract:
            return extract(files, *store, options, surroundings);
        case Command::help:
        case Command::version:
            break;
    }
    return {};
}

}  // namespace

int run(io::FileSystem& files, const std::vector<std::string>& words, Surroundings& surroundings) {
    const auto options = parse_options(words);
    Status status = options.status();
    if (status.ok()) status = run_command(files, *options, surroundings);
    surroundings.out.flush();
    if (status.ok() && !surroundings.out)
        status = {ErrorCode::io, "the output could not be written"};
    if (!status.ok())
        surroundings.err << "everstep-journal: " << (options.ok() ? words[0] + ": " : "")
                         << printable(status.message()) << '\n';
    return exit_status(status);
}

}  // namespace everstep::journal::tool
