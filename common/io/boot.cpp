#include "common/io/boot.hpp"

#include <algorithm>
#include <fstream>
#include <string>

namespace everstep::io {

Uuid machine_boot() {
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string text;
    file >> text;
    text.erase(std::remove(text.begin(), text.end(), '-'), text.end());
    Uuid boot;
    return Uuid::parse(text, boot) ? boot : Uuid();
}

}  // namespace everstep::io
