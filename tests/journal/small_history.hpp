// A history of several segments on disk, applied but for its end, its replica as files, and every
// byte of it as it was when the node died: what the tests of scrub and of everstep-journal look at.
#pragma once

#include <gtest/gtest.h>

#include "tests/journal/store_lab.hpp"

namespace everstep::journal::lab {

inline const TimelineId kSmallLine = test_uuid(1);
inline const TimelineId kSmallBranch = test_uuid(2);

class SmallHistory {
  public:
    explicit SmallHistory(std::uint64_t seed);
    [[nodiscard]] std::string store_path() const { return lab.options.directory; }
    [[nodiscard]] std::string path(const std::string& name) const {
        return store_path() + "/" + name;
    }
    // The volumes' images; written once.
    [[nodiscard]] const std::vector<std::string>& replica_files();
    // Name and content of every file of the store.
    [[nodiscard]] std::map<std::string, std::string> content() const;
    // The model's image of a step on the old line or on the branch.
    [[nodiscard]] const std::vector<Image>& image(const Point& point) const;

    StoreLab lab;
    Primary primary;
    std::unique_ptr<Primary> branch;
    Lsn branch_lsn;

  private:
    void put(Primary& line);
    std::mt19937_64 rnd_;
    std::vector<std::string> replicas_;
};

}  // namespace everstep::journal::lab
