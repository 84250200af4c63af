#include "journal/tool/extract.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "common/base/checksum.hpp"
#include "journal/step_reader.hpp"
#include "journal/tool/scratch_files.hpp"

namespace everstep::journal::tool {
namespace {

constexpr std::uint64_t kPieceBytes = 1ULL << 20;

class ReplicaFiles final : public ReplicaReader {
  public:
    [[nodiscard]] Status open(io::FileSystem& files, const std::vector<std::string>& paths) {
        for (const std::string& path : paths) {
            auto file = files.open(path, {.exclusive_lock = true});
            if (file.status().code() == ErrorCode::busy)
                return {ErrorCode::refused, file.status().message() + "; stop what uses it first"};
            if (!file.ok()) return file.status();
            const auto size = (*file)->size();
            if (!size.ok()) return size.status();
            files_.push_back(std::move(*file));
            sizes_.push_back(*size);
        }
        return {};
    }
    [[nodiscard]] const std::vector<ByteCount>& sizes() const { return sizes_; }
    [[nodiscard]] Status read(VolumeIndex volume, ByteOffset offset,
                              MutableBytes to) const override {
        const std::uint64_t size = sizes_[volume.value()].value();
        const std::uint64_t start = std::min(offset.value(), size);
        const std::size_t inside = std::min<std::uint64_t>(to.size(), size - start);
        std::memset(to.data() + inside, 0, to.size() - inside);
        if (inside == 0) return {};
        return files_[volume.value()]->read_at(offset, to.first(inside));
    }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(VolumeIndex volume, ByteOffset offset,
                                                              ByteCount length) const override {
        return files_[volume.value()]->extents(offset, length);
    }

  private:
    std::vector<std::unique_ptr<io::File>> files_;
    std::vector<ByteCount> sizes_;
};

Result<Point> point_of(const Store& store, const std::string& text) {
    const auto step = parse_step(text);
    if (!step.ok()) return step.status();
    Point point{store.tip().point.timeline, Lsn(step->lsn)};
    if (step->timeline_hex.empty()) return point;
    std::vector<TimelineId> found;
    for (const TimelineInfo& t : store.timelines())
        if (t.id.hex().starts_with(step->timeline_hex)) found.push_back(t.id);
    if (found.size() != 1)
        return Status(ErrorCode::usage, fmt::format("--step {}: {} timelines begin with t:{}", text,
                                                    found.size(), step->timeline_hex));
    point.timeline = found.front();
    return point;
}

// Writes what of a volume is not zero.
class ImageWriter {
  public:
    struct From {
        const Store& store;
        const ReplicaReader& under;
    };
    ImageWriter(const From& from, const View& view, const std::vector<ByteCount>& sizes)
        : store_(from.store), view_(view), under_(from.under), sizes_(sizes) {}

    Status write(VolumeIndex volume, io::File& to, Progress& progress) {
        const std::uint64_t size = sizes_[volume.value()].value();
        EVERSTEP_TRY(to.resize(ByteCount(size)));
        for (std::uint64_t at = 0; at < size;) {
            const std::uint64_t asked = std::min<std::uint64_t>(size - at, kPieceBytesMax);
            const auto parts =
                store_.block_status(view_, under_, volume, ByteOffset(at), ByteCount(asked), 256);
            if (!parts.ok()) return parts.status();
            for (const BlockExtent& part : *parts) {
                if (!part.zero)
                    EVERSTEP_TRY(copy({volume, ByteOffset(at), ByteCount(part.length)}, to));
                at += part.length;
                progress.add(part.length);
            }
        }
        return to.sync();
    }
    std::uint64_t written = 0;

  private:
    Status copy(const GapExtent& range, io::File& to) {
        std::uint64_t at = range.offset.value();
        const std::uint64_t end = at + range.length.value();
        while (at < end) {
            piece_.resize(std::min(end - at, kPieceBytes));
            EVERSTEP_TRY(store_.read(view_, under_, range.volume, ByteOffset(at), piece_.bytes()));
            EVERSTEP_TRY(write_data(at, to));
            at += piece_.size();
        }
        return {};
    }
    Status write_data(std::uint64_t at, io::File& to) {
        const Bytes all = piece_.bytes();
        for (std::size_t n = 0; n < all.size();) {
            const std::size_t length = std::min<std::size_t>(kBlockBytes, all.size() - n);
            const Bytes block = all.subspan(n, length);
            if (!is_zero(block)) {
                EVERSTEP_TRY(to.write_at(ByteOffset(at + n), block));
                written += length;
            }
            n += length;
        }
        return {};
    }

    const Store& store_;
    const View& view_;
    const ReplicaReader& under_;
    const std::vector<ByteCount>& sizes_;
    Buffer piece_;
};

Result<std::uint64_t> write_images(io::FileSystem& files, const Options& options,
                                   ImageWriter& writer, Progress& progress) {
    std::size_t made = 0;
    Status status;
    for (; made < options.outputs.size() && status.ok(); ++made) {
        auto file = files.open(options.outputs[made], {.mode = io::OpenMode::create});
        status = file.status();
        if (!status.ok()) break;
        status = writer.write(VolumeIndex(made), **file, progress);
    }
    if (status.ok()) return writer.written;
    for (std::size_t n = 0; n < made; ++n)
        files.remove(options.outputs[n]).ignore("the first error counts");
    return status;
}

// A store and what its history lies over: a step of the next one, or the images.
struct Layer {
    std::unique_ptr<Store> store;
    std::unique_ptr<const ReplicaReader> under;
};

Result<std::unique_ptr<Store>> open_store(io::FileSystem& files, const DeadStore& store,
                                          const std::vector<ByteCount>& sizes) {
    StoreOptions options;
    options.directory = store.directory;
    options.group = store.group;
    options.volume_bytes = sizes;
    std::vector<std::string> report;
    auto opened = Store::open(files, options, report);
    if (!opened.ok())
        return opened.status().with_context(
            "the store does not open (--replica: all volumes of the group, in its order)");
    if (!(*opened)->has_history())
        return Status(ErrorCode::refused, store.directory + ": there is no history in it");
    return opened;
}

// `stores`: the branch's, where there is one, first; the group's last.
Result<std::vector<Layer>> open_layers(io::FileSystem& files,
                                       const std::vector<const DeadStore*>& stores,
                                       std::unique_ptr<const ReplicaFiles> images) {
    const std::vector<ByteCount> sizes = images->sizes();
    std::vector<Layer> layers(stores.size());
    for (std::size_t n = 0; n < stores.size(); ++n) {
        auto opened = open_store(files, *stores[n], sizes);
        if (!opened.ok()) return opened.status();
        layers[n].store = std::move(*opened);
    }
    layers.back().under = std::move(images);
    for (std::size_t n = stores.size() - 1; n > 0; --n) {
        const Layer& below = layers[n];
        auto view = below.store->view(layers[n - 1].store->baseline());
        if (!view.ok())
            return view.status().with_context(stores[n]->directory + ", below " +
                                              stores[n - 1]->directory);
        layers[n - 1].under =
            std::make_unique<StepReader>(*below.store, *below.under, std::move(*view), sizes);
    }
    return layers;
}

// What a branch did not write lies in another store: an image of this one alone would be wrong.
Status check_branch(io::FileSystem& files, const Options& options) {
    const auto branch = files.exists(options.directory + "/../branch");
    if (!branch.ok() || !*branch || !options.over.empty()) return branch.status();
    return {ErrorCode::usage, options.directory +
                                  ": the store of a branch; --over DIR names the store that it "
                                  "lies over (STATE/groups/GROUP/store for the group's)"};
}

}  // namespace

Status extract(io::FileSystem& files, const DeadStore& store, const Options& options,
               Surroundings& surroundings) {
    EVERSTEP_TRY(check_branch(files, options));
    std::vector<DeadStore> below;
    for (const std::string& directory : options.over) {
        auto opened = open_dead_store(files, directory);
        if (!opened.ok()) return opened.status();
        below.push_back(std::move(*opened));
    }
    std::vector<const DeadStore*> stores{&store};
    for (const DeadStore& one : below) stores.push_back(&one);
    auto images = std::make_unique<ReplicaFiles>();
    EVERSTEP_TRY(images->open(files, options.replicas));
    const std::vector<ByteCount> sizes = images->sizes();
    ScratchFiles scratch(files);
    const auto layers = open_layers(scratch, stores, std::move(images));
    if (!layers.ok()) return layers.status();
    const Layer& top = layers->front();
    const auto point = point_of(*top.store, options.step);
    if (!point.ok()) return point.status();
    const auto view = top.store->view(*point);
    if (!view.ok()) return view.status();
    std::uint64_t total = 0;
    for (const ByteCount size : sizes) total += size.value();
    Progress progress(surroundings, total);
    ImageWriter writer({*top.store, *top.under}, *view, sizes);
    const auto written = write_images(files, options, writer, progress);
    progress.clear();
    if (!written.ok()) return written.status();
    if (options.json) {
        Value out = Value::map();
        out.set("timeline", point->timeline.hex());
        out.set("lsn", point->lsn.value());
        out.set("bytes", total);
        out.set("written", *written);
        surroundings.out << json_text(out) << '\n';
    } else {
        surroundings.out << fmt::format(
            "step {} of timeline {}: {} volumes, {} bytes, {} of them not zero\n",
            point->lsn.value(), point->timeline.hex(), sizes.size(), total, *written);
    }
    return {};
}

}  // namespace everstep::journal::tool
