// What the files of this folder share of a loop: Boost.Asio's context and the memory that reads go
// through. Thread: the loop's own.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <thread>

#include "common/base/buffer.hpp"
#include "common/net/loop.hpp"

namespace everstep::net {

namespace asio = boost::asio;
using ErrorCodeOfAsio = boost::system::error_code;
// Asio only says when a descriptor is ready; the transfers are the kernel's own calls. One type
// then serves unix sockets, TCP and TLS, connected and listening.
using Descriptor = asio::posix::stream_descriptor;

// What one on_bytes gives at most.
inline constexpr std::size_t kReadBytesMax = 1U << 20;
// One read of a TLS stream, before it is decrypted.
inline constexpr std::size_t kCipherBytesMax = 512U << 10;

struct Loop::Impl {
    asio::io_context context{1};
    asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
    std::atomic<std::thread::id> thread;
    // Shared by all streams of the loop: their content lives only until a callback returns, and
    // callbacks do not nest. Made by the first stream.
    Buffer plain;
    Buffer cipher;
    void make_buffers();
};

}  // namespace everstep::net
