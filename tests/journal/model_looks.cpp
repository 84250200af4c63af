// Marks, exports, and comparing.
#include <algorithm>

#include "tests/journal/model_world.hpp"

namespace everstep::journal::lab {
namespace {

constexpr std::size_t kExportsMax = 4;

}  // namespace

void ModelWorld::put_mark() {
    Mark mark;
    mark.name = "mark-" + std::to_string(mark_number_++);
    mark.at = random_point();
    mark.pinned = pick(2) == 0;
    check(lab_.store->put_mark(mark), "put_mark");
    marks_[mark.name] = mark;
    EXPECT_EQ(lab_.store->put_mark(mark).code(), ErrorCode::exists);
}

void ModelWorld::drop_mark() {
    if (marks_.empty()) return;
    const std::string name =
        std::next(marks_.begin(), static_cast<std::ptrdiff_t>(pick(marks_.size())))->first;
    check(lab_.store->drop_mark(name), "drop_mark");
    marks_.erase(name);
    EXPECT_EQ(lab_.store->drop_mark(name).code(), ErrorCode::not_found);
}

void ModelWorld::open_export() {
    Export one{.at = random_point(), .view = {}, .hold = {}};
    if (pick(3) != 0) hold(one);
    const auto view = lab_.store->view(one.at);
    ASSERT_TRUE(view.ok()) << view.status().message();
    one.view = *view;
    if (exports_.size() == kExportsMax) exports_.erase(exports_.begin());
    exports_.push_back(std::move(one));
}

void ModelWorld::hold(Export& one) {
    auto hold = lab_.store->hold(one.at, pick(2) == 0 ? HoldKind::passing : HoldKind::lasting);
    ASSERT_TRUE(hold.ok()) << hold.status().message();
    one.hold = std::move(*hold);
}

void ModelWorld::end_holds() {
    const HoldKind kind = pick(2) == 0 ? HoldKind::passing : HoldKind::lasting;
    std::size_t held = 0;
    for (const Export& one : exports_) held += one.held() && one.hold->kind == kind ? 1 : 0;
    if (kind == HoldKind::lasting) held += written_.size();
    EXPECT_EQ(lab_.store->end_holds(kind), held);
    // Nothing is promised of what is written on a step that may go.
    while (kind == HoldKind::lasting && !written_.empty() && !failed()) drop_written();
}

void ModelWorld::read_exports() {
    for (const Export& one : exports_) {
        if (is_kept(one.at)) {
            read_export(one);
            check_status(one);
        } else {
            std::vector<std::byte> bytes(kSectorBytes);
            EXPECT_EQ(lab_.store->read(one.view, lab_.replica, VolumeIndex(0), ByteOffset(0), bytes)
                          .code(),
                      ErrorCode::refused);
        }
        if (failed()) return;
    }
}

// A client's read, some sectors somewhere; or a move's, several of them at once.
void ModelWorld::read_export(const Export& one) {
    const std::size_t v = pick(2);
    const std::uint64_t sectors = kSizes[v].value() / kSectorBytes;
    std::vector<Image> found(1 + pick(3) * pick(2));
    std::vector<io::ReadOp> ops;
    for (Image& image : found) {
        const std::uint64_t first = pick(sectors);
        image.assign((1 + pick(sectors - first)) * kSectorBytes, std::byte{0xee});
        ops.push_back({ByteOffset(first * kSectorBytes), image});
    }
    check(ops.size() == 1
              ? lab_.store->read(one.view, lab_.replica, VolumeIndex(v), ops[0].offset, ops[0].to)
              : lab_.store->read(one.view, lab_.replica, VolumeIndex(v), ops),
          "read of an export");
    const Image& wanted = image(one.at)[v];
    for (const auto& [offset, content] : ops)
        ASSERT_TRUE(std::equal(content.begin(), content.end(),
                               wanted.begin() + static_cast<std::ptrdiff_t>(offset.value())))
            << "an export of step " << one.at.lsn.value() << " of volume " << v;
}

// What it calls zeroes are zeroes, in order and without a hole between.
void ModelWorld::check_status(const Export& one) {
    const std::size_t v = pick(2);
    const Image& wanted = image(one.at)[v];
    std::uint64_t at = pick(kSizes[v].value() / kSectorBytes) * kSectorBytes;
    const auto extents =
        lab_.store->block_status(one.view, lab_.replica, VolumeIndex(v), ByteOffset(at),
                                 ByteCount(kSizes[v].value() - at), 1 + pick(20));
    ASSERT_TRUE(extents.ok()) << extents.status().message();
    ASSERT_FALSE(extents->empty());
    for (const auto& e : *extents) {
        const std::uint64_t end = at + e.length;
        ASSERT_LE(end, kSizes[v].value());
        const bool zeroes = std::all_of(wanted.begin() + static_cast<std::ptrdiff_t>(at),
                                        wanted.begin() + static_cast<std::ptrdiff_t>(end),
                                        [](std::byte b) { return b == std::byte{0}; });
        ASSERT_TRUE(zeroes || !e.zero) << "zeroes at " << at << " of step " << one.at.lsn.value();
        at = end;
    }
}

// The steps of a path that are kept, newest first, each found again by its time. History begins at
// the oldest, which is none of its steps; and what lies inside a gap may be listed.
void ModelWorld::walk() {
    const Point at = random_point();
    const View view = *lab_.store->view(at);
    const std::size_t n = number_of(at.timeline);
    std::set<Lsn> expected;
    for (Lsn lsn(0); lsn <= at.lsn; ++lsn)
        if (is_kept(n, lsn)) expected.insert(lsn);
    expected.erase(expected.begin());
    Lsn last = at.lsn + 1;
    std::vector<StepInfo> all;
    const Status walked = lab_.store->each_step(view, Lsn(0), {}, [&](const StepInfo& step) {
        all.push_back(step);
        EXPECT_LT(step.lsn, last);
        last = step.lsn;
        EXPECT_TRUE(expected.erase(step.lsn) == 1 || !is_point(n, step.lsn)) << step.lsn.value();
        const auto found = lab_.store->step_at_time(view, step.step_time);
        EXPECT_TRUE(found.ok() && *found == step.lsn) << step.lsn.value();
        return !failed();
    });
    check(walked, "each_step");
    if (failed()) return;
    EXPECT_TRUE(expected.empty()) << "not listed: step " << expected.begin()->value();
    for (int i = 0; i < 3 && !failed(); ++i) list_some(view, all);
}

// What of all steps of a path writes in some place, as a look at each of them tells.
void ModelWorld::list_some(const View& view, const std::vector<StepInfo>& all) {
    const auto& sizes = lab_.options.volume_bytes;
    StepFilter filter;
    if (pick(3) != 0) filter.volume = VolumeIndex(pick(sizes.size()));
    if (pick(4) != 0) {
        filter.offset = ByteOffset(pick(sizes[0].value() * 5 / 4));
        filter.length = ByteCount(1 + pick(pick(2) == 0 ? 2 * kSectorBytes : sizes[0].value()));
    }
    const auto writes_there = [&](const StepInfo& step) {
        const std::uint64_t begin = step.offset.value();
        const std::uint64_t end = begin + step.length.value();
        const std::uint64_t from = filter.offset.value();
        const bool meets = !filter.length || (begin < from + filter.length->value() && from < end);
        return end > begin && meets && (!filter.volume || step.volume == *filter.volume);
    };
    std::vector<Lsn> wanted;
    for (const StepInfo& step : all)
        if (!filter.any() || writes_there(step)) wanted.push_back(step.lsn);
    std::vector<Lsn> found;
    check(lab_.store->each_step(view, Lsn(0), filter,
                                [&](const StepInfo& step) {
                                    found.push_back(step.lsn);
                                    return true;
                                }),
          "each_step with a filter");
    EXPECT_EQ(found, wanted) << "offset " << filter.offset.value() << " length "
                             << (filter.length ? filter.length->value() : 0);
}

void ModelWorld::compare_some() {
    for (int i = 0; i < 4 && !failed(); ++i) {
        const Point at = random_point();
        ASSERT_EQ(lab_.compare(at, image(at)), "");
        const auto tip = lab_.store->tip_at(at);
        ASSERT_TRUE(tip.ok()) << tip.status().message();
        const Tip& wanted = lines_[number_of(at.timeline)]->tip_at(at.lsn);
        ASSERT_TRUE(tip->seq == wanted.seq && tip->hash == wanted.hash) << at.lsn.value();
    }
}

void ModelWorld::check_facts() {
    std::map<std::string, Mark> marks;
    for (const Mark& mark : lab_.store->marks()) marks[mark.name] = mark;
    EXPECT_EQ(marks.size(), marks_.size());
    for (const auto& [name, mark] : marks_) {
        EXPECT_EQ(marks[name].at, mark.at) << name;
        EXPECT_EQ(marks[name].pinned, mark.pinned) << name;
    }
    const ReplicaState replica = lab_.store->replica();
    EXPECT_EQ(replica.held, held_.has_value());
    EXPECT_EQ(replica.held_at, held_.value_or(Point()));
    EXPECT_EQ(lab_.store->timelines().size(), lines_.size());
}

// What can be read is what the model says, no less and no more.
void ModelWorld::check_points() {
    for (const auto& line : lines_)
        for (Lsn lsn(0); lsn <= line->head(); ++lsn) {
            const Point at{line->timeline().id, lsn};
            ASSERT_EQ(sees(at), is_kept(at)) << "step " << lsn.value();
        }
    for (const Thinned& span : lab_.store->thinned()) {
        const std::size_t n = number_of(span.to.timeline);
        ASSERT_TRUE(is_kept(span.from) && is_kept(span.to)) << span.to.lsn.value();
        for (Lsn lsn = span.from.lsn + 1; lsn < span.to.lsn; ++lsn)
            ASSERT_FALSE(is_kept(n, lsn)) << "thinned step " << lsn.value();
    }
}

void ModelWorld::compare_all() {
    sync();
    check_facts();
    check_points();
    for (const auto& line : lines_)
        for (Lsn lsn(0); lsn <= line->head() && !failed(); ++lsn) {
            const Point at{line->timeline().id, lsn};
            if (!is_kept(at)) continue;
            ASSERT_EQ(lab_.compare(at, line->image(lsn)), "");
        }
    if (!failed()) compare_branches();
    if (!failed()) append_again();
}

// What is stored is dropped; what is gone does not come back.
void ModelWorld::append_again() {
    const Tip tip = lab_.store->tip();
    for (const FramePtr& frame : kept_) {
        const Status again = lab_.store->append({&frame, 1});
        ASSERT_TRUE(again.ok() || !is_stored(*frame)) << again.message();
    }
    ASSERT_EQ(lab_.store->tip(), tip);
    check_points();
}

// Between two kept steps there may be no other one, and still no frame is left there.
bool ModelWorld::is_stored(const SealedFrame& frame) const {
    if (!took_some()) return true;
    const FrameHeader& header = frame.header();
    if (header.first_lsn > header.last_lsn) return false;  // it may have gone with its segment
    const std::size_t n = number_of(header.timeline);
    for (Lsn lsn = header.first_lsn - 1; lsn <= header.last_lsn; ++lsn)
        if (!is_kept(n, lsn)) return false;
    const std::vector<Thinned> thinned = lab_.store->thinned();
    return std::none_of(thinned.begin(), thinned.end(), [&](const Thinned& span) {
        return span.to.timeline == header.timeline && span.from.lsn < header.first_lsn &&
               header.first_lsn <= span.to.lsn;
    });
}

}  // namespace everstep::journal::lab
