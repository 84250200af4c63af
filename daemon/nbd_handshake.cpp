#include "daemon/nbd_handshake.hpp"

#include <algorithm>
#include <array>

namespace everstep::daemon {

namespace {

// Reads an option's data front to back; every read checks what is left.
class Reader {
  public:
    explicit Reader(Bytes bytes) : bytes_(bytes) {}
    template <class T>
    [[nodiscard]] bool number(T& value) {
        if (bytes_.size() < sizeof value) return false;
        value = get_be<T>(bytes_, 0);
        bytes_ = bytes_.subspan(sizeof value);
        return true;
    }
    [[nodiscard]] bool text(std::size_t length, std::string_view& value) {
        if (bytes_.size() < length) return false;
        value = {reinterpret_cast<const char*>(bytes_.data()), length};
        bytes_ = bytes_.subspan(length);
        return true;
    }
    [[nodiscard]] bool text32(std::string_view& value) {
        std::uint32_t length = 0;
        return number(length) && text(length, value);
    }
    [[nodiscard]] std::size_t left() const { return bytes_.size(); }

  private:
    Bytes bytes_;
};

Bytes as_bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
}

void append(std::vector<std::byte>& out, Bytes bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
}

template <class T>
void append_be(std::vector<std::byte>& out, T value) {
    std::array<std::byte, sizeof value> bytes;
    put_be(bytes, 0, value);
    append(out, bytes);
}

}  // namespace

NbdHandshake::NbdHandshake(std::span<const NbdExport> exports, Out& out) : exports_(exports) {
    append_be(out, kNbdMagic);
    append_be(out, kNbdOptionMagic);
    append_be(out, static_cast<std::uint16_t>(kNbdFlagFixedNewstyle | kNbdFlagNoZeroes));
}

std::size_t NbdHandshake::collect(Bytes bytes, std::size_t wanted) {
    const std::size_t taken = std::min(bytes.size(), wanted - gathered_.size());
    append(gathered_, bytes.first(taken));
    return taken;
}

std::size_t NbdHandshake::feed(Bytes bytes, Out& out) {
    std::size_t at = 0;
    bool again = true;
    while (state_ == State::haggling && (at < bytes.size() || again)) {
        const Bytes rest = bytes.subspan(at);
        again = false;
        switch (phase_) {
            case Phase::client_flags:
                at += collect(rest, kNbdClientFlagsBytes);
                if (gathered_.size() == kNbdClientFlagsBytes) client_flags();
                break;
            case Phase::option_header:
                at += collect(rest, kNbdOptionBytes);
                if (gathered_.size() < kNbdOptionBytes) break;
                option_header();
                again = true;  // its data may be of no bytes
                break;
            case Phase::option_data:
                at += collect(rest, option_bytes_);
                if (gathered_.size() == option_bytes_) option(out);
                break;
            case Phase::skip_data: {
                const std::size_t skipped = std::min<std::size_t>(rest.size(), skip_bytes_);
                at += skipped;
                skip_bytes_ -= static_cast<std::uint32_t>(skipped);
                if (skip_bytes_ > 0) break;
                refuse(out, NbdOptionReply::err_too_big, "option data is longer than 64 KiB");
                phase_ = Phase::option_header;
                break;
            }
        }
    }
    return at;
}

void NbdHandshake::client_flags() {
    const auto flags = get_be<std::uint32_t>(gathered_, 0);
    gathered_.clear();
    phase_ = Phase::option_header;
    if ((flags & ~std::uint32_t{kNbdFlagFixedNewstyle | kNbdFlagNoZeroes}) != 0)
        return close("client flags that we did not offer");
    no_zeroes_ = (flags & kNbdFlagNoZeroes) != 0;
}

void NbdHandshake::option_header() {
    const auto magic = get_be<std::uint64_t>(gathered_, 0);
    option_ = static_cast<NbdOption>(get_be<std::uint32_t>(gathered_, 8));
    option_bytes_ = get_be<std::uint32_t>(gathered_, 12);
    gathered_.clear();
    if (magic != kNbdOptionMagic) return close("an option without its magic number");
    if (++options_seen_ > kOptionsMax) return close("more than 256 options");
    if (option_bytes_ <= kOptionBytesMax) {
        phase_ = Phase::option_data;
    } else if (option_bytes_ <= kSkipBytesMax && option_ != NbdOption::export_name) {
        phase_ = Phase::skip_data;
        skip_bytes_ = option_bytes_;
    } else {
        close("an option of " + std::to_string(option_bytes_) + " bytes");
    }
}

void NbdHandshake::option(Out& out) {
    const std::vector<std::byte> data = std::move(gathered_);
    gathered_.clear();
    phase_ = Phase::option_header;
    switch (option_) {
        case NbdOption::export_name:
            return export_name(data, out);
        case NbdOption::abort:
            reply(out, NbdOptionReply::ack);
            return close({});
        case NbdOption::list:
            return list(data, out);
        case NbdOption::info:
        case NbdOption::go:
            return info_or_go(data, out);
        case NbdOption::structured_reply:
            if (!data.empty()) return refuse(out, NbdOptionReply::err_invalid, "takes no data");
            structured_ = true;
            return reply(out, NbdOptionReply::ack);
        case NbdOption::list_meta_context:
        case NbdOption::set_meta_context:
            return meta_context(data, out);
        case NbdOption::starttls:
            break;
    }
    refuse(out, NbdOptionReply::err_unsup, "unknown option");
}

void NbdHandshake::export_name(Bytes data, Out& out) {
    // This option has no error reply: an unknown name ends the session.
    std::string_view name;
    if (!Reader(data).text(data.size(), name)) return close("a bad export name");
    const auto index = find(name);
    if (!index) return close("an export name that is not served");
    enter(*index);
    append_be(out, negotiated_.traits.size_bytes);
    append_be(out, nbd_transmission_flags(negotiated_.traits));
    if (!no_zeroes_) out.resize(out.size() + kNbdExportNameZeroes);
}

void NbdHandshake::info_or_go(Bytes data, Out& out) {
    Reader reader(data);
    std::string_view name;
    std::uint16_t count = 0;
    if (!reader.text32(name) || !reader.number(count) ||
        reader.left() != std::size_t{count} * sizeof(std::uint16_t))
        return refuse(out, NbdOptionReply::err_invalid, "lengths do not fit the option");
    const auto index = find(name);
    if (!index) return refuse(out, NbdOptionReply::err_unknown, "no such export");
    bool wants_name = false;
    bool wants_description = false;
    for (std::uint16_t wanted = 0; reader.number(wanted);) {
        wants_name |= wanted == kNbdInfoName;
        wants_description |= wanted == kNbdInfoDescription;
    }
    const NbdTraits traits = traits_of(*index);
    const NbdExport& chosen = exports_[*index];
    const auto info = [&](std::uint16_t type, auto fill) {
        Out body;
        append_be(body, type);
        fill(body);
        reply(out, NbdOptionReply::info, body);
    };
    info(kNbdInfoExport, [&](Out& body) {
        append_be(body, traits.size_bytes);
        append_be(body, nbd_transmission_flags(traits));
    });
    if (wants_name) info(kNbdInfoName, [&](Out& body) { append(body, as_bytes(chosen.name)); });
    if (wants_description)
        info(kNbdInfoDescription, [&](Out& body) { append(body, as_bytes(chosen.description)); });
    // Sent unasked too: 512 is not the default, and a client that knows it saves itself an EINVAL.
    info(kNbdInfoBlockSize, [](Out& body) {
        append_be(body, kNbdBlockMin);
        append_be(body, kNbdBlockPreferred);
        append_be(body, kNbdPayloadMax);
    });
    reply(out, NbdOptionReply::ack);
    if (option_ == NbdOption::go) enter(*index);
}

void NbdHandshake::list(Bytes data, Out& out) {
    if (!data.empty()) return refuse(out, NbdOptionReply::err_invalid, "takes no data");
    for (const NbdExport& one : exports_) {
        Out body;
        append_be(body, static_cast<std::uint32_t>(one.name.size()));
        append(body, as_bytes(one.name));
        append(body, as_bytes(one.description));
        reply(out, NbdOptionReply::server, body);
    }
    reply(out, NbdOptionReply::ack);
}

void NbdHandshake::meta_context(Bytes data, Out& out) {
    const bool set = option_ == NbdOption::set_meta_context;
    if (set) meta_export_.reset();  // replaced also when this fails
    if (set && !structured_)
        return refuse(out, NbdOptionReply::err_invalid, "structured replies come first");
    Reader reader(data);
    std::string_view name;
    std::uint32_t queries = 0;
    if (!reader.text32(name) || !reader.number(queries))
        return refuse(out, NbdOptionReply::err_invalid, "lengths do not fit the option");
    bool selected = !set && queries == 0;
    for (std::uint32_t i = 0; i < queries; ++i) {
        std::string_view query;  // each takes at least 4 bytes of the data: the loop is bounded
        if (!reader.text32(query))
            return refuse(out, NbdOptionReply::err_invalid, "lengths do not fit the option");
        selected |= query == kNbdBaseAllocation || (!set && query == kNbdBaseNamespace);
    }
    if (reader.left() != 0)
        return refuse(out, NbdOptionReply::err_invalid, "lengths do not fit the option");
    const auto index = find(name);
    if (!index) return refuse(out, NbdOptionReply::err_unknown, "no such export");
    if (selected) {
        if (set) meta_export_ = index;
        Out body;
        append_be(body, set ? kNbdBaseAllocationId : 0);
        append(body, as_bytes(kNbdBaseAllocation));
        reply(out, NbdOptionReply::meta_context, body);
    }
    reply(out, NbdOptionReply::ack);
}

void NbdHandshake::reply(Out& out, NbdOptionReply type, Bytes data) const {
    append_be(out, kNbdOptionReplyMagic);
    append_be(out, static_cast<std::uint32_t>(option_));
    append_be(out, static_cast<std::uint32_t>(type));
    append_be(out, static_cast<std::uint32_t>(data.size()));
    append(out, data);
}

void NbdHandshake::refuse(Out& out, NbdOptionReply type, std::string_view text) const {
    reply(out, type, as_bytes(text));
}

std::optional<std::size_t> NbdHandshake::find(std::string_view name) const {
    if (exports_.size() == 1 && name.empty()) return 0;
    for (std::size_t i = 0; i < exports_.size(); ++i)
        if (exports_[i].name == name) return i;
    return std::nullopt;
}

NbdTraits NbdHandshake::traits_of(std::size_t export_index) const {
    const BlockDevice& device = *exports_[export_index].device;
    return {.size_bytes = device.size_bytes(),
            .read_only = device.read_only(),
            .structured = structured_,
            .block_status = structured_ && meta_export_ == export_index};
}

void NbdHandshake::enter(std::size_t export_index) {
    negotiated_ = {.export_index = export_index, .traits = traits_of(export_index)};
    state_ = State::transmission;
}

void NbdHandshake::close(std::string_view why) {
    state_ = State::closed;
    why_closed_ = why;
}

}  // namespace everstep::daemon
