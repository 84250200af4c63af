// Any bytes as a redo file: the scan, the walk on behind damage and every parser behind them give a
// value, an end or an error; a record of what is kept packs to the bytes that it came from.
#include <algorithm>
#include <cstdlib>

#include "common/base/frame.hpp"
#include "journal/kept.hpp"
#include "journal/record_bodies.hpp"
#include "journal/record_scan.hpp"
#include "journal/record_walk.hpp"
#include "tests/fuzz/bytes_file.hpp"

namespace everstep::journal {
namespace {

void expect_same(Bytes from, const BodyBytes& again) {
    if (!std::equal(from.begin(), from.end(), again.begin(), again.end())) std::abort();
}

Status parse_body(const ScannedRecord& record) {
    if (const auto kept = unpack_kept(record.body)) expect_same(record.body, pack_kept(*kept));
    if (const auto condensed = unpack_condensed(record.body))
        expect_same(record.body, pack_condensed(*condensed));
    (void)unpack_gap_open(record.body);
    (void)unpack_name(record.body);
    (void)unpack_footer(record.body);
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

// The walk covers the file: what is no record is a bad range.
void walk(const fuzz::BytesFile& file, Bytes input) {
    WalkLimits limits;
    limits.end = input.size();
    const auto end =
        walk_records(file, limits,
                     {.record =
                          [](const WalkedRecord& r) {
                              return parse_body({r.envelope, r.body_at, r.body});
                          },
                      .bad =
                          [&](const BadRange& range) {
                              if (range.at.value() + range.length.value() > input.size())
                                  std::abort();
                              return Status();
                          }});
    if (end.ok() && input.size() >= kFileHeaderBytes && end->end > input.size()) std::abort();
}

}  // namespace
}  // namespace everstep::journal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace everstep;
    using namespace everstep::journal;
    const Bytes input = std::as_bytes(std::span(data, size));
    fuzz::BytesFile raw(input);
    const auto found = read_header(raw, FileKind::redo);
    if (found.ok()) scan_records(raw, *found, parse_body).status().ignore("any answer will do");
    walk(raw, input);
    // The same bytes as records behind a header that is good, and as bodies.
    CheckedHeader header;
    scan_records(raw, header, parse_body).status().ignore("any answer will do");
    parse_body({Envelope(), ByteOffset(0), input}).ignore("any answer will do");
    return 0;
}
