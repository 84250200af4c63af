// What the tests of this folder share: a directory of their own, data that differs everywhere, a
// seed.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "common/base/buffer.hpp"
#include "common/io/file.hpp"

namespace everstep::io {

#define ASSERT_OK(expression)                            \
    do {                                                 \
        const ::everstep::Status status_ = (expression); \
        ASSERT_TRUE(status_.ok()) << status_.message();  \
    } while (false)

class Scratch : public ::testing::Test {
  protected:
    Scratch() {
        std::string name = "/var/tmp/everstep-io-XXXXXX";  // on a disk, where O_DIRECT works
        directory_ = ::mkdtemp(name.data());
    }
    ~Scratch() override { std::filesystem::remove_all(directory_); }

    [[nodiscard]] std::string path(const std::string& name) const {
        return directory_ + "/" + name;
    }
    [[nodiscard]] static std::unique_ptr<File> open(const std::string& path,
                                                    const OpenOptions& options) {
        auto file = system_files().open(path, options);
        EXPECT_TRUE(file.ok()) << file.status().message();
        return file.ok() ? std::move(*file) : nullptr;
    }
    [[nodiscard]] std::unique_ptr<File> create(const std::string& name, bool direct = false) const {
        return open(path(name), {.mode = OpenMode::create, .direct = direct});
    }

    std::string directory_;
};

inline std::uint64_t test_seed() {
    const char* given = ::getenv("EVERSTEP_SEED");
    const std::uint64_t seed =
        given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
    std::printf("EVERSTEP_SEED=%llu\n", static_cast<unsigned long long>(seed));
    return seed;
}

// Bytes that say where they belong: different for every `tag` and at every place.
inline void fill(MutableBytes bytes, std::uint64_t tag) {
    std::uint64_t state = tag * 0x9E3779B97F4A7C15U + 1;
    for (std::byte& byte : bytes) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        byte = static_cast<std::byte>(state >> 56);
    }
}
inline Buffer filled(std::size_t size, std::uint64_t tag) {
    Buffer buffer(size);
    buffer.resize(size);
    fill(buffer.bytes(), tag);
    return buffer;
}
inline bool same(Bytes a, Bytes b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace everstep::io
