#include "journal/step_reader.hpp"

#include <algorithm>

#include "journal/once_reader.hpp"

namespace everstep::journal {
namespace {
constexpr std::size_t kExtentsAtOnce = 1024;
}

Status StepReader::read(VolumeIndex volume, ByteOffset offset, MutableBytes to) const {
    return read_from(under_, volume, offset, to);
}

Status StepReader::read_once(VolumeIndex volume, std::span<const io::ReadOp> ops) const {
    const OnceReader once(under_);
    for (const io::ReadOp& op : ops) EVERSTEP_TRY(read_from(once, volume, op.offset, op.to));
    return {};
}

Status StepReader::read_from(const ReplicaReader& under, VolumeIndex volume, ByteOffset offset,
                             MutableBytes to) const {
    const std::uint64_t size = volume_bytes_[volume.value()].value();
    const std::uint64_t inside =
        std::min<std::uint64_t>(to.size(), size - std::min(size, offset.value()));
    std::fill(to.begin() + static_cast<std::ptrdiff_t>(inside), to.end(), std::byte{0});
    if (inside == 0) return {};
    return store_.read(view_, under, volume, offset, to.first(inside));
}

Result<std::vector<io::DataExtent>> StepReader::extents(VolumeIndex volume, ByteOffset offset,
                                                        ByteCount length) const {
    std::vector<io::DataExtent> out;
    const ByteOffset end = offset + length.value();
    while (offset < end) {
        const auto found = store_.block_status(view_, under_, volume, offset,
                                               ByteCount(end - offset), kExtentsAtOnce);
        if (!found.ok()) return found.status();
        if (found->empty())
            return Status(ErrorCode::internal, "no block status of a range of the step below");
        for (const BlockExtent& extent : *found) {
            const std::uint64_t count = std::min(extent.length, end - offset);
            out.push_back({offset, ByteCount(count), extent.zero});
            offset = offset + count;
        }
    }
    return out;
}

}  // namespace everstep::journal
