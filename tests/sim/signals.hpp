// A signal for a simulated process. Thread: the world's.
#pragma once

#include "tests/sim/world.hpp"

namespace everstep::sim {

// To who has asked for signals (net::Signals); else nothing.
void send_signal(ProcessId process, int signal);

}  // namespace everstep::sim
