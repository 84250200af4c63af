#include "common/net/tls_session.hpp"

#include <openssl/err.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "common/net/tls_words.hpp"

namespace everstep::net {
namespace {

[[nodiscard]] std::string quoted(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "'" : ", '") + name + "'";
    return text.empty() ? "none" : text;
}

[[nodiscard]] bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

// OpenSSL's view of a session: reads from its input, writes to its output.
struct TlsBio {
    static TlsSession& session(BIO* bio) { return *static_cast<TlsSession*>(BIO_get_data(bio)); }

    static int read(BIO* bio, char* to, std::size_t size, std::size_t* got) {
        BIO_clear_retry_flags(bio);
        Bytes& input = session(bio).input_;
        *got = std::min(size, input.size());
        if (*got == 0) {
            BIO_set_retry_read(bio);
            return 0;
        }
        std::memcpy(to, input.data(), *got);
        input = input.subspan(*got);
        return 1;
    }

    static int write(BIO* bio, const char* from, std::size_t size, std::size_t* put) {
        BIO_clear_retry_flags(bio);
        session(bio).output_.append(std::as_bytes(std::span(from, size)));
        *put = size;
        return 1;
    }

    static long control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
        return command == BIO_CTRL_FLUSH ? 1 : 0;
    }

    static const BIO_METHOD* method() {
        static BIO_METHOD* const made = [] {
            BIO_METHOD* method =
                BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "everstep");
            EVERSTEP_ASSERT(method != nullptr, "OpenSSL gives no BIO method");
            BIO_meth_set_read_ex(method, &TlsBio::read);
            BIO_meth_set_write_ex(method, &TlsBio::write);
            BIO_meth_set_ctrl(method, &TlsBio::control);
            return method;
        }();
        return made;
    }
};

Result<std::unique_ptr<TlsSession>> TlsSession::make(TlsContext& context, TlsRole role,
                                                     std::vector<std::string> names) {
    ERR_clear_error();
    SslPtr ssl(SSL_new(context.impl().context.get()));
    BIO* bio = ssl ? BIO_new(TlsBio::method()) : nullptr;
    if (bio == nullptr) return Status(ErrorCode::internal, "TLS: " + last_tls_words());
    std::unique_ptr<TlsSession> session(new TlsSession(std::move(ssl), role, std::move(names)));
    session->bytes_under_key_max_ = context.impl().bytes_under_key_max;
    BIO_set_data(bio, session.get());
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl_.get(), bio, bio);
    return session;
}

TlsSession::TlsSession(SslPtr ssl, TlsRole role, std::vector<std::string> names)
    : ssl_(std::move(ssl)), role_(role), names_(std::move(names)) {
    SSL_set_app_data(ssl_.get(), this);
    SSL_set_verify(ssl_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                   &TlsSession::verify);
    SSL_set_msg_callback(ssl_.get(), &TlsSession::see_message);
    SSL_set_msg_callback_arg(ssl_.get(), this);
    if (role_ == TlsRole::server)
        SSL_set_accept_state(ssl_.get());
    else
        SSL_set_connect_state(ssl_.get());
}

int TlsSession::verify(int chain_is_good, X509_STORE_CTX* store) {
    auto* ssl =
        static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    auto* session = static_cast<TlsSession*>(SSL_get_app_data(ssl));
    return session->check_certificate(chain_is_good, store) ? 1 : 0;
}

bool TlsSession::check_certificate(int chain_is_good, X509_STORE_CTX* store) {
    const X509* certificate = X509_STORE_CTX_get_current_cert(store);
    if (chain_is_good != 1) {
        verify_failure_ = certificate_words(X509_STORE_CTX_get_error(store), certificate);
        return false;
    }
    if (X509_STORE_CTX_get_error_depth(store) != 0) return true;
    const std::string name = common_name(X509_get_subject_name(certificate));
    const std::vector<std::string> also = dns_names(certificate);
    if (contains(names_, name) && contains(also, name)) {
        peer_name_ = name;
        return true;
    }
    verify_failure_ = "its certificate is for '" + name + "' (DNS names: " + quoted(also) +
                      "), wanted one of " + quoted(names_);
    X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
    return false;
}

void TlsSession::see_message(int sent, int /*version*/, int type, const void* data,
                             std::size_t size, SSL* /*ssl*/, void* session) {
    if (sent == 0 && type == SSL3_RT_HANDSHAKE && size > 0 &&
        *static_cast<const std::uint8_t*>(data) == SSL3_MT_KEY_UPDATE)
        static_cast<TlsSession*>(session)->confirmed_ = true;
}

Status TlsSession::failure(int result) {
    const int kind = SSL_get_error(ssl_.get(), result);
    if (kind == SSL_ERROR_ZERO_RETURN)
        return {ErrorCode::closed, "ended by the peer during the TLS handshake"};
    if (!verify_failure_.empty()) {
        ERR_clear_error();
        return {ErrorCode::refused, verify_failure_};
    }
    return {ErrorCode::refused, last_tls_words()};
}

Result<bool> TlsSession::handshake(Bytes cipher) {
    ERR_clear_error();
    input_ = cipher;
    if (!shaken_) {
        const int result = SSL_do_handshake(ssl_.get());
        if (result != 1) {
            if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return false;
            return failure(result);
        }
        shaken_ = true;
        if (role_ == TlsRole::server) {
            confirmed_ = true;
            SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
            if (const int sent = SSL_do_handshake(ssl_.get()); sent != 1) return failure(sent);
        }
    }
    if (role_ == TlsRole::client) {
        const auto confirmed = wait_for_confirmation();
        if (!confirmed.ok() || !*confirmed) return confirmed;
    }
    kept_.assign(input_.begin(), input_.end());
    keeps_ = !kept_.empty() || SSL_has_pending(ssl_.get()) == 1;
    return true;
}

// A peek takes in the server's messages but leaves its data, which confirm as well, for decrypt().
Result<bool> TlsSession::wait_for_confirmation() {
    std::byte first{};
    const int result = SSL_peek(ssl_.get(), &first, 1);
    if (result > 0) confirmed_ = true;
    if (result > 0 || SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return confirmed_;
    return failure(result);
}

TlsSession::Plain TlsSession::decrypt(Bytes cipher, MutableBytes to) {
    ERR_clear_error();
    EVERSTEP_ASSERT(cipher.empty() || !keeps_, "ciphertext before what was kept is read");
    input_ = cipher.empty() ? Bytes(kept_) : cipher;
    keeps_ = false;
    Plain plain;
    while (plain.bytes < to.size()) {
        std::size_t got = 0;
        const int result =
            SSL_read_ex(ssl_.get(), to.data() + plain.bytes, to.size() - plain.bytes, &got);
        plain.bytes += got;
        if (result == 1) continue;
        const int kind = SSL_get_error(ssl_.get(), result);
        peer_ended_ = kind == SSL_ERROR_ZERO_RETURN;
        if (kind != SSL_ERROR_WANT_READ && !peer_ended_) plain.status = failure(result);
        break;
    }
    kept_.clear();
    EVERSTEP_ASSERT(plain.bytes < to.size(), "no room for the plaintext of one read");
    return plain;
}

Status TlsSession::encrypt(Bytes plain) {
    ERR_clear_error();
    bytes_under_key_ += plain.size();
    if (bytes_under_key_ > bytes_under_key_max_) {
        bytes_under_key_ = plain.size();
        SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
    }
    std::size_t put = 0;
    const int result = SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &put);
    if (result == 1 && put == plain.size()) return {};
    return failure(result);
}

void TlsSession::end() {
    ERR_clear_error();
    // Nothing to do about a failure: the peer then sees a cut, and that is what it was.
    static_cast<void>(SSL_shutdown(ssl_.get()));
}

}  // namespace everstep::net
