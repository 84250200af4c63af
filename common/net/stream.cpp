#include "common/net/stream.hpp"

#include "common/net/stream_core.hpp"

namespace everstep::net {
namespace {

class SocketStream final : public Stream {
  public:
    explicit SocketStream(StreamCorePtr core) : core_(std::move(core)) {}
    ~SocketStream() override { core_->close(); }
    SocketStream(const SocketStream&) = delete;
    SocketStream& operator=(const SocketStream&) = delete;

    void start(StreamEvents events) override { core_->start(std::move(events)); }
    void write(Bytes bytes, std::shared_ptr<const void> keep) override {
        core_->write(bytes, std::move(keep));
    }
    [[nodiscard]] std::size_t queued_bytes() const override { return core_->queued_bytes(); }
    void pause_reading(bool paused) override { core_->pause_reading(paused); }
    void close() override { core_->close(); }
    void finish() override { core_->finish(); }
    [[nodiscard]] std::string peer_name() const override { return core_->peer_name(); }
    [[nodiscard]] std::string peer_address() const override { return core_->peer_address(); }

  private:
    StreamCorePtr core_;
};

}  // namespace

StreamPtr make_stream(StreamCorePtr core) {
    return std::make_unique<SocketStream>(std::move(core));
}

void Stream::write_copy(Bytes bytes) {
    const auto copy = std::make_shared<std::vector<std::byte>>(bytes.begin(), bytes.end());
    write(*copy, copy);
}

}  // namespace everstep::net
