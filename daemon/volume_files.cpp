#include "daemon/volume_files.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "common/base/buffer.hpp"
#include "common/base/checksum.hpp"
#include "daemon/added_volumes.hpp"

namespace everstep::daemon {

namespace {

struct Samples {
    Hash128 hash{};
    std::uint32_t data = 0;  // blocks that hold anything but zeroes
};

Result<Samples> take_samples(io::FileSystem& files, const std::string& path, ByteCount size) {
    const auto file = files.open(path, {io::OpenMode::read_only, false, false});
    if (!file.ok()) return file.status();
    const std::uint64_t blocks = (size.value() + kBlockBytes - 1) / kBlockBytes;
    Buffer all;
    Samples samples;
    for (std::uint32_t i = 0; i < kSamples; ++i) {
        const std::uint64_t block = blocks <= kSamples ? i : blocks / kSamples * i;
        if (block >= blocks) break;
        const std::uint64_t offset = block * kBlockBytes;
        const MutableBytes to = all.extend(std::min(kBlockBytes, size.value() - offset));
        EVERSTEP_TRY((*file)->read_at(ByteOffset(offset), to));
        if (!is_zero(to)) ++samples.data;
    }
    samples.hash = xxh3_128(all.bytes());
    return samples;
}

Status finish_image(GroupContext& context, const VolumeConfig& volume, const std::string& path) {
    auto file = context.files->open(path, {io::OpenMode::read_write, false, false});
    if (!file.ok()) return file.status().with_context("volume " + volume.name);
    EVERSTEP_TRY((*file)->resize(*volume.size));
    EVERSTEP_TRY((*file)->sync());
    // Its name, too: after a power cut an image without a name is gone.
    EVERSTEP_TRY(context.files->sync_directory(path.substr(0, path.rfind('/'))));
    context.event("volume", fmt::format("made {} for volume {}, {}", path, volume.name,
                                        format_byte_count(*volume.size)));
    return {};
}

// An empty file is what a crash leaves between the making of an image and its sizing.
bool half_made(const VolumeConfig& volume, const std::string& path) {
    const auto identity = io::identify(path);
    return volume.size && identity.ok() && identity->size_bytes == 0;
}

Status make_image(GroupContext& context, const VolumeConfig& volume, const std::string& path) {
    if (!volume.size) {
        return Status(ErrorCode::not_found,
                      fmt::format("volume {}: {} does not exist and the volume has no `size`",
                                  volume.name, path));
    }
    auto file = context.files->open(path, {io::OpenMode::create, false, false});
    if (!file.ok()) return file.status().with_context("volume " + volume.name);
    return finish_image(context, volume, path);
}

Status check_size(const VolumeConfig& volume, const std::string& path, std::uint64_t found) {
    if (found == 0 || found % kSectorBytes != 0) {
        return Status(ErrorCode::refused,
                      fmt::format("volume {}: {} has {} bytes, a multiple of {} is wanted",
                                  volume.name, path, found, kSectorBytes));
    }
    if (volume.size && volume.size->value() != found) {
        return Status(ErrorCode::refused,
                      fmt::format("volume {}: {} has {} bytes, `size` says {}", volume.name, path,
                                  found, volume.size->value()));
    }
    return {};
}

// History, replica and primary are of one size, and no step changes it.
Status check_not_resized(const VolumeConfig& volume, const VolumeRecord& known) {
    if (!volume.size || *volume.size == known.size) return {};
    return Status(
        ErrorCode::refused,
        fmt::format("volume {}: `size` says {} bytes, the group's volume has {}: it cannot "
                    "be resized; put `size` back",
                    volume.name, volume.size->value(), known.size.value()));
}

VolumeRecord* recorded(GroupContext& context, const std::string& name) {
    for (VolumeRecord& volume : context.record.volumes) {
        if (volume.name == name) return &volume;
    }
    return nullptr;
}

}  // namespace

// Frames name a volume by its place, so a place is of one volume for ever.
std::string volumes_moved(GroupContext& context) {
    GroupRecord& record = context.record;
    const std::vector<VolumeConfig>& now = context.group->volumes;
    // Of which this standby has never been told anything: the file was put back.
    while (record.role == wire::Role::standby && record.volumes.size() > now.size() &&
           record.volumes.back().id.nil())
        record.volumes.pop_back();
    const auto same = [](const VolumeRecord& a, const VolumeConfig& b) { return a.name == b.name; };
    if (record.volumes.empty() ||
        std::equal(record.volumes.begin(), record.volumes.end(), now.begin(), now.end(), same))
        return {};
    if (!history_begun(record)) {
        record.volumes.clear();
        return {};
    }
    for (std::size_t i = 0; i < std::max(now.size(), record.volumes.size()); ++i) {
        if (i >= now.size())
            return fmt::format(
                "volume {} is in the state but not configured: a volume cannot be "
                "removed from a group that has begun",
                record.volumes[i].name);
        if (i >= record.volumes.size()) {
            if (!record.serves_store) break;  // as `group apply` adds it
            return fmt::format(
                "volume {} is new: a volume cannot be added to a group that is served through "
                "its store; give it a group of its own",
                now[i].name);
        }
        if (record.volumes[i].name != now[i].name)
            return fmt::format(
                "volume {} is found at place {}, where volume {} is wanted: volumes "
                "of a group that has begun keep their order",
                now[i].name, i, record.volumes[i].name);
    }
    return {};
}

Status prepare_volumes(GroupContext& context, bool& made_all) {
    made_all = true;
    const bool added = !context.record.volumes.empty() && history_begun(context.record);
    for (const VolumeConfig& volume : context.group->volumes) {
        const std::string& path = volume.on(context.node)->device;
        VolumeRecord* known = recorded(context, volume.name);
        if (known != nullptr) EVERSTEP_TRY(check_not_resized(volume, *known));
        const auto there = context.files->exists(path);
        if (!there.ok()) return there.status();
        if (*there && known == nullptr && half_made(volume, path)) {
            EVERSTEP_TRY(finish_image(context, volume, path));
        } else if (*there) {
            made_all = false;
        } else if (known != nullptr) {
            continue;  // a known volume that is gone is never made anew by itself: volume_problem()
                       // says so
        } else {
            EVERSTEP_TRY(make_image(context, volume, path));
        }
        if (known != nullptr) continue;
        const auto identity = io::identify(path);
        if (!identity.ok()) return identity.status().with_context("volume " + volume.name);
        EVERSTEP_TRY(check_size(volume, path, identity->size_bytes));
        VolumeRecord fresh;
        fresh.name = volume.name;
        fresh.id = Uuid::random();
        fresh.size = ByteCount(identity->size_bytes);
        fresh.identity = *identity;
        if (added) fresh.whole_from = Point{};
        // A standby learns it in the first session that has the volume: see volumes_moved().
        if (added && context.record.role == wire::Role::standby) fresh.id = Uuid();
        context.record.volumes.push_back(fresh);
    }
    return {};
}

Status make_gone_volumes(GroupContext& context) {
    for (const VolumeConfig& volume : context.group->volumes) {
        const std::string& path = volume.on(context.node)->device;
        const VolumeRecord* known = recorded(context, volume.name);
        const auto there = context.files->exists(path);
        if (!there.ok()) return there.status();
        if (*there || known == nullptr) continue;
        VolumeConfig sized = volume;
        sized.size = known->size;
        EVERSTEP_TRY(make_image(context, sized, path));
    }
    return {};
}

Result<std::string> volume_problem(const GroupContext& context) {
    for (const VolumeRecord& volume : context.record.volumes) {
        const VolumeConfig* configured = nullptr;
        for (const VolumeConfig& one : context.group->volumes) {
            if (one.name == volume.name) configured = &one;
        }
        if (configured == nullptr)
            return fmt::format("volume {} is in the state but not configured", volume.name);
        const std::string& path = configured->on(context.node)->device;
        const auto there = context.files->exists(path);
        if (!there.ok()) return there.status();
        if (!*there) return fmt::format("volume {}: {} is gone", volume.name, path);
        const auto identity = io::identify(path);
        if (!identity.ok()) return identity.status();
        if (identity->size_bytes != volume.size.value()) {
            return fmt::format("volume {}: {} has {} bytes, it had {}", volume.name, path,
                               identity->size_bytes, volume.size.value());
        }
        if (*identity != volume.identity) {
            return fmt::format("volume {}: {} is another file or disk than before", volume.name,
                               path);
        }
        const auto samples = take_samples(*context.files, path, volume.size);
        if (!samples.ok()) return samples.status();
        const bool taken = volume.samples != Hash128{};
        if (context.record.clean && taken && samples->hash != volume.samples) {
            return fmt::format("volume {}: {} was changed since the clean stop", volume.name, path);
        }
        if (taken && volume.sampled_data > 0 && samples->data == 0) {
            return fmt::format("volume {}: {} is empty now, it was not before", volume.name, path);
        }
    }
    return std::string();
}

Result<SampleCounts> sample_served(GroupContext& context) {
    SampleCounts counts;
    for (const VolumeRecord& volume : context.record.volumes) counts.push_back(volume.sampled_data);
    EVERSTEP_TRY(sample_volumes(context));
    for (std::size_t i = 0; i < counts.size(); ++i) {
        std::uint32_t& kept = context.record.volumes[i].sampled_data;
        const std::uint32_t found = kept;
        kept = std::min(counts[i], found);
        counts[i] = found;
    }
    return counts;
}

bool count_samples(GroupContext& context, const SampleCounts& counts) {
    std::vector<VolumeRecord>& volumes = context.record.volumes;
    bool changed = false;
    for (std::size_t i = 0; i < std::min(counts.size(), volumes.size()); ++i)
        changed = std::exchange(volumes[i].sampled_data, counts[i]) != counts[i] || changed;
    return changed;
}

Status sample_volumes(GroupContext& context) {
    for (VolumeRecord& volume : context.record.volumes) {
        for (const VolumeConfig& one : context.group->volumes) {
            if (one.name != volume.name) continue;
            const std::string& path = one.on(context.node)->device;
            const auto identity = io::identify(path);
            if (!identity.ok()) return identity.status();
            const auto samples = take_samples(*context.files, path, volume.size);
            if (!samples.ok()) return samples.status();
            volume.identity = *identity;
            volume.samples = samples->hash;
            volume.sampled_data = samples->data;
        }
    }
    return {};
}

void forget_samples(GroupContext& context) {
    for (VolumeRecord& volume : context.record.volumes) {
        volume.samples = Hash128{};
        volume.sampled_data = 0;
    }
}

}  // namespace everstep::daemon
