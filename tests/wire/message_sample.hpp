// Random control messages, and a text that names every field of one: what the tests of the codec
// compare.
#pragma once

#include <random>
#include <string>

#include "proto/messages.hpp"

namespace everstep::wire::test {

// EVERSTEP_SEED or a fresh one; printed.
[[nodiscard]] std::uint64_t seed();

class MessageSample {
  public:
    explicit MessageSample(std::uint64_t seed) : random_(seed) {}
    [[nodiscard]] std::uint64_t number(std::uint64_t below);
    [[nodiscard]] Control message(std::size_t kind);  // kind: the index in Control
    [[nodiscard]] Control any() { return message(number(std::variant_size_v<Control>)); }
    [[nodiscard]] Value value(unsigned depth);

  private:
    [[nodiscard]] std::uint64_t any_number();
    [[nodiscard]] bool flip() { return number(2) == 0; }
    [[nodiscard]] std::string text();
    [[nodiscard]] Uuid id();
    [[nodiscard]] Hash128 hash() { return id().bytes(); }
    [[nodiscard]] Point point() { return {id(), Lsn(any_number())}; }
    [[nodiscard]] ErrorCode error() { return static_cast<ErrorCode>(number(15)); }
    [[nodiscard]] std::int64_t signed_number() { return static_cast<std::int64_t>(any_number()); }
    [[nodiscard]] std::vector<Volume> volumes();
    [[nodiscard]] std::vector<Timeline> timelines();
    [[nodiscard]] GroupState group_state();
    [[nodiscard]] Hello hello();
    [[nodiscard]] Start start();
    [[nodiscard]] ReadRequest read_request();
    [[nodiscard]] HashRequest hash_request();
    [[nodiscard]] HashReply hash_reply();
    [[nodiscard]] AdminRequest admin_request();

    std::mt19937_64 random_;
};

[[nodiscard]] std::string describe(const Control& message);
[[nodiscard]] std::string describe(const Value& value);

}  // namespace everstep::wire::test
