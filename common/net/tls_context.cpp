// TlsContext: what all TLS connections of a node share: its certificate and key, the CA, and the
// rules.
#include <openssl/err.h>

#include "common/net/tls_session.hpp"
#include "common/net/tls_words.hpp"

namespace everstep::net {
namespace {

[[nodiscard]] Status bad_file(const std::string& file, std::string_view what) {
    return {ErrorCode::usage, file + ": " + std::string(what) + ": " + last_tls_words()};
}

[[nodiscard]] Status load_files(SSL_CTX* context, const TlsOptions& options) {
    ERR_clear_error();
    if (SSL_CTX_load_verify_file(context, options.ca.c_str()) != 1)
        return bad_file(options.ca, "no usable CA certificate");
    STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(options.ca.c_str());
    if (names == nullptr) return bad_file(options.ca, "no usable CA certificate");
    SSL_CTX_set_client_CA_list(context, names);
    if (SSL_CTX_use_certificate_chain_file(context, options.certificate.c_str()) != 1)
        return bad_file(options.certificate, "no usable certificate");
    // Also compares it with the certificate's public key.
    if (SSL_CTX_use_PrivateKey_file(context, options.key.c_str(), SSL_FILETYPE_PEM) != 1)
        return bad_file(options.key, "no usable key of " + options.certificate);
    if (SSL_CTX_check_private_key(context) != 1)
        return bad_file(options.key, "not the key of " + options.certificate);
    return {};
}

}  // namespace

TlsContext::TlsContext() : impl_(std::make_unique<Impl>()) {}
TlsContext::~TlsContext() = default;

void change_keys_after(TlsContext& context, std::uint64_t bytes) {
    context.impl().bytes_under_key_max = bytes;
}

Result<std::shared_ptr<TlsContext>> TlsContext::make(const TlsOptions& options) {
    std::shared_ptr<TlsContext> made(new TlsContext());
    SSL_CTX* context = SSL_CTX_new(TLS_method());
    EVERSTEP_ASSERT(context != nullptr, "OpenSSL gives no context");
    made->impl_->context.reset(context);
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION);
    // Every connection shows its certificate anew: no resumption.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    EVERSTEP_TRY(load_files(context, options));
    return made;
}

}  // namespace everstep::net
