#include "common/net/pki.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <memory>

#include "common/io/file.hpp"
#include "common/net/openssl_pointers.hpp"
#include "common/net/tls_words.hpp"

namespace everstep::net {
namespace {

constexpr int kCaDays = 10 * 365;
constexpr std::size_t kNameBytesMax = 64;  // ub-common-name of RFC 5280

using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<&EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Freer<&X509_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Freer<&X509_EXTENSION_free>>;
using BioPtr = std::unique_ptr<BIO, Freer<&BIO_free>>;

// A certificate with the key that goes with it.
struct Identity {
    CertificatePtr certificate;
    KeyPtr key;
};

struct Extension {
    int nid;
    std::string value;  // in the words of OpenSSL's x509v3_config
};

// What a new certificate says. It is signed by `issuer`, or by itself.
struct Request {
    std::string name;
    int days;
    std::vector<Extension> extensions;
    const Identity* issuer;
};

[[nodiscard]] Status openssl_failure(const std::string& object, std::string_view what) {
    return {ErrorCode::internal, object + ": " + std::string(what) + ": " + last_tls_words()};
}

[[nodiscard]] std::string file_of(const std::string& directory, const std::string& name,
                                  std::string_view ending) {
    return directory + "/" + name + std::string(ending);
}

[[nodiscard]] Status check_name(const std::string& name) {
    const bool letters = std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '.' || c == '_';
    });
    if (letters && !name.empty() && name.size() <= kNameBytesMax && name[0] != '-' &&
        name[0] != '.' && name != "ca")
        return {};
    return {ErrorCode::usage, "'" + name +
                                  "' is no name for a certificate: wanted 1 to 64 of "
                                  "[A-Za-z0-9._-], not 'ca', no '-' or '.' first"};
}

// 159 random bits: positive, and within the 20 bytes of RFC 5280.
[[nodiscard]] bool set_random_serial(X509* certificate) {
    const std::unique_ptr<BIGNUM, Freer<&BN_free>> number(BN_new());
    return number && BN_rand(number.get(), 159, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
           BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

// From a day ago, for clocks that are not quite right.
[[nodiscard]] bool set_validity(X509* certificate, int days) {
    const int from = std::min(days, 0) - 1;
    return X509_time_adj_ex(X509_getm_notBefore(certificate), from, 0, nullptr) != nullptr &&
           X509_time_adj_ex(X509_getm_notAfter(certificate), days, 0, nullptr) != nullptr;
}

[[nodiscard]] bool set_name(X509* certificate, const std::string& name) {
    const auto* text = reinterpret_cast<const unsigned char*>(name.data());
    return X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                      MBSTRING_UTF8, text, static_cast<int>(name.size()), -1,
                                      0) == 1;
}

[[nodiscard]] bool add_extension(X509* certificate, X509* issuer, const Extension& extension) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    const ExtensionPtr made(
        X509V3_EXT_conf_nid(nullptr, &context, extension.nid, extension.value.c_str()));
    return made && X509_add_ext(certificate, made.get(), -1) == 1;
}

[[nodiscard]] Result<Identity> make_identity(const Request& request) {
    ERR_clear_error();
    Identity made{CertificatePtr(X509_new()), KeyPtr(EVP_EC_gen("P-256"))};
    X509* certificate = made.certificate.get();
    if (certificate == nullptr || !made.key)
        return openssl_failure(request.name, "cannot make a key");
    X509* issuer = request.issuer != nullptr ? request.issuer->certificate.get() : certificate;
    EVP_PKEY* signer = request.issuer != nullptr ? request.issuer->key.get() : made.key.get();
    const bool filled = X509_set_version(certificate, X509_VERSION_3) == 1 &&
                        set_random_serial(certificate) && set_validity(certificate, request.days) &&
                        set_name(certificate, request.name) &&
                        X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1 &&
                        X509_set_pubkey(certificate, made.key.get()) == 1;
    if (!filled) return openssl_failure(request.name, "cannot fill in the certificate");
    for (const Extension& extension : request.extensions)
        if (!add_extension(certificate, issuer, extension))
            return openssl_failure(request.name, "cannot add an extension");
    if (X509_sign(certificate, signer, EVP_sha256()) == 0)
        return openssl_failure(request.name, "cannot sign");
    return made;
}

// Never over another file; mode 0600; durable when its directory is synced.
[[nodiscard]] Status write_file(const std::string& path, BIO* memory) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(memory, &data);
    const auto file = io::system_files().open(path, {.mode = io::OpenMode::create});
    if (!file.ok()) return file.status();
    const std::span text(data, static_cast<std::size_t>(size));
    EVERSTEP_TRY(file.value()->write_at(ByteOffset(0), std::as_bytes(text)));
    return file.value()->sync();
}

// The key first: a certificate without its key would be of no use, and neither replaces another.
[[nodiscard]] Status store(const Identity& identity, const std::string& directory,
                           const std::string& name) {
    for (const std::string_view ending : {".key", ".crt"}) {
        const std::string path = file_of(directory, name, ending);
        const auto there = io::system_files().exists(path);
        if (!there.ok()) return there.status();
        if (*there) return {ErrorCode::exists, path + ": exists already; it is never overwritten"};
    }
    const BioPtr key(BIO_new(BIO_s_mem()));
    const BioPtr certificate(BIO_new(BIO_s_mem()));
    if (PEM_write_bio_PKCS8PrivateKey(key.get(), identity.key.get(), nullptr, nullptr, 0, nullptr,
                                      nullptr) != 1 ||
        PEM_write_bio_X509(certificate.get(), identity.certificate.get()) != 1)
        return openssl_failure(directory, "cannot write PEM");
    const Status key_written = write_file(file_of(directory, name, ".key"), key.get());
    char* secret = nullptr;
    const long secret_bytes = BIO_get_mem_data(key.get(), &secret);
    OPENSSL_cleanse(secret, static_cast<std::size_t>(secret_bytes));
    EVERSTEP_TRY(key_written);
    EVERSTEP_TRY(write_file(file_of(directory, name, ".crt"), certificate.get()));
    return io::system_files().sync_directory(directory);
}

[[nodiscard]] Result<BioPtr> open_pem(const std::string& path) {
    const auto there = io::system_files().exists(path);
    if (!there.ok()) return there.status();
    if (!*there)
        return Status(ErrorCode::not_found, path + ": no CA here; 'everstep pki init' makes one");
    BioPtr file(BIO_new_file(path.c_str(), "r"));
    if (!file) return Status(ErrorCode::io, path + ": " + last_tls_words());
    return file;
}

[[nodiscard]] Result<Identity> load_ca(const std::string& directory) {
    ERR_clear_error();
    const std::string certificate_path = file_of(directory, "ca", ".crt");
    const std::string key_path = file_of(directory, "ca", ".key");
    const auto certificate_file = open_pem(certificate_path);
    if (!certificate_file.ok()) return certificate_file.status();
    const auto key_file = open_pem(key_path);
    if (!key_file.ok()) return key_file.status();
    Identity ca{
        CertificatePtr(PEM_read_bio_X509(certificate_file->get(), nullptr, nullptr, nullptr)),
        KeyPtr(PEM_read_bio_PrivateKey(key_file->get(), nullptr, nullptr, nullptr))};
    if (!ca.certificate)
        return Status(ErrorCode::corrupt,
                      certificate_path + ": no certificate: " + last_tls_words());
    if (!ca.key) return Status(ErrorCode::corrupt, key_path + ": no key: " + last_tls_words());
    if (X509_check_private_key(ca.certificate.get(), ca.key.get()) != 1)
        return Status(ErrorCode::corrupt, key_path + ": not the key of " + certificate_path);
    return ca;
}

// Two CAs with one name could not be told apart in a message.
[[nodiscard]] std::string ca_name() {
    return "Everstep CA " + Uuid::random().hex().substr(0, 8);
}

}  // namespace

Status pki_init(const std::string& directory) {
    EVERSTEP_TRY(io::system_files().make_directory(directory));
    const auto ca = make_identity({.name = ca_name(),
                                   .days = kCaDays,
                                   .extensions = {{NID_basic_constraints, "critical,CA:TRUE"},
                                                  {NID_key_usage, "critical,keyCertSign,cRLSign"},
                                                  {NID_subject_key_identifier, "hash"}},
                                   .issuer = nullptr});
    if (!ca.ok()) return ca.status();
    return store(*ca, directory, "ca");
}

Status pki_issue(const std::string& directory, const std::string& name, int days) {
    EVERSTEP_TRY(check_name(name));
    const auto ca = load_ca(directory);
    if (!ca.ok()) return ca.status();
    const auto leaf = make_identity({.name = name,
                                     .days = days,
                                     .extensions = {{NID_basic_constraints, "critical,CA:FALSE"},
                                                    {NID_key_usage, "critical,digitalSignature"},
                                                    {NID_ext_key_usage, "serverAuth,clientAuth"},
                                                    {NID_subject_alt_name, "DNS:" + name},
                                                    {NID_subject_key_identifier, "hash"},
                                                    {NID_authority_key_identifier, "keyid"}},
                                     .issuer = &*ca});
    if (!leaf.ok()) return leaf.status();
    return store(*leaf, directory, name);
}

}  // namespace everstep::net
