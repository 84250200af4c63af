#include "daemon/export_ids.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "common/io/state_file.hpp"

namespace everstep::daemon {
namespace {
constexpr std::string_view kKey = "last ";
}

Status ExportIds::load() {
    const Result<std::string> text = io::load_state(files_, path_);
    if (text.status().code() == ErrorCode::not_found) return {};
    if (!text.ok()) return text.status();
    std::uint64_t last = 0;
    const char* end = text->data() + text->size();
    const bool keyed = text->starts_with(kKey);
    const auto [rest, error] = std::from_chars(keyed ? text->data() + kKey.size() : end, end, last);
    if (!keyed || error != std::errc() || std::string_view(rest, end) != "\n")
        return {ErrorCode::corrupt,
                fmt::format("{}: found '{}', wanted '{}' and a number", path_, *text, kKey)};
    know(last);
    return {};
}

void ExportIds::know(std::uint64_t id) {
    last_ = std::max(last_, id);
}

Result<std::string> ExportIds::next_lasting() {
    const std::uint64_t id = last_ + 1;
    EVERSTEP_TRY(files_.make_directory(path_.substr(0, path_.rfind('/'))));
    EVERSTEP_TRY(io::save_state(files_, path_, fmt::format("{}{}\n", kKey, id)));
    last_ = id;
    return std::to_string(id);
}

}  // namespace everstep::daemon
