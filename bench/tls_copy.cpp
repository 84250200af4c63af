// tls_copy: a file over one TLS 1.3 connection into another file, as plainly as it can be done:
// what bench/link compares the link between two nodes with. Each command prints its figures as
// JSON.
//
//   tls_copy receive CA CERTIFICATE KEY TARGET BYTES   prints its port first
//   tls_copy send CA CERTIFICATE KEY SOURCE PORT
//
// The target is written before anybody is let in, as a segment's file that is used again. What has
// come is written O_DIRECT and then synced, all that waits at a time, while more is received; the
// last sync is confirmed to the sender, whose time ends with that.
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t kFrameBytes = 128U << 10;  // given to TLS at a time
constexpr std::size_t kPieceBytes = 1U << 20;    // written at a time
constexpr std::size_t kPiecesMax = 64;           // received and not yet synced
constexpr std::size_t kAlignment = 4096;

[[noreturn]] void fail(std::string_view what) {
    std::fprintf(stderr, "tls_copy: %.*s: %s\n", static_cast<int>(what.size()), what.data(),
                 std::strerror(errno));
    ERR_print_errors_fp(stderr);
    std::exit(1);
}

void require(bool holds, std::string_view what) {
    if (!holds) fail(what);
}

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

double cpu_seconds() {
    rusage usage{};
    require(::getrusage(RUSAGE_SELF, &usage) == 0, "getrusage");
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
};

struct Piece {
    std::unique_ptr<std::byte, Free> memory{
        static_cast<std::byte*>(std::aligned_alloc(kAlignment, kPieceBytes))};
    std::size_t bytes = 0;
};

void write_all(int fd, const std::byte* from, std::size_t bytes, std::uint64_t at) {
    while (bytes > 0) {
        const ssize_t done = ::pwrite(fd, from, bytes, static_cast<off_t>(at));
        require(done > 0, "write");
        from += done;
        bytes -= static_cast<std::size_t>(done);
        at += static_cast<std::uint64_t>(done);
    }
}

// Appends pieces on a thread of its own: one sync for all that waited.
class Writer {
  public:
    explicit Writer(int fd) : fd_(fd), thread_([this] { run(); }) {}

    Piece free_piece() {
        std::unique_lock lock(mutex_);
        moved_.wait(lock, [this] { return !free_.empty() || made_ < kPiecesMax; });
        if (free_.empty()) {
            ++made_;
            return {};
        }
        Piece piece = std::move(free_.back());
        free_.pop_back();
        return piece;
    }

    void push(Piece piece) {
        const std::lock_guard lock(mutex_);
        waiting_.push_back(std::move(piece));
        moved_.notify_all();
    }

    void finish() {
        {
            const std::lock_guard lock(mutex_);
            over_ = true;
            moved_.notify_all();
        }
        thread_.join();
    }

  private:
    void run() {
        for (;;) {
            std::deque<Piece> taken;
            {
                std::unique_lock lock(mutex_);
                moved_.wait(lock, [this] { return !waiting_.empty() || over_; });
                if (waiting_.empty()) return;
                taken.swap(waiting_);
            }
            for (const Piece& piece : taken) {
                const std::size_t whole = (piece.bytes + kAlignment - 1) / kAlignment * kAlignment;
                write_all(fd_, piece.memory.get(), whole, written_);
                written_ += piece.bytes;
            }
            require(::fdatasync(fd_) == 0, "fdatasync");
            const std::lock_guard lock(mutex_);
            for (Piece& piece : taken) free_.push_back(std::move(piece));
            moved_.notify_all();
        }
    }

    const int fd_;
    std::uint64_t written_ = 0;
    std::mutex mutex_;
    std::condition_variable moved_;
    std::deque<Piece> waiting_;
    std::vector<Piece> free_;
    std::size_t made_ = 0;
    bool over_ = false;
    std::thread thread_;
};

struct Files {
    const char* ca;
    const char* certificate;
    const char* key;
};

SSL* make_tls(const Files& files, int fd) {
    SSL_CTX* context = SSL_CTX_new(TLS_method());
    require(context != nullptr, "SSL_CTX_new");
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    require(SSL_CTX_load_verify_file(context, files.ca) == 1, files.ca);
    require(SSL_CTX_use_certificate_chain_file(context, files.certificate) == 1, files.certificate);
    require(SSL_CTX_use_PrivateKey_file(context, files.key, SSL_FILETYPE_PEM) == 1, files.key);
    SSL* tls = SSL_new(context);
    require(tls != nullptr && SSL_set_fd(tls, fd) == 1, "SSL_new");
    return tls;
}

sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    address.sin_port = ::htons(static_cast<std::uint16_t>(port));
    return address;
}

int prewritten(const char* path, std::uint64_t bytes) {
    const int fd = ::open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    require(fd >= 0, path);
    Piece zeroes;
    std::memset(zeroes.memory.get(), 0, kPieceBytes);
    for (std::uint64_t at = 0; at < bytes; at += kPieceBytes)
        write_all(fd, zeroes.memory.get(), kPieceBytes, at);
    require(::fsync(fd) == 0, path);
    return fd;
}

int accept_one() {
    const int listening = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    require(::bind(listening, raw, size) == 0 && ::listen(listening, 1) == 0, "listen");
    require(::getsockname(listening, raw, &size) == 0, "getsockname");
    std::printf("%d\n", ::ntohs(address.sin_port));
    std::fflush(stdout);
    const int fd = ::accept(listening, nullptr, nullptr);
    require(fd >= 0, "accept");
    return fd;
}

void say(std::uint64_t bytes, double since, double cpu_before) {
    std::printf("{\"bytes\": %llu, \"seconds\": %.6f, \"cpu_seconds\": %.6f}\n",
                static_cast<unsigned long long>(bytes), now() - since, cpu_seconds() - cpu_before);
}

void receive(const Files& files, const char* target, std::uint64_t bytes) {
    const int file = prewritten(target, bytes);
    const int fd = accept_one();
    const double began = now();
    const double cpu = cpu_seconds();
    SSL* tls = make_tls(files, fd);
    require(SSL_accept(tls) == 1, "SSL_accept");
    Writer writer(file);
    for (std::uint64_t left = bytes; left > 0;) {
        Piece piece = writer.free_piece();
        piece.bytes = 0;
        const std::size_t wanted = std::min<std::uint64_t>(left, kPieceBytes);
        while (piece.bytes < wanted) {
            std::size_t got = 0;
            require(
                SSL_read_ex(tls, piece.memory.get() + piece.bytes, wanted - piece.bytes, &got) == 1,
                "SSL_read");
            piece.bytes += got;
        }
        left -= piece.bytes;
        writer.push(std::move(piece));
    }
    writer.finish();
    std::size_t put = 0;
    require(SSL_write_ex(tls, "d", 1, &put) == 1, "the confirmation");
    say(bytes, began, cpu);
}

void send(const Files& files, const char* source, int port) {
    const int file = ::open(source, O_RDONLY | O_CLOEXEC);
    require(file >= 0, source);
    const double began = now();
    const double cpu = cpu_seconds();
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = loopback(port);
    require(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
            "connect");
    SSL* tls = make_tls(files, fd);
    require(SSL_connect(tls) == 1, "SSL_connect");
    std::vector<std::byte> frame(kFrameBytes);
    std::uint64_t bytes = 0;
    for (;;) {
        const ssize_t got = ::read(file, frame.data(), frame.size());
        require(got >= 0, source);
        if (got == 0) break;
        std::size_t put = 0;
        require(SSL_write_ex(tls, frame.data(), static_cast<std::size_t>(got), &put) == 1,
                "SSL_write");
        bytes += put;
    }
    char confirmed = 0;
    std::size_t got = 0;
    require(SSL_read_ex(tls, &confirmed, 1, &got) == 1, "the confirmation");
    say(bytes, began, cpu);
}

}  // namespace

int main(int count, char** words) {
    const std::string_view command = count > 1 ? words[1] : "";
    if (count != 7 || (command != "receive" && command != "send")) {
        std::fprintf(stderr,
                     "usage: tls_copy receive CA CERTIFICATE KEY TARGET BYTES\n"
                     "       tls_copy send CA CERTIFICATE KEY SOURCE PORT\n");
        return 2;
    }
    const Files files{words[2], words[3], words[4]};
    if (command == "receive")
        receive(files, words[5], std::strtoull(words[6], nullptr, 10));
    else
        send(files, words[5], std::atoi(words[6]));
    return 0;
}
