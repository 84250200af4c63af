// A node that starts again on what a power cut left, and everything that has to hold then: each
// promise, each step that can be reached, the replica, what is stored of before-images; then it
// goes on, as after any start, and everything has to hold again.
//
// Thread: one.
#pragma once

#include "tests/power/node.hpp"

namespace everstep::power {

// What was seen: a run in which one of them stays zero has not tested what it says.
struct Figures {
    std::uint64_t recoveries = 0;
    std::uint64_t second = 0;  // of a recovery that was cut itself
    std::uint64_t killed = 0;  // a process that ended, whose start was cut then
    std::uint64_t steps_compared = 0;
    std::uint64_t without_history = 0;
    std::uint64_t half_applied = 0;  // low < high
    std::uint64_t torn_tails = 0;
    std::uint64_t held = 0;
    std::uint64_t branches = 0;           // more than one line
    std::uint64_t gaps = 0;               // an open one
    std::uint64_t segment_begun = 0;      // a file under an unfinished name
    std::uint64_t recycled_files = 0;     // begun over old records
    std::uint64_t image_not_replica = 0;  // before-images durable, replica not yet written
    std::uint64_t retention = 0;          // while something was dropped or condensed
    std::uint64_t retention_done = 0;     // of these: what went is gone
    std::uint64_t dropped = 0;            // behind that
    std::uint64_t thinned = 0;            // with condensed segments
    std::uint64_t pooled = 0;             // with files that wait to be used again
    std::uint64_t catalogued = 0;         // opened by a catalogue that describes a segment
    std::uint64_t catalogue_old = 0;      // of these: not by the newest one
};

class Restart {
  public:
    struct Setup {
        const Past& past;
        const NodeOptions& node;
        Promise promise;
        Figures& figures;
    };
    Restart(MemoryDisk& disk, Setup setup, std::uint64_t seed)
        : disk_(disk),
          past_(setup.past),
          sizes_(setup.node.sizes),
          promise_(std::move(setup.promise)),
          figures_(setup.figures),
          random_(seed),
          catalogue_(some_of(promise_.catalogue)),
          node_(disk, catalogue_, setup.node) {}
    // Empty, or what does not hold.
    [[nodiscard]] std::string run();
    // What the notes of its own log name.
    [[nodiscard]] const std::vector<Promise>& promises() const { return promises_; }

  private:
    // What a crash may have left of the catalogue: any of its states, or none.
    [[nodiscard]] journal::lab::MemoryCatalogue::States some_of(
        journal::lab::MemoryCatalogue::States states);
    [[nodiscard]] std::string open();
    void count_retention();
    [[nodiscard]] std::string check_promise();
    [[nodiscard]] std::string check_marks();
    [[nodiscard]] std::string compare_all(std::uint64_t one_in);
    struct Going {  // of what retention was at
        std::size_t there = 0;
        std::size_t gone = 0;
    };
    [[nodiscard]] std::string compare_line(std::size_t n, std::uint64_t one_in, Going& going);
    [[nodiscard]] std::string compare_step(const Point& point, const journal::View& view);
    [[nodiscard]] std::string check_raw(const char* when);
    [[nodiscard]] std::string recover();
    [[nodiscard]] std::string go_on();
    [[nodiscard]] std::string resend(std::uint64_t count);
    [[nodiscard]] const PastGap* gap_ahead();
    [[nodiscard]] std::string end_gap(const PastGap& gap);
    [[nodiscard]] std::string travel();
    [[nodiscard]] std::string check_images();
    void promise();

    MemoryDisk& disk_;
    const Past& past_;
    const std::vector<ByteCount>& sizes_;
    Promise promise_;
    Figures& figures_;
    std::mt19937_64 random_;
    journal::lab::MemoryCatalogue catalogue_;
    Node node_;
    std::vector<Promise> promises_;
};

}  // namespace everstep::power
