// The NBD handshake of one client: fixed newstyle, option haggling. A state machine without I/O:
// the client's bytes in, our answers out.
//
// Thread: the loop's. Invariants: keeps at most kOptionBytesMax of what the client sent; a client
// that breaks the protocol, or asks for more than kOptionsMax options, is dropped; nothing that it
// sends selects an export that is not in the list.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "daemon/nbd_request.hpp"
#include "daemon/nbd_server.hpp"

namespace everstep::daemon {

// What the client and we agreed on.
struct NbdNegotiated {
    std::size_t export_index = 0;
    NbdTraits traits;
};

class NbdHandshake {
  public:
    static constexpr std::size_t kOptionBytesMax = 64U << 10;  // longer data: NBD_REP_ERR_TOO_BIG
    static constexpr std::uint32_t kSkipBytesMax = 16U << 20;  // and longer than this: dropped
    static constexpr std::uint32_t kOptionsMax = 256;

    enum class State : std::uint8_t { haggling, transmission, closed };

    // `exports` lives longer than this. `out` gets the greeting.
    NbdHandshake(std::span<const NbdExport> exports, std::vector<std::byte>& out);
    // Takes a prefix of `bytes` and gives its length: all of it while haggling; what is behind
    // belongs to the transmission phase. Appends what must be sent to `out`, also when the state is
    // `closed` then.
    std::size_t feed(Bytes bytes, std::vector<std::byte>& out);
    [[nodiscard]] State state() const { return state_; }
    [[nodiscard]] const NbdNegotiated& negotiated() const { return negotiated_; }
    [[nodiscard]] const std::string& why_closed() const {
        return why_closed_;
    }  // empty: the client's wish

  private:
    using Out = std::vector<std::byte>;
    enum class Phase : std::uint8_t { client_flags, option_header, option_data, skip_data };

    std::size_t collect(Bytes bytes, std::size_t wanted);
    void client_flags();
    void option_header();
    void option(Out& out);
    void export_name(Bytes data, Out& out);
    void info_or_go(Bytes data, Out& out);
    void list(Bytes data, Out& out);
    void meta_context(Bytes data, Out& out);
    void reply(Out& out, NbdOptionReply type, Bytes data = {}) const;
    void refuse(Out& out, NbdOptionReply type, std::string_view text) const;
    [[nodiscard]] std::optional<std::size_t> find(std::string_view name) const;
    [[nodiscard]] NbdTraits traits_of(std::size_t export_index) const;
    void enter(std::size_t export_index);
    void close(std::string_view why);

    std::span<const NbdExport> exports_;
    State state_ = State::haggling;
    Phase phase_ = Phase::client_flags;
    std::vector<std::byte> gathered_;  // of the current phase
    NbdOption option_ = NbdOption::abort;
    std::uint32_t option_bytes_ = 0;
    std::uint32_t skip_bytes_ = 0;
    std::uint32_t options_seen_ = 0;
    bool no_zeroes_ = false;
    bool structured_ = false;
    std::optional<std::size_t> meta_export_;  // base:allocation was selected for this export
    NbdNegotiated negotiated_;
    std::string why_closed_;
};

}  // namespace everstep::daemon
