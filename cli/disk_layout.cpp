#include "cli/disk_layout.hpp"

#include <algorithm>
#include <charconv>
#include <sstream>

namespace everstep::cli {
namespace {

constexpr std::uint64_t kSectorBytes = 512;  // partx counts in these on every disk
constexpr int kNothingFound = 2;
constexpr int kAmbivalent = 8;

bool number_of(std::string_view text, std::uint64_t& out) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc() && end == text.data() + text.size();
}

// The value of KEY="VALUE" in a line of pairs; empty: it has none.
std::string_view pair_value(std::string_view line, std::string_view key) {
    const std::string begin = std::string(key) + "=\"";
    std::size_t at = line.find(begin);
    if (at == std::string_view::npos) return {};
    at += begin.size();
    const std::size_t end = line.find('"', at);
    return end == std::string_view::npos ? std::string_view() : line.substr(at, end - at);
}

bool holds_others(std::string_view type) {
    return type == "0x5" || type == "0xf" || type == "0x85";
}

std::vector<Partition> partitions_of(const std::string& file) {
    const Result<ToolEnd> end =
        run_tool(kPartx, {"--pairs", "--output", "NR,START,SECTORS,TYPE", file});
    if (!end.ok() || end->status != 0) return {};  // it fails where there is no table
    return parse_partitions(end->out);
}

std::string numbers_of(const std::vector<Partition>& partitions) {
    std::string out;
    for (const Partition& one : partitions)
        out += (out.empty() ? "" : ", ") + std::to_string(one.number);
    return out;
}

std::string seen_instead(const std::map<std::string, std::string>& probe,
                         const std::string& device) {
    if (const auto type = probe.find("TYPE"); type != probe.end()) return type->second;
    const auto table = probe.find("PTTYPE");
    if (table == probe.end()) return "nothing that it knows";
    const std::string numbers = numbers_of(partitions_of(device));
    if (numbers.empty()) return "an empty partition table (" + table->second + ")";
    return "a partition table (" + table->second + ") with partitions " + numbers +
           "; choose one with --partition";
}

}  // namespace

std::vector<Partition> parse_partitions(std::string_view text) {
    std::vector<Partition> all;
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
        Partition one;
        std::uint64_t start = 0;
        std::uint64_t sectors = 0;
        constexpr std::uint64_t kSectorsMax = ~std::uint64_t{0} / kSectorBytes;
        const bool good = number_of(pair_value(line, "NR"), one.number) &&
                          number_of(pair_value(line, "START"), start) &&
                          number_of(pair_value(line, "SECTORS"), sectors) && sectors > 0 &&
                          start <= kSectorsMax && sectors <= kSectorsMax - start;
        if (!good || holds_others(pair_value(line, "TYPE"))) continue;
        one.offset = ByteOffset(start * kSectorBytes);
        one.bytes = ByteCount(sectors * kSectorBytes);
        all.push_back(one);
    }
    return all;
}

std::map<std::string, std::string> parse_probe(std::string_view text) {
    std::map<std::string, std::string> all;
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
        const std::size_t equals = line.find('=');
        if (equals != std::string::npos) all[line.substr(0, equals)] = line.substr(equals + 1);
    }
    return all;
}

Result<Partition> find_partition(const std::string& file, std::uint64_t number) {
    const std::vector<Partition> all = partitions_of(file);
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const Partition& one) { return one.number == number; });
    if (found != all.end()) return *found;
    if (all.empty())
        return Status(ErrorCode::usage, "it has no partition table with partitions, so none " +
                                            std::to_string(number));
    return Status(ErrorCode::usage, "it has no partition " + std::to_string(number) +
                                        "; there are " + numbers_of(all));
}

Result<std::string> find_file_system(const std::string& device) {
    const Result<ToolEnd> end = run_tool(kBlkid, {"-p", "-o", "export", device});
    if (!end.ok()) return end.status();
    if (end->status != 0 && end->status != kNothingFound && end->status != kAmbivalent)
        return Status(ErrorCode::io, "blkid: " + end->said());
    const auto probe = parse_probe(end->out);
    const auto usage = probe.find("USAGE");
    const auto type = probe.find("TYPE");
    if (end->status == 0 && usage != probe.end() && usage->second == "filesystem" &&
        type != probe.end())
        return type->second;
    const std::string seen = end->status == kAmbivalent ? "signatures of more than one (wipefs "
                                                          "lists them)"
                                                        : seen_instead(probe, device);
    return Status(ErrorCode::not_found, "it holds no file system; blkid sees " + seen);
}

}  // namespace everstep::cli
