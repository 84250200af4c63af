// What a pipeline (pipeline.hpp) is made of: volumes, write-intent maps, what it writes through.
// Thread: values.
#pragma once

#include <string>
#include <vector>

#include "common/io/file.hpp"
#include "daemon/capture.hpp"
#include "daemon/intent_gate.hpp"
#include "standby/local_history.hpp"

namespace everstep::daemon {

inline constexpr std::size_t kVolumesMax = 256;  // of a group, as a Hello has them

struct PipelineVolume {
    std::string name;
    std::string device;  // the file or device; unused where the store serves
    std::string listen;  // empty: it is not served
    ByteCount size;
    std::string description{};  // told to clients; empty: one of the volume's name
    bool coming = false;        // no standby was told yet what it holds: take_in()
};

// Of the write-intent maps of volumes that are captured on their own devices.
struct IntentOptions {
    std::string directory;  // there; a file for each volume
    Uuid id;
    IntentBegin begin = IntentBegin::all_marked;
    std::size_t standbys = 0;           // 0: no maps
    std::vector<std::size_t> all_of{};  // anything may differ on these
};

struct PipelineOptions {
    CaptureOptions capture;
    IntentOptions intent;
    std::vector<PipelineVolume> volumes;
    standby::LocalHistory* store = nullptr;  // serve through it; null: the devices themselves
    bool in_batch = false;  // a batch that was cut goes on: it is begun again, nobody is let in
    io::FileSystem* files = nullptr;
};

}  // namespace everstep::daemon
