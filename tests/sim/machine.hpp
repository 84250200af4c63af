// Machine: a host of the simulation: its disk, its boots, and the process that runs on it. What a
// process asks of "the machine" (io::system_files(), io::identify(), io::machine_boot(), LMDB, the
// log) it gets from the machine that it runs on.
//
// Thread: the world's.
#pragma once

#include "common/base/types.hpp"
#include "tests/sim/disk.hpp"

namespace everstep::sim {

class Machine {
  public:
    Machine(World& world, std::string name);
    ~Machine();
    [[nodiscard]] static Machine* of_process();  // the calling process's; null: none
    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] SimDisk& disk() { return *disk_; }
    [[nodiscard]] const Uuid& boot() const { return boot_; }
    [[nodiscard]] ProcessId process() const { return process_; }
    [[nodiscard]] bool up() const { return process_ != 0; }
    void run(std::function<void()> main);  // as a process that bears this machine's name

    enum class End : std::uint8_t { killed, power_cut, storage_reset };
    // Of the process. What its disk then holds is for the next one; the old one stays for the dead.
    void end(End how);
    void ended() { process_ = 0; }  // by itself
    // A line of its log; all machines'.
    static std::function<void(const std::string& machine, const std::string& line)>& on_log();

  private:
    World& world_;
    std::string name_;
    std::unique_ptr<SimDisk> disk_;
    Uuid boot_;
    ProcessId process_ = 0;
};

}  // namespace everstep::sim
