#include "tests/sim/expectation.hpp"

#include <algorithm>

namespace everstep::sim {

Expectation::Expectation(const std::vector<ByteCount>& sizes) {
    for (const ByteCount size : sizes)
        versions_.emplace_back(size.value() / kSectorBytes, Versions{Version()});
}

void Expectation::begun(std::uint64_t operation, const SectorRange& range, bool zero) {
    for (std::uint64_t s = 0; s < range.count; ++s)
        versions_[range.volume][range.first + s].push_back(
            {operation, zero, State::pending, false, false});
}

template <class Change>
void Expectation::change(std::uint64_t operation, const SectorRange& range, Change change) {
    for (std::uint64_t s = 0; s < range.count; ++s) {
        Versions& versions = versions_[range.volume][range.first + s];
        for (Version& version : versions)
            if (version.operation == operation) change(version);
        prune(versions);
    }
}

void Expectation::answered(std::uint64_t operation, const SectorRange& range, bool kept) {
    change(operation, range, [kept](Version& version) {
        const bool there = !version.exposed || (kept && version.keepable);
        version.state = there ? State::answered : State::unknown;
        version.kept = kept;
    });
}

void Expectation::unanswered(std::uint64_t operation, const SectorRange& range) {
    change(operation, range, [](Version& version) { version.state = State::unknown; });
}

void Expectation::flushed(std::uint64_t volume, const std::vector<std::uint64_t>& before) {
    for (Versions& versions : versions_[volume]) {
        for (Version& version : versions)
            if (std::binary_search(before.begin(), before.end(), version.operation))
                version.flushed = true;
        prune(versions);
    }
}

// What lies below an answered one that nothing can lose.
void Expectation::prune(Versions& versions) {
    for (std::size_t i = versions.size(); i-- > 1;) {
        const Version& one = versions[i];
        if (one.state != State::answered || !one.flushed || !one.kept) continue;
        versions.erase(versions.begin(), versions.begin() + static_cast<std::ptrdiff_t>(i));
        return;
    }
}

void Expectation::lose(const std::function<bool(const Version&)>& safe) {
    for (auto& volume : versions_)
        for (Versions& versions : volume)
            for (Version& version : versions) {
                if (version.state == State::answered && !safe(version))
                    version.state = State::unknown;
                if (version.state != State::pending) continue;
                Version kept = version;
                kept.kept = true;
                version.exposed = true;
                version.keepable = version.keepable && safe(kept);
            }
}

void Expectation::device_lost(bool kept_too) {
    lose([kept_too](const Version& one) { return one.flushed || (one.kept && !kept_too); });
}

void Expectation::taken_over() {
    lose([](const Version& one) { return one.kept; });
}

std::string Expectation::check(std::uint64_t volume, std::uint64_t sector, Bytes content) const {
    const std::string where =
        "volume " + std::to_string(volume) + " sector " + std::to_string(sector);
    const std::optional<Stamp> found = stamp_of(content);
    if (!found) return where + ": bytes that were never written";
    if (found->operation != 0 && (found->volume != volume || found->sector != sector))
        return where + ": holds sector " + std::to_string(found->sector) + " of volume " +
               std::to_string(found->volume);
    const Versions& versions = versions_[volume][sector];
    std::string wanted;
    for (auto at = versions.rbegin(); at != versions.rend(); ++at) {
        if ((at->zero ? 0 : at->operation) == found->operation) return {};
        wanted += ' ' + std::to_string(at->operation) + (at->zero ? "z" : "");
        if (at->state == State::answered) break;
    }
    return where + ": holds operation " + std::to_string(found->operation) + ", wanted one of" +
           wanted;
}

}  // namespace everstep::sim
