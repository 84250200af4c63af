#include "proto/limits.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <array>
#include <string>

#include "everstep.pb.h"

namespace everstep::wire {
namespace {

namespace protobuf = google::protobuf;
using protobuf::FieldDescriptor;
using protobuf::internal::WireFormatLite;

constexpr int kFieldsPerMessageMax = 32;

Status corrupt(std::string message) {
    return {ErrorCode::corrupt, std::move(message)};
}
Status too_large(std::string message) {
    return {ErrorCode::too_large, std::move(message)};
}

Status over_limit(const FieldDescriptor& field, std::string_view what, std::uint64_t found,
                  std::uint64_t limit) {
    return too_large(field.full_name() + ": " + std::to_string(found) + " " + std::string(what) +
                     ", at most " + std::to_string(limit) + " are taken");
}

WireFormatLite::WireType wire_type_of(const FieldDescriptor& field) {
    return WireFormatLite::WireTypeForFieldType(
        static_cast<WireFormatLite::FieldType>(field.type()));
}

std::uint32_t count_limit(const FieldDescriptor& field) {
    if (!field.is_repeated()) return 1;
    return field.options().GetExtension(pb::count_max);
}

std::uint32_t bytes_limit(const FieldDescriptor& field) {
    const std::uint32_t limit = field.options().GetExtension(pb::bytes_max);
    return limit == 0 ? kTextBytesMax : limit;
}

class Scan {
  public:
    explicit Scan(Bytes body)
        : input_(reinterpret_cast<const std::uint8_t*>(body.data()),
                 static_cast<int>(body.size())) {
        input_.PushLimit(
            static_cast<int>(body.size()));  // so that BytesUntilLimit() says what is left
    }

    Status message(const protobuf::Descriptor& type, std::uint32_t depth) {
        if (depth > kNestingMax) return too_large(type.full_name() + ": nested too deep");
        if (++messages_ > kMessagesMax) {
            return too_large("more than " + std::to_string(kMessagesMax) + " parts in a message");
        }
        EVERSTEP_ASSERT(type.field_count() <= kFieldsPerMessageMax, "raise kFieldsPerMessageMax");
        Counts counts{};
        while (const std::uint32_t tag = input_.ReadTag()) {
            const FieldDescriptor* const field =
                type.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
            if (field == nullptr) {
                EVERSTEP_TRY(unknown(type, tag));
                continue;
            }
            if (WireFormatLite::GetTagWireType(tag) != wire_type_of(*field)) {
                return corrupt(field->full_name() + ": wrong wire type");
            }
            EVERSTEP_TRY(count(*field, counts));
            EVERSTEP_TRY(content(*field, depth));
        }
        if (!input_.ConsumedEntireMessage()) return corrupt(type.full_name() + ": bad tag");
        return {};
    }

  private:
    using Counts = std::array<std::uint32_t, kFieldsPerMessageMax>;

    Status unknown(const protobuf::Descriptor& type, std::uint32_t tag) {
        if (++unknown_ > kUnknownFieldsMax) {
            return too_large(type.full_name() + ": too many unknown fields");
        }
        const auto wire = WireFormatLite::GetTagWireType(tag);
        const bool known_wire = wire == WireFormatLite::WIRETYPE_VARINT ||
                                wire == WireFormatLite::WIRETYPE_FIXED64 ||
                                wire == WireFormatLite::WIRETYPE_LENGTH_DELIMITED ||
                                wire == WireFormatLite::WIRETYPE_FIXED32;
        if (!known_wire || WireFormatLite::GetTagFieldNumber(tag) == 0 ||
            !WireFormatLite::SkipField(&input_, tag)) {
            return corrupt(type.full_name() + ": damaged unknown field");
        }
        return {};
    }

    // One of a oneof stands for all of them: its count is kept in the place of the first.
    static Status count(const FieldDescriptor& field, Counts& counts) {
        const protobuf::OneofDescriptor* const choice = field.containing_oneof();
        const FieldDescriptor& slot = choice == nullptr ? field : *choice->field(0);
        std::uint32_t& found = counts[static_cast<std::size_t>(slot.index())];
        const std::uint32_t limit = count_limit(field);
        if (++found <= limit) return {};
        if (!field.is_repeated()) return corrupt(field.full_name() + ": stands twice");
        return over_limit(field, "elements", found, limit);
    }

    Status content(const FieldDescriptor& field, std::uint32_t depth) {
        switch (wire_type_of(field)) {
            case WireFormatLite::WIRETYPE_VARINT:
                return varint(field);
            case WireFormatLite::WIRETYPE_FIXED64:
                return skip(field, 8);
            case WireFormatLite::WIRETYPE_LENGTH_DELIMITED:
                return delimited(field, depth);
            case WireFormatLite::WIRETYPE_FIXED32:
            case WireFormatLite::WIRETYPE_START_GROUP:
            case WireFormatLite::WIRETYPE_END_GROUP:
                break;
        }
        return corrupt(field.full_name() + ": wire type is not used by this protocol");
    }

    Status varint(const FieldDescriptor& field) {
        std::uint64_t value = 0;
        if (!input_.ReadVarint64(&value)) return corrupt(field.full_name() + ": cut short");
        bool good = true;
        if (field.type() == FieldDescriptor::TYPE_UINT32) good = value <= UINT32_MAX;
        if (field.type() == FieldDescriptor::TYPE_BOOL) good = value <= 1;
        if (field.type() == FieldDescriptor::TYPE_ENUM) {
            good = value <= INT32_MAX &&
                   field.enum_type()->FindValueByNumber(static_cast<int>(value)) != nullptr;
        }
        if (good) return {};
        return corrupt(field.full_name() + ": unknown value " + std::to_string(value));
    }

    Status delimited(const FieldDescriptor& field, std::uint32_t depth) {
        std::uint64_t length = 0;
        if (!input_.ReadVarint64(&length) ||
            length > static_cast<std::uint64_t>(input_.BytesUntilLimit())) {
            return corrupt(field.full_name() + ": longer than its message");
        }
        if (field.message_type() == nullptr) {
            if (length > bytes_limit(field)) {
                return over_limit(field, "bytes", length, bytes_limit(field));
            }
            return skip(field, static_cast<int>(length));
        }
        const auto outer = input_.PushLimit(static_cast<int>(length));
        EVERSTEP_TRY(message(*field.message_type(), depth + 1));
        input_.PopLimit(outer);
        return {};
    }

    Status skip(const FieldDescriptor& field, int count) {
        if (!input_.Skip(count)) return corrupt(field.full_name() + ": cut short");
        return {};
    }

    protobuf::io::CodedInputStream input_;
    std::uint32_t messages_ = 0;
    std::uint32_t unknown_ = 0;
};

}  // namespace

Status check_limits(Bytes control_body) {
    Scan scan(control_body);
    return scan.message(*pb::ControlMessage::descriptor(), 0);
}

}  // namespace everstep::wire
