#include "tests/power/power_cut.hpp"

#include <algorithm>

namespace everstep::power {
namespace {

constexpr std::uint64_t kSectorBytesTorn = 512;

using Random = std::mt19937_64;

// Contents that are being changed, so that each is copied once.
class Editor {
  public:
    explicit Editor(DiskState& state) : state_(state) {}
    ~Editor() {
        for (auto& [id, content] : changed_)
            state_.files[id] = std::make_shared<const Content>(std::move(content));
    }
    Editor(const Editor&) = delete;
    Editor& operator=(const Editor&) = delete;
    Content& content(FileId id) {
        const auto found = changed_.find(id);
        if (found != changed_.end()) return found->second;
        const auto before = state_.files.find(id);
        return changed_[id] = before == state_.files.end() ? Content() : *before->second;
    }

  private:
    DiskState& state_;
    std::map<FileId, Content> changed_;
};

void change_name(DiskState& state, const DiskOp& op) {
    if (op.kind == DiskOp::Kind::create) {
        state.names[op.name] = op.file;
    } else if (op.kind == DiskOp::Kind::remove) {
        state.names.erase(op.name);
    } else if (const auto from = state.names.find(op.from); from != state.names.end()) {
        state.names[op.name] = from->second;
        state.names.erase(op.from);
    }
}

// A sector behind the end of the file is not there: its size was not.
void put(Content& content, const DiskOp& op, std::uint64_t from, std::uint64_t to) {
    to = std::min<std::uint64_t>(to, content.size());
    for (std::uint64_t at = from; at < to; ++at)
        content[at] = op.data.empty() ? std::byte{0} : op.data[at - op.offset];
}

void happen(DiskState& state, Editor& editor, const DiskOp& op) {
    switch (op.kind) {
        case DiskOp::Kind::write:
            put(editor.content(op.file), op, op.offset, op.offset + op.length);
            break;
        case DiskOp::Kind::resize:
        case DiskOp::Kind::extend:
            editor.content(op.file).resize(op.length);
            break;
        case DiskOp::Kind::create:
        case DiskOp::Kind::rename:
        case DiskOp::Kind::remove:
            change_name(state, op);
            break;
        case DiskOp::Kind::sync:
        case DiskOp::Kind::sync_failed:
        case DiskOp::Kind::sync_directory:
        case DiskOp::Kind::note:
            break;
    }
}

// What becomes of one file's or one directory's operations.
class Way {
  public:
    explicit Way(Random& random)
        : kind_(random() % 6), odds_(1 + random() % 7), prefix_(random()) {}
    void count() { ++operations_; }
    // The next operation, as a whole: whether it gets there (false may still be in parts).
    bool whole(Random& random) {
        const std::uint64_t n = passed_++;
        if (kind_ == 0) return false;
        if (kind_ == 1) return true;
        if (kind_ == 2 || kind_ == 3) return n < prefix_ % (operations_ + 1);
        if (kind_ == 4) return random() % 8 < odds_;
        return false;
    }
    // What was not there as a whole: the sectors one by one. In a prefix that is the first
    // operation behind it.
    [[nodiscard]] bool torn() const {
        if (kind_ == 3) return passed_ == prefix_ % (operations_ + 1) + 1;
        return kind_ == 5;
    }
    [[nodiscard]] bool sector(Random& random) const { return random() % 8 < odds_; }

  private:
    std::uint64_t kind_;
    std::uint64_t odds_;
    std::uint64_t prefix_;
    std::uint64_t operations_ = 0;
    std::uint64_t passed_ = 0;
};

void tear(Content& content, const DiskOp& op, const Way& way, Random& random) {
    if (op.kind == DiskOp::Kind::resize) {
        if (way.sector(random)) content.resize(op.length);
        return;
    }
    if (op.kind == DiskOp::Kind::extend) {
        if (!way.sector(random)) return;
        const std::uint64_t sectors =
            (op.length > content.size() ? op.length - content.size() : 0) / kSectorBytesTorn;
        content.resize(op.length - random() % (sectors + 1) * kSectorBytesTorn);
        return;
    }
    const std::uint64_t end = op.offset + op.length;
    for (std::uint64_t at = op.offset; at < end;) {
        const std::uint64_t next = std::min(end, (at / kSectorBytesTorn + 1) * kSectorBytesTorn);
        if (way.sector(random)) put(content, op, at, next);
        at = next;
    }
}

bool of_names(const DiskOp& op) {
    return op.kind == DiskOp::Kind::create || op.kind == DiskOp::Kind::rename ||
           op.kind == DiskOp::Kind::remove;
}

}  // namespace

void PowerCut::keep_all(DiskState& state, const std::function<bool(const DiskOp&)>& of) const {
    Editor editor(state);
    for (const DiskOp* op : pending_)
        if (of(*op)) happen(state, editor, *op);
}

void PowerCut::pass(const DiskOp& op) {
    if (op.kind == DiskOp::Kind::note) return;
    if (op.kind == DiskOp::Kind::create)
        synced_.files[op.file] = std::make_shared<const Content>(op.data);
    if (op.kind == DiskOp::Kind::sync_failed) {
        std::erase_if(pending_, [&](const DiskOp* p) {
            return p->kind == DiskOp::Kind::write && p->file == op.file;
        });
        return;
    }
    std::function<bool(const DiskOp&)> settled;
    if (op.kind == DiskOp::Kind::sync)
        settled = [&](const DiskOp& p) { return !of_names(p) && p.file == op.file; };
    else if (op.kind == DiskOp::Kind::sync_directory)
        settled = [&](const DiskOp& p) { return of_names(p) && directory_of(p.name) == op.name; };
    if (!settled) {
        pending_.push_back(&op);
        return;
    }
    keep_all(synced_, settled);
    std::erase_if(pending_, [&](const DiskOp* p) { return settled(*p); });
}

DiskState PowerCut::after(const Choice& choice) const {
    DiskState state = synced_;
    std::uint64_t number = 0;
    switch (choice.fate) {
        case Fate::nothing:
            return state;
        case Fate::everything:
            keep_all(state, [](const DiskOp&) { return true; });
            return state;
        case Fate::subset:
            keep_all(state, [&](const DiskOp&) { return (choice.bits >> number++ & 1) != 0; });
            return state;
        case Fate::random:
            return random_after(choice.bits);
    }
    return state;
}

DiskState PowerCut::random_after(std::uint64_t seed) const {
    Random random(seed);
    DiskState state = synced_;
    std::map<std::string, Way> ways;
    const auto key = [](const DiskOp& op) {
        return of_names(op) ? directory_of(op.name) : std::to_string(op.file);
    };
    for (const DiskOp* op : pending_) ways.try_emplace(key(*op), random).first->second.count();
    Editor editor(state);
    for (const DiskOp* op : pending_) {
        Way& way = ways.at(key(*op));
        if (way.whole(random))
            happen(state, editor, *op);
        else if (!of_names(*op) && way.torn())
            tear(editor.content(op->file), *op, way, random);
    }
    return state;
}

}  // namespace everstep::power
