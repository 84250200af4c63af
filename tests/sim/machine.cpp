#include "tests/sim/machine.hpp"

#include "common/base/log.hpp"
#include "common/io/boot.hpp"
#include "journal/lmdb_catalogue.hpp"
#include "tests/sim/network.hpp"

namespace everstep::sim {
namespace {

std::map<std::string, Machine*>& machines() {
    static std::map<std::string, Machine*> all;
    return all;
}

Uuid random_id(World& world) {
    std::array<std::uint8_t, 16> bytes{};
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(world.random());
    return Uuid(bytes);
}

}  // namespace

Machine::Machine(World& world, std::string name)
    : world_(world),
      name_(std::move(name)),
      disk_(std::make_unique<SimDisk>(world, power::DiskState(), SimDisk::Catalogues())),
      boot_(random_id(world)) {
    machines()[name_] = this;
}

Machine::~Machine() {
    machines().erase(name_);
    // Files of processes that never ended point at it.
    static_cast<void>(disk_.release());
}

Machine* Machine::of_process() {
    World* world = World::current();
    if (world == nullptr) return nullptr;
    const auto found = machines().find(world->name_of(world->process()));
    return found == machines().end() ? nullptr : found->second;
}

void Machine::run(std::function<void()> main) {
    Network::current().host_up(name_);
    process_ = world_.begin_process(name_, std::move(main));
}

void Machine::end(End how) {
    const ProcessId process = std::exchange(process_, 0);
    if (process == 0) return;
    const bool own = world_.process() == process;
    const bool silent = how == End::power_cut && world_.one_in(2);
    Network::current().process_gone(process, silent);
    SimDisk::Catalogues catalogues = disk_->catalogues();
    power::DiskState left = disk_->state();
    const power::Choice choice{world_.one_in(4) ? power::Fate::nothing : power::Fate::random,
                               world_.random()};
    if (how == End::power_cut) {
        left = disk_->after_cut(choice);
        boot_ = random_id(world_);
        for (auto& [directory, states] : catalogues) states.resize(world_.below(states.size() + 1));
    } else if (how == End::storage_reset) {
        left = disk_->after_loss(".img", choice);
    }
    world_.trace(name_ + (how == End::killed      ? ": killed"
                          : how == End::power_cut ? ": power cut"
                                                  : ": killed, its device lost its cache"));
    static_cast<void>(disk_.release());
    disk_ = std::make_unique<SimDisk>(world_, std::move(left), std::move(catalogues));
    world_.kill(process);
    static_cast<void>(own);
}

std::function<void(const std::string&, const std::string&)>& Machine::on_log() {
    static std::function<void(const std::string&, const std::string&)> log;
    return log;
}

}  // namespace everstep::sim

namespace everstep {

using sim::Machine;
using sim::World;

namespace {
void write(std::string_view level, std::string_view text) {
    World* world = World::current();
    if (world == nullptr) return;
    const std::string machine = world->name_of(world->process());
    world->trace(machine + ' ' + std::string(level) + ' ' + std::string(text));
    if (Machine::on_log()) Machine::on_log()(machine, std::string(text));
}
}  // namespace

void set_log_level(LogLevel) {}
bool log_wanted(LogLevel level) {
    return level != LogLevel::debug;
}
void log_debug(std::string_view) {}
void log_info(std::string_view text) {
    write("info", text);
}
void log_warning(std::string_view text) {
    write("warning", text);
}
void log_error(std::string_view text) {
    write("error", text);
}

namespace io {

Result<ByteCount> FileSystem::free_bytes(const std::string&) const {
    return ByteCount(UINT64_MAX);
}

FileSystem& system_files() {
    Machine* machine = Machine::of_process();
    EVERSTEP_ASSERT(machine != nullptr, "files of no machine");
    return machine->disk();
}

Uuid machine_boot() {
    return Machine::of_process()->boot();
}

Result<FileIdentity> identify(const std::string& path) {
    const power::DiskState& files = Machine::of_process()->disk().files_now();
    const auto found = files.names.find(path);
    if (found == files.names.end()) return Status(ErrorCode::not_found, path + ": not found");
    FileIdentity identity;
    identity.device = 1;
    identity.inode = found->second;
    identity.birth_ns = 1;
    identity.size_bytes = files.files.at(found->second)->size();
    return identity;
}

}  // namespace io

namespace journal {

// LMDB wants files of the machine's own: here it is a value beside the disk, as old after a power
// cut as it likes.
namespace {
lab::MemoryCatalogue::States& states_of(io::FileSystem& files, const std::string& directory) {
    return dynamic_cast<sim::SimDisk&>(files).catalogues()[directory];
}
}  // namespace

Result<CatalogueContent> LmdbCatalogue::load(const Uuid& group) {
    return lab::MemoryCatalogue(states_of(files_, directory_)).load(group);
}

Status LmdbCatalogue::change(const Uuid& group, const CatalogueChange& change) {
    auto& states = states_of(files_, directory_);
    lab::MemoryCatalogue catalogue(states.empty() ? states
                                                  : lab::MemoryCatalogue::States{states.back()});
    EVERSTEP_TRY(catalogue.change(group, change));
    states.push_back(catalogue.states().back());
    return {};
}

Status LmdbCatalogue::clear() {
    states_of(files_, directory_).clear();
    return {};
}

std::vector<Finding> LmdbCatalogue::check() {
    return {};
}

bool is_catalogue_file(std::string_view) {
    return false;
}

}  // namespace journal
}  // namespace everstep
