#include "daemon/intent_map.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

#include "common/base/checksum.hpp"
#include "common/base/pack.hpp"

namespace everstep::daemon {

namespace {

// A page's fields, by offset (docs/write-intent-map.md).
constexpr std::array<char, 8> kMagic{'E', 'V', 'I', 'N', 'T', 'E', 'N', 'T'};
constexpr std::size_t kCrcAt = 8;
constexpr std::size_t kChecked = 12;  // the CRC is of what lies from here on
constexpr std::size_t kPageAt = 12;
constexpr std::size_t kIdAt = 16;
constexpr std::size_t kVolumeAt = 32;
constexpr std::size_t kVersionAt = 36;
constexpr std::size_t kRegionBytesAt = 40;
constexpr std::size_t kMasksAt = 64;
constexpr std::uint32_t kVersion = 1;
static_assert(kMasksAt + kIntentPageRegions * sizeof(std::uint32_t) == kIntentPageBytes);

constexpr Lsn kUnwritten(UINT64_MAX);  // of a region whose write failed

std::uint32_t seconds(std::chrono::nanoseconds time) {
    return static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::seconds>(time).count());
}

std::uint32_t bits_of(std::size_t standbys) {
    return standbys == kIntentStandbysMax ? ~0U : (1U << standbys) - 1;
}

std::size_t regions_of(ByteCount volume, std::uint64_t region_bytes) {
    return static_cast<std::size_t>((volume.value() + region_bytes - 1) / region_bytes);
}

}  // namespace

std::uint64_t intent_region_bytes(ByteCount volume) {
    std::uint64_t bytes = kIntentRegionBytes;
    while (regions_of(volume, bytes) > kIntentRegionsMax) bytes *= 2;
    return bytes;
}

IntentMap::IntentMap(const IntentPlace& place, std::unique_ptr<io::File> file)
    : place_(place),
      file_(std::move(file)),
      region_bytes_(intent_region_bytes(place.size)),
      all_(bits_of(place.standbys)),
      masks_(regions_of(place.size, region_bytes_)),
      durable_(masks_.size()),
      last_(masks_.size()),
      touched_(masks_.size()),
      dirty_(pages(), true) {}

Result<std::unique_ptr<IntentMap>> IntentMap::open(io::FileSystem& files, const IntentPlace& place,
                                                   IntentStart start,
                                                   std::vector<std::string>& report) {
    EVERSTEP_ASSERT(place.standbys >= 1 && place.standbys <= kIntentStandbysMax && !place.id.nil(),
                    "an intent map without a standby or an id");
    const auto there = files.exists(place.path);
    if (!there.ok()) return there.status();
    const io::OpenMode mode = *there ? io::OpenMode::read_write : io::OpenMode::create;
    auto file = files.open(place.path, {mode, true, false});
    if (!file.ok()) return file.status();
    std::unique_ptr<IntentMap> map(new IntentMap(place, std::move(*file)));
    if (start.begin == IntentBegin::as_stored) {
        EVERSTEP_TRY(map->load(report));
    } else {
        map->fill(start.begin == IntentBegin::all_clear ? 0 : map->all_);
    }
    std::fill(map->last_.begin(), map->last_.end(), start.newest);
    EVERSTEP_TRY(map->file_->resize(ByteCount(map->pages() * kIntentPageBytes)));
    const auto written = map->write_out();
    if (!written.ok()) return written.status();
    EVERSTEP_TRY(map->sync());
    map->durable_ = map->masks_;
    if (!*there) {
        const std::string directory = place.path.substr(0, place.path.rfind('/'));
        EVERSTEP_TRY(files.sync_directory(directory));
    }
    return map;
}

// Whatever cannot be used counts as marked.
Status IntentMap::load(std::vector<std::string>& report) {
    fill(all_);
    const auto size = file_->size();
    if (!size.ok()) return size.status();
    const std::uint64_t wanted = pages() * kIntentPageBytes;
    if (size->value() != wanted) {
        report.push_back(
            fmt::format("{}: found {} bytes, wanted {}: all of the volume counts as "
                        "written",
                        place_.path, size->value(), wanted));
        return {};
    }
    std::vector<std::byte> bytes(wanted);
    EVERSTEP_TRY(file_->read_at(ByteOffset(0), bytes));
    std::size_t unusable = 0;
    std::string why;
    for (std::size_t page = 0; page < pages(); ++page) {
        const Bytes one = Bytes(bytes).subspan(page * kIntentPageBytes, kIntentPageBytes);
        const std::string problem = page_problem(page, one);
        if (problem.empty()) {
            take_page(page, one);
        } else if (unusable++ == 0) {
            why = problem;
        }
    }
    if (unusable > 0)
        report.push_back(
            fmt::format("{}: {} of {} pages cannot be used ({}): what they are of "
                        "counts as written",
                        place_.path, unusable, pages(), why));
    return {};
}

std::string IntentMap::page_problem(std::size_t page, Bytes bytes) const {
    const auto at = [&](const char* what, std::uint64_t found, std::uint64_t wanted) {
        return fmt::format("page {}: {} {} found, {} wanted", page, what, found, wanted);
    };
    if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0)
        return fmt::format("page {}: it does not begin as one", page);
    if (const auto crc = crc32c(bytes.subspan(kChecked)); get<std::uint32_t>(bytes, kCrcAt) != crc)
        return at("checksum", get<std::uint32_t>(bytes, kCrcAt), crc);
    if (const auto version = get<std::uint32_t>(bytes, kVersionAt); version != kVersion)
        return at("version", version, kVersion);
    if (std::memcmp(bytes.data() + kIdAt, place_.id.bytes().data(), 16) != 0)
        return fmt::format("page {}: it is of another map", page);
    if (const auto number = get<std::uint32_t>(bytes, kPageAt); number != page)
        return at("number", number, page);
    if (const auto volume = get<std::uint32_t>(bytes, kVolumeAt); volume != place_.volume.value())
        return at("volume", volume, place_.volume.value());
    if (const auto region = get<std::uint64_t>(bytes, kRegionBytesAt); region != region_bytes_)
        return at("region size", region, region_bytes_);
    for (std::size_t i = 0; i < kIntentPageRegions; ++i) {
        const auto mask = get<std::uint32_t>(bytes, kMasksAt + i * sizeof(std::uint32_t));
        const bool exists = page * kIntentPageRegions + i < masks_.size();
        if ((mask & ~(exists ? all_ : 0U)) != 0)
            return fmt::format("page {}: marks of what does not exist", page);
    }
    return {};
}

void IntentMap::take_page(std::size_t page, Bytes bytes) {
    const std::size_t begin = page * kIntentPageRegions;
    const std::size_t end = std::min(begin + kIntentPageRegions, masks_.size());
    for (std::size_t region = begin; region < end; ++region)
        set(region, get<std::uint32_t>(bytes, kMasksAt + (region - begin) * sizeof(std::uint32_t)));
    dirty_[page] = false;
}

void IntentMap::pack_page(std::size_t page, MutableBytes bytes) const {
    std::fill(bytes.begin(), bytes.end(), std::byte{0});
    std::memcpy(bytes.data(), kMagic.data(), kMagic.size());
    put(bytes, kPageAt, static_cast<std::uint32_t>(page));
    std::memcpy(bytes.data() + kIdAt, place_.id.bytes().data(), 16);
    put(bytes, kVolumeAt, static_cast<std::uint32_t>(place_.volume.value()));
    put(bytes, kVersionAt, kVersion);
    put(bytes, kRegionBytesAt, region_bytes_);
    const std::size_t begin = page * kIntentPageRegions;
    const std::size_t end = std::min(begin + kIntentPageRegions, masks_.size());
    for (std::size_t region = begin; region < end; ++region)
        put(bytes, kMasksAt + (region - begin) * sizeof(std::uint32_t), masks_[region]);
    put(bytes, kCrcAt, crc32c(Bytes(bytes).subspan(kChecked)));
}

std::size_t IntentMap::pages() const {
    return (masks_.size() + kIntentPageRegions - 1) / kIntentPageRegions;
}

std::size_t IntentMap::first(Range range) const {
    return static_cast<std::size_t>(range.offset.value() / region_bytes_);
}

std::size_t IntentMap::end(Range range) const {
    if (range.length == ByteCount(0)) return first(range);
    return static_cast<std::size_t>((range.offset.value() + range.length.value() - 1) /
                                    region_bytes_) +
           1;
}

void IntentMap::set(std::size_t region, std::uint32_t mask) {
    std::uint32_t& now = masks_[region];
    if (now == mask) return;
    if (now == 0) ++marked_;
    if (mask == 0) --marked_;
    now = mask;
    dirty_[region / kIntentPageRegions] = true;
}

void IntentMap::fill(std::uint32_t mask) {
    std::fill(dirty_.begin(), dirty_.end(), true);
    for (std::size_t region = 0; region < masks_.size(); ++region) set(region, mask);
}

bool IntentMap::covers(Range range) const {
    for (std::size_t region = first(range); region < end(range); ++region)
        if (durable_[region] != all_) return false;
    return true;
}

void IntentMap::mark(Range range, std::chrono::nanoseconds now) {
    const std::size_t begin = first(range);
    std::size_t to = end(range);
    // A sequential writer, by the look of it; where one standby lacks everything, nothing is.
    if (begin > 0 && masks_[begin - 1] == all_) to = std::min(to + kIntentAhead, masks_.size());
    for (std::size_t region = begin; region < to; ++region) {
        set(region, all_);
        touched_[region] = seconds(now);
        if (durable_[region] != all_) unsynced_.push_back(static_cast<std::uint32_t>(region));
    }
}

void IntentMap::mark_all(std::size_t standby) {
    for (std::size_t region = 0; region < masks_.size(); ++region)
        set(region, masks_[region] | 1U << standby);
}

void IntentMap::set_standbys(std::size_t standbys) {
    EVERSTEP_ASSERT(standbys >= place_.standbys && standbys <= kIntentStandbysMax,
                    "an intent map with fewer standbys than before, or with too many");
    place_.standbys = standbys;
    all_ = bits_of(standbys);
}

void IntentMap::written(Range range, Lsn lsn, std::chrono::nanoseconds now) {
    for (std::size_t region = first(range); region < end(range); ++region) {
        last_[region] = lsn;
        touched_[region] = seconds(now);
    }
}

bool IntentMap::clearable(std::size_t region, const IntentClear& clear) const {
    return (masks_[region] & 1U << clear.standby) != 0 && last_[region] != kUnwritten &&
           last_[region] <= std::min(clear.durable, clear.flushed) &&
           touched_[region] + seconds(clear.idle) <= seconds(clear.now);
}

bool IntentMap::any_to_clear(const IntentClear& clear) const {
    IntentClear flushed = clear;
    flushed.flushed = clear.durable;
    for (std::size_t region = 0; region < masks_.size(); ++region)
        if (clearable(region, flushed)) return true;
    return false;
}

std::size_t IntentMap::clear(const IntentClear& clear) {
    std::size_t gone = 0;
    for (std::size_t region = 0; region < masks_.size(); ++region) {
        if (!clearable(region, clear)) continue;
        set(region, masks_[region] & ~(1U << clear.standby));
        durable_[region] &= masks_[region];
        ++gone;
    }
    if (gone > 0) ++clears_;
    return gone;
}

Result<IntentMap::Marks> IntentMap::write_out() {
    std::vector<std::byte> packed(kIntentPageBytes);
    for (std::size_t page = 0; page < pages(); ++page) {
        if (!dirty_[page]) continue;
        pack_page(page, packed);
        EVERSTEP_TRY(file_->write_at(ByteOffset(page * kIntentPageBytes), packed));
        dirty_[page] = false;
    }
    return Marks{std::exchange(unsynced_, {}), clears_};
}

// Where marks have gone since, the file may have lost what the sync had covered: those that wait
// are marked again.
void IntentMap::synced(const Marks& marks) {
    if (marks.clears != clears_) return;
    for (const std::uint32_t region : marks.regions) durable_[region] = masks_[region];
}

std::vector<journal::GapExtent> IntentMap::marked(std::size_t standby) const {
    std::vector<journal::GapExtent> extents;
    const std::uint64_t size = place_.size.value();
    for (std::size_t region = 0; region < masks_.size(); ++region) {
        if ((masks_[region] & 1U << standby) == 0) continue;
        const std::uint64_t begin = region * region_bytes_;
        const std::uint64_t bytes = std::min(region_bytes_, size - begin);
        const bool joined = !extents.empty() &&
                            extents.back().offset.value() + extents.back().length.value() == begin;
        if (joined) {
            extents.back().length = ByteCount(extents.back().length.value() + bytes);
        } else {
            extents.push_back({place_.volume, ByteOffset(begin), ByteCount(bytes)});
        }
    }
    return extents;
}

ByteCount IntentMap::marked_bytes(std::size_t standby) const {
    std::uint64_t bytes = 0;
    for (const journal::GapExtent& extent : marked(standby)) bytes += extent.length.value();
    return ByteCount(bytes);
}

}  // namespace everstep::daemon
