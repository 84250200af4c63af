#include "standby/apply_batch.hpp"

namespace everstep::standby {
namespace {

constexpr std::size_t kNotRead = ~std::size_t{0};

}  // namespace

Status BatchWriter::write(std::span<const journal::ApplyUnit> units) {
    const std::vector<CoverPiece>& pieces = cover_.pieces(units);
    EVERSTEP_TRY(read_payloads(units, pieces));
    ops_.clear();
    VolumeIndex volume;
    for (const CoverPiece& piece : pieces) {
        const journal::ApplyUnit& unit = units[piece.unit];
        if (unit.volume != volume) EVERSTEP_TRY(flush(volume));
        volume = unit.volume;
        if (unit.zero) {
            EVERSTEP_TRY(replica_.zero(volume, piece.offset, piece.length));
            continue;
        }
        const std::size_t at = payload_at_[piece.unit] + (piece.offset - unit.offset);
        ops_.push_back({piece.offset, payloads_.bytes().subspan(at, piece.length.value())});
    }
    return flush(volume);
}

// Only units of which a piece is left are read.
Status BatchWriter::read_payloads(std::span<const journal::ApplyUnit> units,
                                  const std::vector<CoverPiece>& pieces) {
    payload_at_.assign(units.size(), kNotRead);
    std::size_t total = 0;
    for (const CoverPiece& piece : pieces) {
        if (units[piece.unit].zero || payload_at_[piece.unit] != kNotRead) continue;
        payload_at_[piece.unit] = total;
        total += units[piece.unit].length.value();
    }
    payloads_.resize(total);
    for (std::size_t i = 0; i < units.size();
         ++i) {  // in the order in which they lie in the segment
        if (payload_at_[i] == kNotRead) continue;
        const std::size_t length = units[i].length.value();
        EVERSTEP_TRY(store_.read_unit(units[i], payloads_.bytes().subspan(payload_at_[i], length)));
    }
    return {};
}

Status BatchWriter::flush(VolumeIndex volume) {
    if (ops_.empty()) return {};
    const Status status = replica_.write(volume, ops_);
    ops_.clear();
    return status;
}

}  // namespace everstep::standby
