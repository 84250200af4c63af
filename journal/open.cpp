// Opening and dropping a store.
#include "journal/recovery.hpp"

namespace everstep::journal {
namespace {

Status check_options(const StoreOptions& options) {
    if (options.volume_bytes.empty() || options.volume_bytes.size() > kRangeVolumesMax)
        return {ErrorCode::usage, "a store needs between 1 and 4096 volumes"};
    for (const ByteCount size : options.volume_bytes)
        if (size.value() % kSectorBytes != 0 || size.value() / kSectorBytes >= kRangeUnitsMax)
            return {ErrorCode::too_large, "a volume of " + std::to_string(size.value()) +
                                              " bytes: not whole sectors, or over 2^57 bytes"};
    return {};
}

// As many files as may be open, the newest first, so that the first read of a step is as quick as
// the later ones, however many there are.
void open_files(const Store::Impl& s) {
    std::vector<FixedSegment> fixed;
    const auto& segments = s.history.segments();
    for (auto one = segments.rbegin(); one != segments.rend(); ++one) {
        const Segment& segment = **one;
        if (segment.fixed() && segment.index == nullptr) fixed.push_back(fixed_of(segment));
        s.cache.open_ahead(segment.number);
    }
    s.indexes.open_ahead(s.history.merged(), fixed);
}

}  // namespace

Result<std::unique_ptr<Store>> Store::open(io::FileSystem& files, const StoreOptions& options,
                                           std::vector<std::string>& report) {
    EVERSTEP_TRY(check_options(options));
    EVERSTEP_TRY(files.make_directory(options.directory));
    auto lock = lock_store(files, options.directory);
    if (!lock.ok()) return lock.status();
    std::unique_ptr<Store> store(new Store());
    store->impl_ = std::make_unique<Impl>(files, options);
    EVERSTEP_TRY(store->impl_->pool.open());
    Recovery recovery(*store->impl_, report);
    Status status = recovery.run_by_catalogue();
    if (!status.ok() && recovery.by_catalogue()) {
        report.push_back(status.message() + "; the catalogue is dropped, all segments are read");
        EVERSTEP_TRY(options.catalogue->clear());
        store->impl_ = std::make_unique<Impl>(files, options);
        EVERSTEP_TRY(store->impl_->pool.open());
        status = Recovery(*store->impl_, report).run();
    }
    if (!status.ok()) {
        report.push_back(status.message());
        return status;
    }
    store->impl_->lock_file = std::move(*lock);
    open_files(*store->impl_);
    return store;
}

Status Store::wipe(io::FileSystem& files, const std::string& directory) {
    const auto there = files.exists(directory);
    if (!there.ok()) return there.status();
    if (!*there) return {};
    const auto lock = lock_store(files, directory);
    if (!lock.ok()) return lock.status();
    const std::string marker = directory + "/" + kWipeMarker;
    const auto marked = files.exists(marker);
    if (!marked.ok()) return marked.status();
    if (!*marked) {
        const auto made = files.open(marker, {.mode = io::OpenMode::create});
        if (!made.ok()) return made.status();
        EVERSTEP_TRY((*made)->sync());
        EVERSTEP_TRY(files.sync_directory(directory));
    }
    return remove_store_files(files, directory);
}

}  // namespace everstep::journal
