#include "common/io/state_file.hpp"

#include <functional>

#include "tests/io/scratch.hpp"

namespace everstep::io {
namespace {

// The machine's files, of which the n-th changing operation fails without being done (`torn`: a
// write half done), and every later one as well: what a process sees that dies there.
class FailingFiles final : public FileSystem {
  public:
    explicit FailingFiles(int operations) : left_(operations) {}
    [[nodiscard]] int left() const { return left_; }

    [[nodiscard]] Result<std::unique_ptr<File>> open(const std::string& path,
                                                     const OpenOptions& options) override {
        if (options.mode == OpenMode::create) EVERSTEP_TRY(spend());
        auto file = system_files().open(path, options);
        if (!file.ok()) return file.status();
        return std::unique_ptr<File>(std::make_unique<FailingFile>(*this, std::move(*file)));
    }
    [[nodiscard]] Status make_directory(const std::string& path) override {
        EVERSTEP_TRY(spend());
        return system_files().make_directory(path);
    }
    [[nodiscard]] Status rename(const std::string& from, const std::string& to) override {
        EVERSTEP_TRY(spend());
        return system_files().rename(from, to);
    }
    [[nodiscard]] Status remove(const std::string& path) override {
        EVERSTEP_TRY(spend());
        return system_files().remove(path);
    }
    [[nodiscard]] Status sync_directory(const std::string& path) override {
        EVERSTEP_TRY(spend());
        return system_files().sync_directory(path);
    }
    [[nodiscard]] Result<std::vector<std::string>> list(const std::string& path) const override {
        return system_files().list(path);
    }
    [[nodiscard]] Result<bool> exists(const std::string& path) const override {
        return system_files().exists(path);
    }

  private:
    class FailingFile final : public File {
      public:
        FailingFile(FailingFiles& files, std::unique_ptr<File> file)
            : files_(files), file_(std::move(file)) {}
        [[nodiscard]] const std::string& path() const override { return file_->path(); }
        [[nodiscard]] Status read(std::span<const ReadOp> ops) const override {
            return file_->read(ops);
        }
        [[nodiscard]] Status write(std::span<const WriteOp> ops) override {
            const Status status = files_.spend();
            if (status.ok()) return file_->write(ops);
            const Bytes half = ops[0].from.first(ops[0].from.size() / 2);
            file_->write_at(ops[0].offset, half).ignore("a torn write");
            return status;
        }
        [[nodiscard]] Status sync() override {
            EVERSTEP_TRY(files_.spend());
            return file_->sync();
        }
        [[nodiscard]] Status allocate(ByteOffset offset, ByteCount count) override {
            return file_->allocate(offset, count);
        }
        [[nodiscard]] Status zero(ByteOffset offset, ByteCount count) override {
            return file_->zero(offset, count);
        }
        [[nodiscard]] Status punch(ByteOffset offset, ByteCount count) override {
            return file_->punch(offset, count);
        }
        [[nodiscard]] Status resize(ByteCount size) override { return file_->resize(size); }
        [[nodiscard]] Result<ByteCount> size() const override { return file_->size(); }
        [[nodiscard]] Result<std::vector<DataExtent>> extents(ByteOffset offset,
                                                              ByteCount length) const override {
            return file_->extents(offset, length);
        }

      private:
        FailingFiles& files_;
        std::unique_ptr<File> file_;
    };

    [[nodiscard]] Status spend() {
        if (left_ > 0) {
            --left_;
            return {};
        }
        return {ErrorCode::io, "injected"};
    }
    int left_;
};

class StateFileTest : public Scratch {
  protected:
    [[nodiscard]] std::string load(const std::string& name) const {
        const auto body = load_state(system_files(), path(name));
        return body.ok() ? *body : "error: " + std::string(error_name(body.status().code()));
    }
    [[nodiscard]] Result<std::string> load_raw(const std::string& raw) const {
        const std::string name = path("raw");
        system_files().remove(name).ignore("it may not be there");
        const auto file = create("raw");
        EXPECT_TRUE(
            file->write_at(ByteOffset(0), std::as_bytes(std::span(raw.data(), raw.size()))).ok());
        return load_state(system_files(), name);
    }
    [[nodiscard]] std::string raw_of(const std::string& name) const {
        const auto file = open(path(name), {});
        std::string text(file->size()->value(), '\0');
        EXPECT_TRUE(file->read_at(ByteOffset(0), std::as_writable_bytes(std::span(text))).ok());
        return text;
    }
};

TEST_F(StateFileTest, WhatWasSavedIsLoaded) {
    for (const std::string& body :
         {std::string(), std::string("one"), std::string(100000, 'x'), std::string("a\0\nb", 4)}) {
        ASSERT_OK(save_state(system_files(), path("s"), body));
        const auto loaded = load_state(system_files(), path("s"));
        ASSERT_TRUE(loaded.ok());
        EXPECT_EQ(*loaded, body);
    }
    EXPECT_EQ(load_state(system_files(), path("none")).status().code(), ErrorCode::not_found);
    EXPECT_FALSE(*system_files().exists(path("s.new")));
}

TEST_F(StateFileTest, TheFirstLineIsAsTheFormatSays) {
    ASSERT_OK(save_state(system_files(), path("s"), "123456789"));
    EXPECT_EQ(raw_of("s"), "everstep-state 1 9 e3069283\n123456789");
}

// Interrupted at each step, with and without a file before and with a left-over of an earlier
// death.
TEST_F(StateFileTest, AtEveryInterruptedStepTheContentIsOldOrNew) {
    int steps = 0;
    for (bool finished = false; !finished; ++steps) {
        ASSERT_LT(steps, 20);
        for (const bool there : {false, true}) {
            std::filesystem::remove(path("s"));
            const std::string before = "old " + std::to_string(steps);
            if (there) ASSERT_OK(save_state(system_files(), path("s"), before));
            FailingFiles files(steps);
            const Status status = save_state(files, path("s"), "new content");
            const std::string now = load("s");
            if (status.ok()) {
                EXPECT_EQ(now, "new content");
                finished = true;
                continue;
            }
            EXPECT_EQ(status.message(), "injected");
            const bool old =
                now == (there ? before : "error: " + std::string(error_name(ErrorCode::not_found)));
            EXPECT_TRUE(old || now == "new content") << "step " << steps << ": " << now;
            ASSERT_OK(save_state(system_files(), path("s"), "after the restart"));
            EXPECT_EQ(load("s"), "after the restart");
        }
    }
    EXPECT_GE(steps, 6) << "remove, create, write, sync, rename, sync directory";
}

TEST_F(StateFileTest, EveryFlippedBitAndEveryTruncationIsRefused) {
    ASSERT_OK(save_state(system_files(), path("s"), "role=primary\nlsn=1234567\n"));
    const std::string good = raw_of("s");
    ASSERT_TRUE(load_raw(good).ok());
    for (std::size_t i = 0; i < good.size(); ++i) {
        for (int bit = 0; bit < 8; ++bit) {
            std::string bad = good;
            bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
            const auto loaded = load_raw(bad);
            ASSERT_FALSE(loaded.ok()) << "byte " << i << " bit " << bit;
            EXPECT_TRUE(loaded.status().code() == ErrorCode::corrupt ||
                        loaded.status().code() == ErrorCode::version);
            EXPECT_NE(loaded.status().message().find(path("raw")), std::string::npos);
        }
        ASSERT_EQ(load_raw(good.substr(0, i)).status().code(), ErrorCode::corrupt) << i;
    }
    EXPECT_EQ(load_raw(good + "x").status().code(), ErrorCode::corrupt);
    EXPECT_EQ(load_raw("everstep-state 2 0 00000000\n").status().code(), ErrorCode::version);
    EXPECT_EQ(load_raw("everstep-state 99999999999999999999 0 00000000\n").status().code(),
              ErrorCode::corrupt);
}

// Files of a disk that has no room but what the removal of a spare gives back.
class FullFiles final : public FileSystem {
  public:
    [[nodiscard]] Result<std::unique_ptr<File>> open(const std::string& path,
                                                     const OpenOptions& options) override {
        if (options.mode == OpenMode::create && full) return Status(ErrorCode::no_space, path);
        return system_files().open(path, options);
    }
    [[nodiscard]] Status make_directory(const std::string& path) override {
        return system_files().make_directory(path);
    }
    [[nodiscard]] Status rename(const std::string& from, const std::string& to) override {
        return system_files().rename(from, to);
    }
    [[nodiscard]] Status remove(const std::string& path) override {
        const Status status = system_files().remove(path);
        if (status.ok() && path.ends_with(".spare")) full = false;
        return status;
    }
    [[nodiscard]] Status sync_directory(const std::string& path) override {
        return system_files().sync_directory(path);
    }
    [[nodiscard]] Result<std::vector<std::string>> list(const std::string& path) const override {
        return system_files().list(path);
    }
    [[nodiscard]] Result<bool> exists(const std::string& path) const override {
        return system_files().exists(path);
    }
    bool full = false;
};

TEST_F(StateFileTest, ASaveOnAFullDiskUsesTheSpare) {
    FullFiles files;
    ASSERT_OK(save_state(files, path("s"), "first"));
    for (const std::string text : {"second", "third"}) {
        files.full = true;
        ASSERT_OK(save_state(files, path("s"), text));
        EXPECT_EQ(load("s"), text);
    }
    files.full = true;
    ASSERT_OK(system_files().remove(path("s.spare")));
    EXPECT_EQ(save_state(files, path("s"), "fourth").code(), ErrorCode::no_space);
    EXPECT_EQ(load("s"), "third");
}

TEST_F(StateFileTest, AHugeFileIsRefusedBeforeItIsRead) {
    ASSERT_OK(create("s")->resize(ByteCount(1ULL << 40)));
    EXPECT_EQ(load_state(system_files(), path("s")).status().code(), ErrorCode::corrupt);
    EXPECT_EQ(save_state(system_files(), path("s"), std::string(17U << 20, 'x')).code(),
              ErrorCode::too_large);
}

}  // namespace
}  // namespace everstep::io
