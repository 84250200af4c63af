// TlsSession: one end of a TLS 1.3 connection without any I/O: ciphertext in, plaintext out, and
// back.
//
// Thread: its stream's. Invariants: what comes in is consumed or kept whole; what has to go out is
// in output() when a call returns, alerts of a failure too; after a failure nothing more comes out.
// A client's handshake is complete only when the server has accepted the client's certificate.
// TLS 1.3 itself does not tell the client, so the server sends a KeyUpdate as soon as it has.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <vector>

#include "common/base/buffer.hpp"
#include "common/base/status.hpp"
#include "common/net/openssl_pointers.hpp"
#include "common/net/stream.hpp"
#include "common/net/tls_keys.hpp"

namespace everstep::net {

using SslContextPtr = std::unique_ptr<SSL_CTX, Freer<&SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, Freer<&SSL_free>>;

struct TlsContext::Impl {
    SslContextPtr context;
    std::uint64_t bytes_under_key_max = kBytesUnderKeyMax;
};

enum class TlsRole : bool { client, server };

class TlsSession {
  public:
    // `names`: the common names that the peer may bear.
    [[nodiscard]] static Result<std::unique_ptr<TlsSession>> make(TlsContext& context, TlsRole role,
                                                                  std::vector<std::string> names);
    TlsSession(const TlsSession&) = delete;
    TlsSession& operator=(const TlsSession&) = delete;

    // True when the handshake is complete. refused: why, in plain words.
    [[nodiscard]] Result<bool> handshake(Bytes cipher);
    [[nodiscard]] const std::string& peer_name() const { return peer_name_; }

    struct Plain {
        std::size_t bytes = 0;  // at the start of `to`
        Status status;          // holds behind those bytes
    };
    // `to` has room for all of `cipher` and for what was kept.
    [[nodiscard]] Plain decrypt(Bytes cipher, MutableBytes to);
    // Plaintext waits that came with the end of the handshake: decrypt({}, to) gives it.
    [[nodiscard]] bool has_kept() const { return keeps_; }

    [[nodiscard]] Status encrypt(Bytes plain);
    void end();  // close_notify
    [[nodiscard]] bool peer_ended() const { return peer_ended_; }
    [[nodiscard]] Buffer& output() { return output_; }

  private:
    friend struct TlsBio;
    TlsSession(SslPtr ssl, TlsRole role, std::vector<std::string> names);
    static int verify(int chain_is_good, X509_STORE_CTX* store);
    static void see_message(int sent, int version, int type, const void* data, std::size_t size,
                            SSL* ssl, void* session);
    [[nodiscard]] bool check_certificate(int chain_is_good, X509_STORE_CTX* store);
    [[nodiscard]] Result<bool> wait_for_confirmation();
    [[nodiscard]] Status failure(int result);

    SslPtr ssl_;
    TlsRole role_;
    std::vector<std::string> names_;
    std::string peer_name_;
    std::string verify_failure_;
    Bytes input_;                  // valid during one call
    std::vector<std::byte> kept_;  // ciphertext behind the end of the handshake
    bool keeps_ = false;
    bool shaken_ = false;
    bool confirmed_ = false;
    bool peer_ended_ = false;
    std::uint64_t bytes_under_key_ = 0;
    std::uint64_t bytes_under_key_max_ = kBytesUnderKeyMax;
    Buffer output_;
};

}  // namespace everstep::net
