#include "common/base/version.hpp"

namespace everstep {

const char* version() noexcept {
    return EVERSTEP_VERSION;
}

}  // namespace everstep
