// What the wall clocks of the machines show beside the world's time (threads.cpp). Their boot-time
// clocks go on.
//
// Thread: the world's.
#pragma once

#include <string>

#include "tests/sim/world.hpp"

namespace everstep::sim {

// Of processes that bear this name, from now on.
void step_wall(const std::string& name, Time by);

}  // namespace everstep::sim
