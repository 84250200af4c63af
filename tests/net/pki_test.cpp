#include "common/net/pki.hpp"

#include <sys/stat.h>

#include <array>
#include <fstream>
#include <iterator>

#include "tests/net/harness.hpp"

namespace everstep::net {
namespace {

class PkiTest : public ::testing::Test {
  protected:
    PkiTest() {
        std::string name = "/tmp/everstep-pki-XXXXXX";
        directory_ = std::string(::mkdtemp(name.data())) + "/ca";
    }
    ~PkiTest() override {
        std::filesystem::remove_all(std::filesystem::path(directory_).parent_path());
    }
    [[nodiscard]] std::string path(const std::string& name) const {
        return directory_ + "/" + name;
    }
    [[nodiscard]] static std::string content(const std::string& path) {
        std::ifstream file(path);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    [[nodiscard]] static std::string openssl(const std::string& arguments) {
        std::string text;
        FILE* pipe = ::popen(("openssl " + arguments + " 2>&1").c_str(), "r");
        std::array<char, 512> line{};
        while (std::fgets(line.data(), line.size(), pipe) != nullptr) text += line.data();
        ::pclose(pipe);
        return text;
    }
    std::string directory_;
};

TEST_F(PkiTest, OpensslVerifiesWhatWasIssued) {
    ASSERT_OK(pki_init(directory_));
    ASSERT_OK(pki_issue(directory_, "alpha"));
    EXPECT_NE(openssl("verify -x509_strict -CAfile " + path("ca.crt") + " " + path("alpha.crt"))
                  .find(": OK"),
              std::string::npos);
    const std::string ca = openssl("x509 -noout -text -in " + path("ca.crt"));
    for (const char* wanted : {"CA:TRUE", "Certificate Sign", "prime256v1", "ecdsa-with-SHA256"})
        EXPECT_NE(ca.find(wanted), std::string::npos) << wanted << "\n" << ca;
    const std::string leaf = openssl("x509 -noout -text -in " + path("alpha.crt"));
    for (const char* wanted :
         {"Version: 3", "CN = alpha", "DNS:alpha", "CA:FALSE", "TLS Web Server Authentication",
          "TLS Web Client Authentication", "Digital Signature"})
        EXPECT_NE(leaf.find(wanted), std::string::npos) << wanted << "\n" << leaf;
    EXPECT_NE(content(path("alpha.key")).find("BEGIN PRIVATE KEY"), std::string::npos) << "PKCS#8";
}

TEST_F(PkiTest, KeysArePrivate) {
    ASSERT_OK(pki_init(directory_));
    ASSERT_OK(pki_issue(directory_, "alpha"));
    for (const char* name : {"ca.key", "alpha.key"}) {
        struct stat facts {};
        ASSERT_EQ(::stat(path(name).c_str(), &facts), 0);
        EXPECT_EQ(facts.st_mode & 0777, 0600U);
    }
}

TEST_F(PkiTest, NothingIsEverOverwritten) {
    ASSERT_OK(pki_init(directory_));
    ASSERT_OK(pki_issue(directory_, "alpha"));
    const std::string ca_key = content(path("ca.key"));
    const std::string alpha = content(path("alpha.crt"));
    EXPECT_EQ(pki_init(directory_).code(), ErrorCode::exists);
    EXPECT_EQ(pki_issue(directory_, "alpha").code(), ErrorCode::exists);
    std::filesystem::remove(path("alpha.key"));
    EXPECT_EQ(pki_issue(directory_, "alpha").code(), ErrorCode::exists);
    EXPECT_FALSE(std::filesystem::exists(path("alpha.key")));
    EXPECT_EQ(content(path("ca.key")), ca_key);
    EXPECT_EQ(content(path("alpha.crt")), alpha);
}

TEST_F(PkiTest, SerialsDiffer) {
    ASSERT_OK(pki_init(directory_));
    ASSERT_OK(pki_issue(directory_, "a"));
    ASSERT_OK(pki_issue(directory_, "b"));
    EXPECT_NE(openssl("x509 -noout -serial -in " + path("a.crt")),
              openssl("x509 -noout -serial -in " + path("b.crt")));
}

TEST_F(PkiTest, BadNamesAreRefused) {
    ASSERT_OK(pki_init(directory_));
    for (const std::string& name :
         {std::string(), std::string("../x"), std::string("a/b"), std::string("ca"),
          std::string("-x"), std::string(".x"), std::string("a,DNS:b"), std::string("a\0b", 3),
          std::string(65, 'a'), std::string("a b")}) {
        EXPECT_EQ(pki_issue(directory_, name).code(), ErrorCode::usage) << name;
    }
    ASSERT_OK(pki_issue(directory_, std::string(64, 'a')));
}

TEST_F(PkiTest, ADamagedOrMissingCaIsNamed) {
    const Status none = pki_issue(directory_, "alpha");
    EXPECT_EQ(none.code(), ErrorCode::not_found);
    EXPECT_NE(none.message().find(path("ca.crt")), std::string::npos);
    ASSERT_OK(pki_init(directory_));
    std::ofstream(path("ca.key")) << "garbage";
    const Status damaged = pki_issue(directory_, "alpha");
    EXPECT_EQ(damaged.code(), ErrorCode::corrupt);
    EXPECT_NE(damaged.message().find(path("ca.key")), std::string::npos);
}

}  // namespace
}  // namespace everstep::net
