// Any bytes as a redo file: the scan and every parser behind it give a value, an end or an error.
#include <algorithm>

#include "common/base/frame.hpp"
#include "journal/record_bodies.hpp"
#include "journal/record_scan.hpp"

namespace everstep::journal {
namespace {

// The fuzzer's bytes behind a good header, as a file that is only read.
class BytesFile final : public io::File {
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

Status parse_body(const ScannedRecord& record) {
    (void)unpack_head(record.body);
    (void)unpack_gap(record.body);
    (void)unpack_mark_record(record.body);
    (void)unpack_position(record.body);
    (void)unpack_timeline(record.body);
    (void)unpack_image_table(record.body);
    Buffer frame;
    frame.append(record.body);
    SealedFrame::parse(std::move(frame)).status().ignore("any answer will do");
    return {};
}

}  // namespace
}  // namespace everstep::journal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace everstep;
    using namespace everstep::journal;
    const Bytes input = std::as_bytes(std::span(data, size));
    BytesFile raw(input);
    const auto found = read_header(raw, FileKind::redo);
    if (found.ok()) scan_records(raw, *found, parse_body).status().ignore("any answer will do");
    // The same bytes as records behind a header that is good, and as bodies.
    CheckedHeader header;
    scan_records(raw, header, parse_body).status().ignore("any answer will do");
    parse_body({Envelope(), ByteOffset(0), input}).ignore("any answer will do");
    return 0;
}
