// BytesFile: the fuzzer's bytes as a file that is only read.
//
// Thread: one.
#pragma once

#include <algorithm>

#include "common/io/file.hpp"

namespace everstep::fuzz {

class BytesFile : public io::File {
  public:
    explicit BytesFile(Bytes bytes) : bytes_(bytes.begin(), bytes.end()) {}
    [[nodiscard]] const std::string& path() const override { return path_; }
    [[nodiscard]] Status read(std::span<const io::ReadOp> ops) const override {
        for (const io::ReadOp& op : ops) {
            if (op.offset.value() > bytes_.size() ||
                op.to.size() > bytes_.size() - op.offset.value())
                return {ErrorCode::corrupt, "read past the end"};
            std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(op.offset.value()),
                        op.to.size(), op.to.begin());
        }
        return {};
    }
    [[nodiscard]] Status write(std::span<const io::WriteOp>) override { return denied(); }
    [[nodiscard]] Status sync() override { return denied(); }
    [[nodiscard]] Status allocate(ByteOffset, ByteCount) override { return denied(); }
    [[nodiscard]] Status zero(ByteOffset, ByteCount) override { return denied(); }
    [[nodiscard]] Status punch(ByteOffset, ByteCount) override { return denied(); }
    [[nodiscard]] Status resize(ByteCount) override { return denied(); }
    [[nodiscard]] Result<ByteCount> size() const override { return ByteCount(bytes_.size()); }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(ByteOffset,
                                                              ByteCount) const override {
        return denied();
    }

  private:
    [[nodiscard]] static Status denied() { return {ErrorCode::io, "read only"}; }
    std::string path_ = "redo";
    std::vector<std::byte> bytes_;
};

}  // namespace everstep::fuzz
