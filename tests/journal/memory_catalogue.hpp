// MemoryCatalogue: a catalogue that remembers each of its states, so that a test can open a store
// with any older one, as a crash before the newest would leave it.
#pragma once

#include <memory>

#include "journal/catalogue.hpp"

namespace everstep::journal::lab {

class MemoryCatalogue final : public Catalogue {
  public:
    using States = std::vector<std::shared_ptr<const CatalogueContent>>;
    MemoryCatalogue() = default;
    explicit MemoryCatalogue(States states) : states_(std::move(states)) {}
    [[nodiscard]] Result<CatalogueContent> load(const Uuid& /*group*/) override {
        loads += 1;
        if (states_.empty()) return Status(ErrorCode::not_found, "there is no catalogue");
        return *states_.back();
    }
    [[nodiscard]] Status change(const Uuid& /*group*/, const CatalogueChange& change) override {
        CatalogueContent next = states_.empty() ? CatalogueContent() : *states_.back();
        next.state = change.state;
        for (const CatalogueEntry& entry : change.entries) {
            // As it is stored.
            const auto stored = unpack_entry(pack_entry(entry));
            if (!stored) return {ErrorCode::internal, "an entry that cannot be read again"};
            next.entries.insert_or_assign(entry.number, *stored);
        }
        for (const std::uint64_t number : change.gone) next.entries.erase(number);
        states_.push_back(std::make_shared<const CatalogueContent>(std::move(next)));
        return {};
    }
    [[nodiscard]] Status clear() override {
        states_.clear();
        clears += 1;
        return {};
    }
    [[nodiscard]] std::vector<Finding> check() override { return {}; }
    // The newest `count` changes never happened.
    void go_back(std::size_t count) {
        states_.resize(states_.size() - std::min(count, states_.size()));
    }
    [[nodiscard]] std::size_t changes() const { return states_.size(); }
    [[nodiscard]] const States& states() const { return states_; }
    std::size_t loads = 0;
    std::size_t clears = 0;

  private:
    States states_;
};

}  // namespace everstep::journal::lab
