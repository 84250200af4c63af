#include "cli/node_exports.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>

#include "cli/admin_client.hpp"
#include "cli/block_copy.hpp"

namespace everstep::cli {
namespace {

// Of a URI: %XX is a byte.
std::string percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        unsigned byte = 0;
        const char* const digits = text.data() + at + 1;
        if (text[at] == '%' && at + 2 < text.size() &&
            std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
            out += static_cast<char>(byte);
            at += 2;
        } else {
            out += text[at];
        }
    }
    return out;
}

}  // namespace

Result<Value> HistoryNode::ask(const std::string& verb, Arguments arguments) const {
    Value answer;
    const Status asked = ask_each(verb, std::move(arguments), [&](const Value& body) {
        answer = body;
        return Status();
    });
    if (!asked.ok()) return asked;
    return answer;
}

Status HistoryNode::ask_each(const std::string& verb, Arguments arguments,
                             const std::function<Status(const Value& body)>& on_body) const {
    wire::AdminRequest request{verb, std::move(arguments)};
    if (!on.empty()) request.arguments["on"] = on;
    return ask_node(
        socket, request, [&](const Value& body, bool) { return on_body(body); },
        limits_of(request));
}

Result<HistoryNode> find_history_node(const Invocation& invocation) {
    const Result<NodeSocket> socket = find_socket(invocation);
    if (!socket.ok()) return socket.status();
    const Result<Config> config = load_config(invocation.config);
    if (!config.ok()) return config.status();
    return HistoryNode{
        *socket, {config->groups.begin(), config->groups.end()}, argument(invocation, "on")};
}

std::string argument(const Invocation& invocation, const std::string& key) {
    const auto found = invocation.request.arguments.find(key);
    return found == invocation.request.arguments.end() ? std::string() : found->second;
}

Status check_volume(const HistoryNode& node, const Invocation& invocation) {
    const std::string group = argument(invocation, "group");
    if (!argument(invocation, "volume").empty()) return {};
    std::string names;
    std::size_t count = 0;
    for (const GroupConfig& one : node.groups) {
        for (const VolumeConfig& volume : one.volumes) {
            if (one.name != group) continue;
            names += (names.empty() ? "" : ", ") + volume.name;
            ++count;
        }
    }
    if (count < 2) return {};
    return {ErrorCode::usage, fmt::format("group {} has volumes {}; name one of them: {}/VOLUME",
                                          group, names, group)};
}

Result<std::pair<std::string, std::string>> served_volume(const Value& told) {
    const Value::Map* const uris = told.at("uris").as_map();
    if (uris == nullptr || uris->size() != 1)
        return Status(ErrorCode::internal, "the export serves more or less than one volume");
    return std::pair(uris->front().first, uris->front().second.text());
}

// The socket of a node elsewhere is none here.
Status check_socket(const std::string& uri) {
    constexpr std::string_view kSocket = "?socket=";
    const std::size_t at = uri.find(kSocket);
    if (at == std::string::npos) return {};
    const std::string path = percent_decoded(std::string_view(uri).substr(at + kSocket.size()));
    if (::access(path.c_str(), R_OK | W_OK) == 0) return {};
    return {ErrorCode::io, fmt::format("{} cannot be opened here; run this on the machine of the "
                                       "node that has the history (--on chooses it)",
                                       path)};
}

Status check_served(const Value& told, const std::string& uri) {
    EVERSTEP_TRY(check_socket(uri));
    const std::string description = told.at("description").text();
    if (description.empty()) return {};
    Result<NbdDisk> disk = NbdDisk::open(uri, "export " + told.at("id").text(), description);
    if (disk.ok()) disk->close();
    return disk.status();
}

}  // namespace everstep::cli
