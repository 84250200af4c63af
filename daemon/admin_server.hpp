// AdminServer: the command line's socket (STATE/admin.sock, docs/admin.md): requests in, replies
// out, in order. Thread: the node's loop. A client that sends garbage is dropped with a reason; the
// daemon stays. One that asks and does not read is answered up to 64 MiB, then ended.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/net/stream.hpp"
#include "daemon/admin_answer.hpp"

namespace everstep::daemon {

class AdminServer {
  public:
    using Handler = std::function<void(const wire::AdminRequest&, AdminAnswer)>;
    [[nodiscard]] static Result<std::unique_ptr<AdminServer>> make(net::Loop& loop,
                                                                   const std::string& path,
                                                                   Handler handler);
    ~AdminServer();

  private:
    AdminServer() = default;
    struct Client;
    struct Shared;
    std::shared_ptr<Shared> shared_;
    std::unique_ptr<net::Listener> listener_;
};

}  // namespace everstep::daemon
