#include "common/net/tls_words.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>

namespace everstep::net {
namespace {

[[nodiscard]] std::string text_of(const ASN1_STRING* text) {
    return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
            static_cast<std::size_t>(ASN1_STRING_length(text))};
}

[[nodiscard]] std::string date_of(const ASN1_TIME* time) {
    const std::unique_ptr<BIO, decltype(&BIO_free)> memory(BIO_new(BIO_s_mem()), &BIO_free);
    ASN1_TIME_print(memory.get(), time);
    char* data = nullptr;
    const long size = BIO_get_mem_data(memory.get(), &data);
    return {data, static_cast<std::size_t>(size)};
}

[[nodiscard]] const char* reason_words(int reason) {
    switch (reason) {
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
            return "it showed no certificate";
        case SSL_R_UNSUPPORTED_PROTOCOL:
        case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
            return "it does not speak TLS 1.3";
        case SSL_R_WRONG_VERSION_NUMBER:
        case SSL_R_HTTP_REQUEST:
        case SSL_R_HTTPS_PROXY_REQUEST:
        case SSL_R_PACKET_LENGTH_TOO_LONG:
        case SSL_R_UNEXPECTED_MESSAGE:
        case SSL_R_RECORD_LENGTH_MISMATCH:
            return "what it sent is not TLS";
        case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
            return "it wants a certificate of ours";
        case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
            return "it says that our certificate has expired";
        case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
            return "it says that our certificate is of a CA that it does not know";
        case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
            return "it says that our certificate is damaged or bears a name that it does not "
                   "expect";
        case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
            return "it says that our certificate is revoked";
        case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
        case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
            return "it says that our certificate is not good for this";
        case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
            return "it refused the handshake";
        case SSL_R_SSLV3_ALERT_BAD_RECORD_MAC:
        case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
            return "a TLS record was damaged on the way";
        default:
            return nullptr;
    }
}

}  // namespace

std::string common_name(const X509_NAME* name) {
    const int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (index < 0) return {};
    return text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
}

std::vector<std::string> dns_names(const X509* certificate) {
    std::vector<std::string> names;
    auto* list = static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
    for (int i = 0; i < sk_GENERAL_NAME_num(list); ++i) {
        const GENERAL_NAME* name = sk_GENERAL_NAME_value(list, i);
        if (name->type == GEN_DNS) names.push_back(text_of(name->d.dNSName));
    }
    GENERAL_NAMES_free(list);
    return names;
}

std::string certificate_words(int error, const X509* certificate) {
    const std::string whose =
        "its certificate for '" + common_name(X509_get_subject_name(certificate)) + "'";
    const std::string issuer = "'" + common_name(X509_get_issuer_name(certificate)) + "'";
    switch (error) {
        case X509_V_ERR_CERT_HAS_EXPIRED:
            return whose + " has expired (" + date_of(X509_get0_notAfter(certificate)) + ")";
        case X509_V_ERR_CERT_NOT_YET_VALID:
            return whose + " is not valid before " + date_of(X509_get0_notBefore(certificate));
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_CERT_SIGNATURE_FAILURE:
            return whose + " is of an unknown CA (" + issuer + ")";
        default:
            return whose + ": " + X509_verify_cert_error_string(error);
    }
}

std::string last_tls_words() {
    const unsigned long error = ERR_peek_error();
    ERR_clear_error();
    if (error == 0) return "no reason known";
    if (const char* words = reason_words(ERR_GET_REASON(error));
        words != nullptr && ERR_GET_LIB(error) == ERR_LIB_SSL)
        return words;
    std::array<char, 256> text{};
    ERR_error_string_n(error, text.data(), text.size());
    const char* reason = ERR_reason_error_string(error);
    return reason != nullptr ? reason : text.data();
}

}  // namespace everstep::net
