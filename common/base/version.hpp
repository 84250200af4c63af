// The version of this tree, which project() in CMakeLists.txt gives.
#pragma once

namespace everstep {

[[nodiscard]] const char* version() noexcept;

}  // namespace everstep
