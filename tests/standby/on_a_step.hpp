// What the tests of branches share: a standby whose branches' files may fail.
#pragma once

#include <gtest/gtest.h>

#include <future>

#include "checks.hpp"
#include "faulty_files.hpp"
#include "standby/branches.hpp"

namespace everstep::standby::testing {

class OnAStep : public ::testing::Test {
  protected:
    void begin(journal::KeepLimits keep = {}, ByteCount reserve = ByteCount(0)) {
        scene_ = std::make_unique<Scene>(directory_.path(), group_,
                                         SceneOptions{.files = &files_,
                                                      .segment_bytes = ByteCount(64U << 10),
                                                      .keep = keep,
                                                      .reserve_bytes = reserve});
        ASSERT_OK(scene_->open());
        for (const VolumeFile& volume : scene_->volumes()) sizes_.push_back(volume.size);
        maker_ = std::make_unique<HistoryMaker>(group_, sizes_, test_seed());
        ASSERT_OK(scene_->begin(maker_->timeline()));
    }
    void push(int frames) {
        for (int i = 0; i < frames; ++i) scene_->push(maker_->frame());
        ASSERT_TRUE(scene_->wait_applied(maker_->head()));
    }
    Status make(const std::string& id, Point base, std::shared_ptr<Branch>& branch) {
        Status status;
        scene_->thread().on([&] {
            Branches& branches = scene_->standby().branches();
            BranchRecord record;
            record.id = id;
            record.base = base;
            record.volumes = {"data"};
            auto made = branches.make(record, {base, branches.holder(base.timeline)});
            status = made.status();
            if (made.ok()) branch = *made;
        });
        return status;
    }
    std::shared_ptr<Branch> find(const std::string& id) {
        std::shared_ptr<Branch> branch;
        scene_->thread().on([&] { branch = scene_->standby().branches().find(id); });
        return branch;
    }
    Status drop(const std::string& id) {
        Status status;
        scene_->thread().on([&] { status = scene_->standby().branches().drop(id); });
        return status;
    }
    // Appended and synced; `writer` has followed the branch's timeline.
    static void write(Branch& branch, HistoryMaker& writer, int frames) {
        for (int i = 0; i < frames; ++i) {
            std::promise<Status> done;
            branch.append_local(writer.frame(),
                                [&](const Status& status) { done.set_value(status); });
            ASSERT_OK(done.get_future().get());
        }
        std::promise<Status> synced;
        branch.sync_local([&](const Status& status) { synced.set_value(status); });
        ASSERT_OK(synced.get_future().get());
    }
    HistoryMaker writer_on(const Branch& branch, const HistoryMaker& below) {
        HistoryMaker writer = below;
        writer.follow(branch.store().timelines().back());
        return writer;
    }
    void expect_all(const Branch& branch, const HistoryMaker& writer) {
        for (const Point at : writer.points()) {
            if (!branch.owns(at.timeline)) continue;
            EXPECT_IMAGE(read_step(branch, sizes_, at), writer.image(at));
        }
    }
    // Each step that can be read is what was written; `missing`: those that cannot be found.
    void expect_nothing_wrong(const Branch& branch, const HistoryMaker& writer,
                              const std::string& what, int& missing) {
        for (const Point point : writer.points()) {
            if (!branch.owns(point.timeline)) continue;
            const auto view = branch.store().view(point);
            if (!view.ok()) {
                ++missing;
                continue;
            }
            for (std::size_t v = 0; v < sizes_.size(); ++v) {
                std::vector<std::byte> found(sizes_[v].value());
                const Status read = branch.store().read(*view, branch.replica(), VolumeIndex(v),
                                                        ByteOffset(0), found);
                EXPECT_TRUE(!read.ok() || found == writer.image(point)[v]) << what;
            }
        }
    }
    [[nodiscard]] std::string path_of(const std::string& id) const {
        return directory_.path() + "/branches/" + id;
    }

    const TempDirectory directory_;
    FaultyFiles files_{io::system_files(), "/branches"};
    const Uuid group_ = Uuid::random();
    std::vector<ByteCount> sizes_;
    std::unique_ptr<Scene> scene_;
    std::unique_ptr<HistoryMaker> maker_;
};

}  // namespace everstep::standby::testing
