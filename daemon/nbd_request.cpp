#include "daemon/nbd_request.hpp"

namespace everstep::daemon {

bool unpack_nbd_request(Bytes header, NbdRequest& request) {
    if (get_be<std::uint32_t>(header, 0) != kNbdRequestMagic) return false;
    request.flags = get_be<std::uint16_t>(header, 4);
    request.type = get_be<std::uint16_t>(header, 6);
    request.cookie = get_be<std::uint64_t>(header, 8);
    request.offset = get_be<std::uint64_t>(header, 16);
    request.length = get_be<std::uint32_t>(header, 24);
    return true;
}

namespace {

struct Rules {
    std::uint16_t flags = kNbdCmdFua;  // valid with every command (proto.md, "Command flags")
    bool writes = false;
    bool payload = false;  // its length is bounded by kNbdPayloadMax
    NbdError beyond_the_end = NbdError::einval;
};

// False: no command that we know.
bool rules_of(const NbdRequest& request, const NbdTraits& traits, Rules& rules) {
    switch (static_cast<NbdCommand>(request.type)) {
        case NbdCommand::read:
            rules.payload = true;
            if (traits.structured) rules.flags |= kNbdCmdDf;
            return true;
        case NbdCommand::write:
            rules.writes = rules.payload = true;
            rules.beyond_the_end = NbdError::enospc;
            return true;
        case NbdCommand::trim:
            rules.writes = true;
            return true;
        case NbdCommand::write_zeroes:
            rules.writes = true;
            rules.flags |= kNbdCmdNoHole;
            rules.beyond_the_end = NbdError::enospc;
            return true;
        case NbdCommand::block_status:
            rules.flags |= kNbdCmdReqOne;
            return true;
        case NbdCommand::flush:
            return true;
        case NbdCommand::disconnect:
            return false;  // answered before any check
    }
    return false;
}

}  // namespace

NbdRefusal check_nbd_request(const NbdRequest& request, const NbdTraits& traits) {
    Rules rules;
    if (!rules_of(request, traits, rules)) return {NbdError::einval, "unknown command"};
    if ((request.flags & ~static_cast<unsigned>(rules.flags)) != 0)
        return {NbdError::einval, "a flag that this command does not take"};
    if (request.is(NbdCommand::flush)) {
        if (request.offset != 0 || request.length != 0)
            return {NbdError::einval, "a flush has no offset and no length"};
        return {};
    }
    if (rules.writes && traits.read_only) return {NbdError::eperm, "the export is read-only"};
    if (rules.payload && request.length > kNbdPayloadMax) {
        const bool overflow = traits.structured && request.is(NbdCommand::read);
        return {overflow ? NbdError::eoverflow : NbdError::einval, "longer than 32 MiB"};
    }
    if (request.offset % kNbdBlockMin != 0 || request.length % kNbdBlockMin != 0)
        return {NbdError::einval, "offset and length must be multiples of 512"};
    if (request.offset > traits.size_bytes || request.length > traits.size_bytes - request.offset)
        return {rules.beyond_the_end, "beyond the end of the export"};
    if (request.is(NbdCommand::block_status)) {
        if (!traits.block_status)
            return {NbdError::einval, "base:allocation was not selected in the handshake"};
        if (request.length == 0) return {NbdError::einval, "block status of no bytes"};
    }
    return {};
}

std::uint16_t nbd_transmission_flags(const NbdTraits& traits) {
    // Flush and FUA of a BlockDevice cover all its writes, whichever connection they came by:
    // multi-conn is safe.
    unsigned flags = kNbdHasFlags | kNbdSendFlush | kNbdSendFua | kNbdCanMultiConn;
    flags |= traits.read_only ? kNbdReadOnly : unsigned{kNbdSendTrim} | kNbdSendWriteZeroes;
    if (traits.structured) flags |= kNbdSendDf;
    return static_cast<std::uint16_t>(flags);
}

NbdError nbd_error(ErrorCode code) {
    switch (code) {
        case ErrorCode::ok:
            return NbdError::none;
        case ErrorCode::no_space:
            return NbdError::enospc;
        case ErrorCode::refused:
            return NbdError::eperm;
        case ErrorCode::usage:
        case ErrorCode::too_large:
            return NbdError::einval;
        case ErrorCode::closed:
            return NbdError::eshutdown;
        case ErrorCode::unreachable:
        case ErrorCode::not_found:
        case ErrorCode::exists:
        case ErrorCode::io:
        case ErrorCode::corrupt:
        case ErrorCode::version:
        case ErrorCode::timeout:
        case ErrorCode::busy:
        case ErrorCode::internal:
            return NbdError::eio;
    }
    return NbdError::eio;
}

}  // namespace everstep::daemon
