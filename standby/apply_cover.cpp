#include "standby/apply_cover.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace everstep::standby {

const std::vector<CoverPiece>& ApplyCover::pieces(std::span<const journal::ApplyUnit> units) {
    pieces_.clear();
    active_.clear();
    order_.resize(units.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
        return std::tie(units[a].volume, units[a].offset, a) <
               std::tie(units[b].volume, units[b].offset, b);
    });
    const auto end_of = [&](std::size_t unit) {
        return units[unit].offset.value() + units[unit].length.value();
    };
    std::size_t next = 0;
    std::uint64_t at = 0;
    VolumeIndex volume;
    while (next < order_.size() || !active_.empty()) {
        if (active_.empty()) {
            volume = units[order_[next]].volume;
            at = units[order_[next]].offset.value();
        }
        const auto here = [&] {
            return next < order_.size() && units[order_[next]].volume == volume;
        };
        while (here() && units[order_[next]].offset.value() <= at) {
            active_.push_back(order_[next++]);
            std::push_heap(active_.begin(), active_.end());
        }
        const std::size_t top = active_.front();
        std::uint64_t stop = end_of(top);
        if (here()) stop = std::min(stop, units[order_[next]].offset.value());
        if (stop > at) {
            emit(top, at, stop);
            at = stop;
        }
        while (!active_.empty() && end_of(active_.front()) <= at) {
            std::pop_heap(active_.begin(), active_.end());
            active_.pop_back();
        }
    }
    return pieces_;
}

void ApplyCover::emit(std::size_t unit, std::uint64_t from, std::uint64_t to) {
    if (!pieces_.empty()) {
        CoverPiece& last = pieces_.back();
        if (last.unit == unit && last.offset.value() + last.length.value() == from) {
            last.length = last.length + (to - from);
            return;
        }
    }
    pieces_.push_back({unit, ByteOffset(from), ByteCount(to - from)});
}

}  // namespace everstep::standby
