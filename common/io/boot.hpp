// Which boot of the machine this is. Any thread.
#pragma once

#include "common/base/types.hpp"

namespace everstep::io {

// /proc/sys/kernel/random/boot_id (random(4)); nil where it cannot be read, which equals no other.
[[nodiscard]] Uuid machine_boot();

}  // namespace everstep::io
