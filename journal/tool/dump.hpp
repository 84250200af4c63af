// `dump`: every record of a store, torn tails and damage in their places.
//
// Thread: one; blocks on the disk. Invariants: any bytes are printed or named, none crash it.
#pragma once

#include "journal/record_walk.hpp"
#include "journal/tool/dead_store.hpp"
#include "journal/tool/output.hpp"

namespace everstep::journal::tool {

struct DumpOptions {
    bool json = false;                     // one object a line
    std::optional<std::uint64_t> segment;  // only this one
};
// not_found: no such segment.
[[nodiscard]] Status dump(io::FileSystem& files, const DeadStore& store, const DumpOptions& options,
                          Surroundings& surroundings);

// record_text.cpp: what a record holds, by the names of docs/journal-format.md; a text in "error"
// where it makes no sense.
[[nodiscard]] std::string kind_name(RecordKind kind);
[[nodiscard]] Value body_value(const WalkedRecord& record);
// The scalars of a map as "key value", its lists a line each, indented.
[[nodiscard]] std::string value_text(const Value& map);

}  // namespace everstep::journal::tool
