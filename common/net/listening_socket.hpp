// ListeningSocket: a bound and listening socket; of a unix one also its place in the file system.
// Thread: its owner's. The destructor removes a unix socket's path, where it is still this socket.
#pragma once

#include <sys/types.h>

#include <string>

#include "common/base/status.hpp"
#include "common/io/unique_fd.hpp"

namespace everstep::net {

class ListeningSocket {
  public:
    // busy: someone serves there already. exists: the path is something other than a socket.
    // Blocks on the resolver when the host is a name.
    [[nodiscard]] static Result<ListeningSocket> open(const std::string& address);
    ListeningSocket(ListeningSocket&& other) noexcept;
    ListeningSocket& operator=(ListeningSocket&&) = delete;
    ~ListeningSocket();
    [[nodiscard]] const std::string& address() const { return address_; }  // with the real port
    [[nodiscard]] int release_fd() { return fd_.release(); }

  private:
    ListeningSocket(io::UniqueFd fd, std::string address);
    [[nodiscard]] static Result<ListeningSocket> open_unix(const std::string& path);

    io::UniqueFd fd_;
    std::string address_;
    std::string path_;  // unix only
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

}  // namespace everstep::net
