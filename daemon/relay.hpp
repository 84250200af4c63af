// RelayClient: asks another node what the command line asked this one: one TLS link for one
// request. Thread: the node's loop. At most kRelaysMax at once.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "daemon/admin_answer.hpp"
#include "daemon/link.hpp"

namespace everstep::daemon {

inline constexpr std::size_t kRelaysMax = 64;

struct RelayTarget {
    std::string node;
    std::string address;
};

class RelayClient {
  public:
    RelayClient(net::Loop& loop, std::shared_ptr<net::TlsContext> tls, wire::Hello hello);
    ~RelayClient();
    // unreachable (with the address) when no link comes about or it ends before the last reply. A
    // link whose asker is gone ends at once.
    void ask(const RelayTarget& target, const wire::AdminRequest& request, AdminAnswer answer);
    void set_tls(std::shared_ptr<net::TlsContext> tls) { tls_ = std::move(tls); }

  private:
    struct Job;
    void connected(const std::shared_ptr<Job>& job, Result<net::StreamPtr> stream);
    void end(const std::shared_ptr<Job>& job, const wire::AdminReply& reply);
    net::Loop& loop_;
    std::shared_ptr<net::TlsContext> tls_;
    wire::Hello hello_;
    std::map<std::uint64_t, std::shared_ptr<Job>> jobs_;
    std::uint64_t next_ = 1;
    std::shared_ptr<RelayClient*> alive_;
};

}  // namespace everstep::daemon
