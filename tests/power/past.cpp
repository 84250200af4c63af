#include "tests/power/past.hpp"

#include <cstring>

namespace everstep::power {

Past::Past(Uuid group, std::vector<ByteCount> sizes) : group_(group) {
    lines_.reserve(64);
    lines_.emplace_back(journal::lab::Primary(group, journal::lab::test_uuid(1), std::move(sizes)));
    lines_.front().writer.packs = true;
}

PastLine& Past::branch(std::size_t parent, Lsn at) {
    const auto number = static_cast<std::uint8_t>(lines_.size() + 1);
    lines_.emplace_back(
        journal::lab::Primary(lines_[parent].writer, journal::lab::test_uuid(number), at));
    receiving_ = lines_.size() - 1;
    return lines_.back();
}

std::optional<std::size_t> Past::number_of(const TimelineId& id) const {
    for (std::size_t n = 0; n < lines_.size(); ++n)
        if (lines_[n].writer.timeline().id == id) return n;
    return std::nullopt;
}

const std::vector<journal::lab::Image>& Past::image(const Point& at) const {
    return lines_[*number_of(at.timeline)].writer.image(at.lsn);
}

std::string name_of(const Point& point) {
    return "step " + std::to_string(point.lsn.value()) + " of line " +
           point.timeline.hex().substr(0, 2);
}

Point Past::owner(const Point& at) const {
    std::size_t n = *number_of(at.timeline);
    while (at.lsn <= lines_[n].writer.timeline().branch_lsn && n != 0)
        n = *number_of(lines_[n].writer.timeline().parent);
    return {lines_[n].writer.timeline().id, at.lsn};
}

bool Past::is_point(const Point& at) const {
    const std::size_t n = *number_of(owner(at).timeline);
    for (const PastGap& gap : gaps)
        if (gap.line == n && gap.from < at.lsn && at.lsn < gap.to) return false;
    return true;
}

FramePtr Past::resync_frame(const PastGap& gap, const journal::lab::TestWrite& write,
                            Lsn tip) const {
    const TimelineId line = lines_[gap.line].writer.timeline().id;
    const auto& content = image({line, gap.to})[write.volume.value()];
    FrameEntry entry;
    entry.lsn = tip;
    entry.volume = write.volume;
    entry.offset = write.offset;
    entry.length = write.length;
    FrameBuilder builder;
    builder.add(entry, Bytes(content).subspan(write.offset.value(), write.length.value()));
    FrameHeader header;
    header.kind = FrameKind::resync;
    header.group = group_;
    header.timeline = line;
    header.first_lsn = header.last_lsn = tip;
    header.sub_first = 1;
    return builder.seal(header, journal::lab::any_packer(tip.value()));
}

std::string difference(const std::vector<journal::lab::Image>& found,
                       const std::vector<journal::lab::Image>& wanted) {
    for (std::size_t v = 0; v < wanted.size(); ++v) {
        if (found[v].size() != wanted[v].size()) return "volume of another size";
        if (std::memcmp(found[v].data(), wanted[v].data(), wanted[v].size()) == 0) continue;
        for (std::size_t at = 0; at < wanted[v].size(); at += kSectorBytes) {
            if (std::memcmp(&found[v][at], &wanted[v][at], kSectorBytes) == 0) continue;
            std::uint64_t is = 0;
            std::uint64_t should = 0;
            std::memcpy(&is, &found[v][at], sizeof is);
            std::memcpy(&should, &wanted[v][at], sizeof should);
            return "volume " + std::to_string(v) + " sector " + std::to_string(at / kSectorBytes) +
                   " is of step " + std::to_string(is) + ", wanted step " + std::to_string(should);
        }
    }
    return {};
}

}  // namespace everstep::power
