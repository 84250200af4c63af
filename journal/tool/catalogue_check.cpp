#include "journal/tool/catalogue_check.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "journal/lmdb_catalogue.hpp"
#include "journal/scrub.hpp"
#include "journal/store.hpp"
#include "journal/tool/scratch_files.hpp"

namespace everstep::journal::tool {
namespace {

// Collects what the store would put into its catalogue.
class Collected final : public Catalogue {
  public:
    [[nodiscard]] Result<CatalogueContent> load(const Uuid& /*group*/) override {
        return Status(ErrorCode::not_found, "the segments are read");
    }
    [[nodiscard]] Status change(const Uuid& /*group*/, const CatalogueChange& change) override {
        content.state = change.state;
        for (const CatalogueEntry& entry : change.entries)
            content.entries.insert_or_assign(entry.number, entry);
        return {};
    }
    [[nodiscard]] Status clear() override { return {}; }
    [[nodiscard]] std::vector<Finding> check() override { return {}; }
    CatalogueContent content;
};

Finding finding_of(const DeadStore& store, std::string what) {
    Finding finding;
    finding.file = store.directory + "/catalogue";
    finding.what = std::move(what);
    return finding;
}

bool same(const CatalogueContent& a, const CatalogueContent& b, const Uuid& group) {
    return pack_catalogue_state(group, a.state) == pack_catalogue_state(group, b.state) &&
           std::equal(a.entries.begin(), a.entries.end(), b.entries.begin(), b.entries.end(),
                      [](const auto& left, const auto& right) {
                          return pack_entry(left.second) == pack_entry(right.second);
                      });
}

}  // namespace

Result<CatalogueContent> read_segments(io::FileSystem& files, const DeadStore& store) {
    ScratchFiles scratch(files);
    Collected collected;
    StoreOptions options;
    options.directory = store.directory;
    options.group = store.group;
    options.volume_bytes = any_volumes();
    options.catalogue = &collected;
    std::vector<std::string> report;
    const auto opened = Store::open(scratch, options, report);
    if (!opened.ok()) return opened.status();
    while ((*opened)->wants_tending())
        if (const auto done = (*opened)->tend(); !done.ok()) return done.status();
    return std::move(collected.content);
}

std::vector<Finding> check_catalogue(io::FileSystem& files, const DeadStore& store,
                                     const CatalogueContent& right) {
    LmdbCatalogue catalogue(files, store.directory);
    std::vector<Finding> findings = catalogue.check();
    const auto stored = catalogue.load(store.group);
    if (!stored.ok()) {
        const bool told = !findings.empty() || stored.status().code() == ErrorCode::not_found;
        if (!told) findings.push_back(finding_of(store, stored.status().message()));
        return findings;
    }
    for (const auto& [number, entry] : stored->entries) {
        const auto read = right.entries.find(number);
        // One that was dropped since is not believed, and goes with the next change.
        if (read == right.entries.end() || follows_from(entry, read->second)) continue;
        findings.push_back(finding_of(
            store,
            fmt::format("what it says of segment {:016x} is not what its files say", number)));
    }
    return findings;
}

Result<bool> rebuild_catalogue(io::FileSystem& files, const DeadStore& store,
                               const CatalogueContent& right) {
    LmdbCatalogue catalogue(files, store.directory);
    const auto stored = catalogue.load(store.group);
    if (stored.ok() && catalogue.check().empty() && same(*stored, right, store.group)) return false;
    EVERSTEP_TRY(catalogue.clear());
    if (right.entries.empty()) return stored.ok();
    CatalogueChange change;
    change.state = right.state;
    for (const auto& [number, entry] : right.entries) change.entries.push_back(entry);
    EVERSTEP_TRY(catalogue.change(store.group, change));
    return true;
}

}  // namespace everstep::journal::tool
