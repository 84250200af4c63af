#include "checks.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace everstep::standby::testing {

Image read_step(const Standby& standby, Point at) {
    std::vector<ByteCount> sizes;
    for (const VolumeFile& volume : standby.options().volumes) sizes.push_back(volume.size);
    return read_step(standby, sizes, at);
}

Image read_step(const HistorySource& source, std::span<const ByteCount> sizes, Point at) {
    const auto view = source.store().view(at);
    EXPECT_TRUE(view.ok()) << view.status().message();
    if (!view.ok()) return {};
    Image image;
    for (std::size_t v = 0; v < sizes.size(); ++v) {
        std::vector<std::byte>& to = image.emplace_back(sizes[v].value());
        const Status status =
            source.store().read(*view, source.replica(), VolumeIndex(v), ByteOffset(0), to);
        EXPECT_TRUE(status.ok()) << status.message();
        if (!status.ok()) return {};
    }
    return image;
}

Image read_files(const std::vector<VolumeFile>& volumes) {
    Image image;
    for (const VolumeFile& volume : volumes) {
        std::ifstream file(volume.path, std::ios::binary);
        const std::string content((std::istreambuf_iterator<char>(file)),
                                  std::istreambuf_iterator<char>());
        const Bytes bytes = std::as_bytes(std::span(content));
        image.emplace_back(bytes.begin(), bytes.end());
    }
    return image;
}

std::string difference(const Image& found, const Image& wanted) {
    if (found.size() != wanted.size()) return "another number of volumes";
    for (std::size_t v = 0; v < wanted.size(); ++v) {
        if (found[v].size() != wanted[v].size())
            return "volume " + std::to_string(v) + ": another size";
        for (std::size_t i = 0; i < wanted[v].size(); ++i) {
            if (found[v][i] == wanted[v][i]) continue;
            return "volume " + std::to_string(v) + ", sector " + std::to_string(i / kSectorBytes);
        }
    }
    return "";
}

}  // namespace everstep::standby::testing
