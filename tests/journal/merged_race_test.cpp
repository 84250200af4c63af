// Merges on one thread while another takes over lines and opens and ends gaps, a third damages the
// merged indexes under the store, and readers look: every step is the one that was asked for.
#include <atomic>
#include <filesystem>
#include <mutex>
#include <thread>

#include <gtest/gtest.h>

#include "journal/finding.hpp"
#include "journal/scrub.hpp"
#include "journal/segment_header.hpp"
#include "tests/journal/keep_lab.hpp"

namespace everstep::journal::lab {
namespace {

constexpr std::uint64_t kBlocks = 32;

// As it was when history began; nothing is applied.
class ZeroReplica final : public ReplicaReader {
  public:
    [[nodiscard]] Status read(VolumeIndex, ByteOffset, MutableBytes to) const override {
        std::fill(to.begin(), to.end(), std::byte{0});
        return {};
    }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(VolumeIndex, ByteOffset offset,
                                                              ByteCount length) const override {
        return std::vector<io::DataExtent>{{offset, length, false}};
    }
};

class MergedRace {
  public:
    explicit MergedRace(std::uint64_t seed) : rnd_(seed) {
        lab_.options.whole_index_bytes = ByteCount(0);
        lab_.begin();
    }
    void run() {
        std::vector<std::thread> beside;
        for (std::uint64_t n = 0; n < 2; ++n) beside.emplace_back([this, n] { read_steps(n + 1); });
        beside.emplace_back([this] {
            while (!done_ && !testing::Test::HasFailure()) {
                tend();
                std::this_thread::yield();
            }
        });
        beside.emplace_back([this] { damage(); });
        std::thread([this] { write(); }).join();
        done_ = true;
        for (std::thread& one : beside) one.join();
        check_all();
        for (int n = 0; n < 2; ++n) {  // what no look-up has come upon is found by opening
            lab_.reopen();
            tend();
        }
        for (const Finding& one : lab_.store->check_derived())
            ADD_FAILURE() << one.file << ": " << one.what;
        check_all();
    }
    [[nodiscard]] std::uint64_t reads() const { return reads_; }
    [[nodiscard]] std::uint64_t damaged() const { return damaged_; }

  private:
    struct Known {
        Point at;
        const std::vector<Image>* image;
    };
    static void must(const Status& status) {
        if (!status.ok()) ADD_FAILURE() << status.message();
    }
    Primary& line() { return *lines_.back(); }
    void publish(Lsn after) {
        must(lab_.store->sync());
        const std::lock_guard guard(mutex_);
        for (Lsn lsn = after + 1; lsn <= line().head(); lsn = lsn + 1)
            known_.push_back({{line().timeline().id, lsn}, &line().image(lsn)});
    }
    void append() {
        const FramePtr frame =
            line().frame({KeepLab::write(rnd_() % kBlocks), KeepLab::write(rnd_() % kBlocks)});
        must(lab_.store->append({&frame, 1}));
    }
    void write() {
        lines_.push_back(
            std::make_unique<Primary>(lab_.options.group, kKeepLine, lab_.options.volume_bytes));
        for (std::uint8_t n = 2; n < 5 && !testing::Test::HasFailure(); ++n) {
            const Lsn began = line().head();
            for (int frames = 0; frames < 14; ++frames) {
                const Lsn before = line().head();
                append();
                publish(before);
                if (rnd_() % 12 == 0) pass_gap();
            }
            if (n == 4) break;
            const Lsn branch = line().head() - rnd_() % (line().head() - began);
            const std::lock_guard guard(mutex_);
            if (!is_known({line().timeline().id, branch})) continue;  // inside a gap
            lines_.push_back(std::make_unique<Primary>(line(), test_uuid(n), branch));
            must(lab_.store->append_timeline(line().timeline()));
        }
    }
    bool is_known(const Point& at) const {
        return std::any_of(known_.begin(), known_.end(),
                           [&](const Known& one) { return one.at == at; });
    }
    void pass_gap() {
        must(lab_.store->open_gap({line().timeline().id, line().head()}, "overflow"));
        append();
        FrameEntry entry;
        entry.lsn = line().head();
        entry.offset = ByteOffset(rnd_() % kBlocks * kBlockBytes);
        entry.length = ByteCount(kBlockBytes);
        FrameBuilder builder;
        builder.add(entry, Bytes(line().now[0]).subspan(entry.offset.value(), kBlockBytes));
        FrameHeader header;
        header.kind = FrameKind::resync;
        header.group = lab_.options.group;
        header.timeline = line().timeline().id;
        header.first_lsn = header.last_lsn = entry.lsn;
        header.sub_first = 1;
        must(lab_.store->append_resync(builder.seal(header)));
        append();
        must(lab_.store->close_gap({line().timeline().id, line().head()}));
        publish(line().head() - 1);
    }
    void tend() {
        for (int n = 0; n < 2000 && lab_.store->wants_tending(); ++n)
            must(lab_.store->tend().status());
    }
    // Cut off, gone, another one's, or with a bit that flipped.
    void damage() {
        std::mt19937_64 rnd(7);
        namespace fs = std::filesystem;
        while (!done_ && !testing::Test::HasFailure()) {
            std::vector<fs::path> files;
            std::error_code gone;
            for (const auto& entry : fs::directory_iterator(lab_.options.directory, gone))
                if (parse_file_name(FileKind::merged_index, entry.path().filename().string()))
                    files.push_back(entry.path());
            if (files.size() > 1) {
                const fs::path& one = files[rnd() % files.size()];
                const fs::path& other = files[rnd() % files.size()];
                const fs::path beside = lab_.directory.file("beside");
                switch (rnd() % 4) {
                    case 0:
                        fs::remove(one, gone);
                        break;
                    case 1:
                        fs::resize_file(one, rnd() % 9000, gone);
                        break;
                    case 2:
                        fs::copy_file(other, beside, fs::copy_options::overwrite_existing, gone);
                        if (!gone) fs::rename(beside, one, gone);
                        break;
                    default:
                        if (std::string bytes = content_of(one); !bytes.empty()) {
                            bytes[rnd() % bytes.size()] ^= 4;
                            put_content(one, bytes);
                        }
                }
                ++damaged_;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(3));
        }
    }
    void check(const Known& one) {
        Image found(lab_.options.volume_bytes[0].value());
        const auto view = lab_.store->view(one.at);
        if (!view.ok()) return must(view.status());
        must(lab_.store->read(*view, replica_, VolumeIndex(0), ByteOffset(0), found));
        if (found != (*one.image)[0])
            ADD_FAILURE() << "not step " << one.at.lsn.value() << " of " << one.at.timeline.hex();
    }
    void read_steps(std::uint64_t seed) {
        std::mt19937_64 rnd(seed);
        while (!done_ && !testing::Test::HasFailure()) {
            std::optional<Known> one;
            {
                const std::lock_guard guard(mutex_);
                if (!known_.empty()) one = known_[rnd() % known_.size()];
            }
            if (!one) continue;
            check(*one);
            ++reads_;
        }
    }
    void check_all() {
        for (const Known& one : known_) check(one);
    }

    std::mt19937_64 rnd_;
    KeepLab lab_;
    const ZeroReplica replica_;
    std::vector<std::unique_ptr<Primary>> lines_;
    std::mutex mutex_;
    std::vector<Known> known_;
    std::atomic<bool> done_{false};
    std::atomic<std::uint64_t> reads_{0};
    std::atomic<std::uint64_t> damaged_{0};
};

TEST(MergedRace, TakeoversGapsAndDamageBesideMerges) {
    MergedRace race(seed_of("MergedRace", 9));
    race.run();
    EXPECT_GT(race.reads(), 0U);
    EXPECT_GT(race.damaged(), 0U);
}

}  // namespace
}  // namespace everstep::journal::lab
