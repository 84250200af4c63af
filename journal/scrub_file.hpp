// The two kinds of files of a segment as the scrub checks them: what of a record must hold beside
// its checksums, and what is hit where it does not. Private to journal/.
//
// Thread: one owner.
// Invariants: findings are in the order of their places; the steps that a damage hits are bounded
// by the good frames before and behind it.
#pragma once

#include "journal/record_walk.hpp"
#include "journal/redo_scan.hpp"
#include "journal/scrub.hpp"

namespace everstep::journal {

class FileScrub {
  public:
    struct Of {
        io::FileSystem& files;
        const std::string& directory;
        FileKind kind = FileKind::redo;
        std::uint64_t segment = 0;
        ScrubFile known;
    };
    virtual ~FileScrub() = default;
    // closed: go_on said so.
    [[nodiscard]] Status run(const std::function<bool(ByteCount)>& go_on);
    [[nodiscard]] const std::vector<Finding>& findings() const { return findings_; }
    [[nodiscard]] bool clean() const { return clean_; }
    [[nodiscard]] bool sealed() const { return end_.sealed; }
    [[nodiscard]] const std::optional<CheckedHeader>& header() const { return header_; }
    [[nodiscard]] std::uint64_t salt() const {
        return header_ ? envelope_salt(header_->header.salt) : 0;
    }
    Finding& damage(std::uint64_t at, std::uint64_t length, std::string what);

  protected:
    explicit FileScrub(const Of& of);
    [[nodiscard]] const Of& of() const { return of_; }
    [[nodiscard]] std::vector<Finding>& found() { return findings_; }
    virtual void take(const WalkedRecord& record) = 0;                   // passes its checksums
    virtual void hit(const WalkedRecord& record, Finding& finding) = 0;  // does not
    virtual void lost(Finding& finding) = 0;                             // a range without a record
    virtual void ended() = 0;
    // A damage at the record's place; hit() says what it hits.
    void damage_at(const WalkedRecord& record, std::string what);

  private:
    [[nodiscard]] Result<std::unique_ptr<io::File>> open();
    [[nodiscard]] bool read_header_of(const io::File& file);
    void visit(const WalkedRecord& record);
    [[nodiscard]] WalkLimits limits() const;
    void check_end(const WalkEnd& end);

    Of of_;
    std::string path_;
    std::uint64_t size_ = 0;
    std::optional<CheckedHeader> header_;
    std::vector<Finding> findings_;
    bool clean_ = true;
    WalkEnd end_;
};

class RedoScrub final : public FileScrub {
  public:
    RedoScrub(const Of& of, const std::vector<TimelineInfo>& timelines);
    // No damage, and a head was there: everything that it says can be used.
    [[nodiscard]] bool whole() const { return clean() && scan_.begun(); }
    [[nodiscard]] RedoScan& scan() { return scan_; }
    [[nodiscard]] const RedoScan& scan() const { return scan_; }
    [[nodiscard]] const std::optional<HeadBody>& head() const { return head_; }

  private:
    void take(const WalkedRecord& record) override;
    void hit(const WalkedRecord& record, Finding& finding) override;
    void lost(Finding& finding) override;
    void ended() override {}
    void take_head(const WalkedRecord& record);
    void take_alone(const WalkedRecord& record);
    void take_frame(const WalkedRecord& record, const FrameRef& frame);
    void resolve(Lsn before);

    const std::vector<TimelineInfo>& timelines_;
    RedoScan scan_;
    std::optional<HeadBody> head_;
    std::optional<Lsn> newest_;         // the newest step known to be good
    std::optional<FrameRef> before_;    // the frame before, behind a damage
    std::vector<std::size_t> pending_;  // findings whose last step is not known yet
};

class UndoScrub final : public FileScrub {
  public:
    // `redo`: of the same segment; outlives it.
    UndoScrub(const Of& of, const RedoScrub& redo);
    [[nodiscard]] BeforeImageIndex& images() { return images_; }

  private:
    void take(const WalkedRecord& record) override;
    void hit(const WalkedRecord& record, Finding& finding) override;
    void lost(Finding& finding) override;
    void ended() override;
    void take_images(const WalkedRecord& record);
    [[nodiscard]] std::vector<GapExtent> without_image(Position to) const;

    const RedoScrub& redo_;
    BeforeImageIndex images_;
    Position imaged_to_;
    std::vector<std::size_t> unknown_;  // findings of which it is not known what they hit
};

}  // namespace everstep::journal
