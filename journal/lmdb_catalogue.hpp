// LmdbCatalogue: the catalogue in LMDB, in the store's directory on the machine's own file system.
//
// Thread: any; one at a time works, the others wait.
// Invariants
//  - LMDB has no checksums and trusts its file, so that a file is given to it only when its bytes
//  have the checksum that the state file beside it says; that file is gone, durably, while the copy
//  is changed, so that a change that was cut short is told from damage;
//  - there are two copies, `catalogue-0` and `catalogue-1`, written one behind the other and never
//  both at once: what ends in the middle of one leaves the other whole;
//  - nothing is open between two calls.
#pragma once

#include <mutex>

#include "journal/catalogue.hpp"

namespace everstep::journal {

class LmdbCatalogue final : public Catalogue {
  public:
    // `files` outlives it, and has to be the machine's own: LMDB opens the same paths by itself.
    LmdbCatalogue(io::FileSystem& files, std::string directory)
        : files_(files), directory_(std::move(directory)) {}
    // Of two whole copies, the newer one.
    [[nodiscard]] Result<CatalogueContent> load(const Uuid& group) override;
    // Also makes a copy new that is not whole, or older than the other. no_space, io: what was
    // before is still there.
    [[nodiscard]] Status change(const Uuid& group, const CatalogueChange& change) override;
    [[nodiscard]] Status clear() override;
    [[nodiscard]] std::vector<Finding> check() override;

  private:
    struct Sum;
    [[nodiscard]] std::string path_of(unsigned copy) const;
    [[nodiscard]] Result<Sum> sum_of(unsigned copy, std::uint64_t generation) const;
    // Of a copy that is whole. not_found: there is none, or it was being changed; corrupt.
    [[nodiscard]] Result<std::uint64_t> generation_of(unsigned copy) const;
    [[nodiscard]] Result<CatalogueContent> read_copy(unsigned copy, const Uuid& group) const;
    [[nodiscard]] Status write_copy(unsigned copy, const Uuid& group, const CatalogueChange& change,
                                    std::uint64_t generation);
    [[nodiscard]] Status remove_copy(unsigned copy);
    [[nodiscard]] Status remove_sum(unsigned copy);

    std::mutex mutex_;
    io::FileSystem& files_;
    std::string directory_;
};

// One of the catalogue's files, finished or not.
[[nodiscard]] bool is_catalogue_file(std::string_view name);

}  // namespace everstep::journal
