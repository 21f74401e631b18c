// Certificates for tests, made on the spot.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "base/check.h"

namespace fairlead::probe {

struct FreeOpenSsl {
  void operator()(X509* p) const { X509_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
  void operator()(SSL* p) const { SSL_free(p); }
  void operator()(BIO* p) const { BIO_free(p); }
};
template <typename T>
using OpenSslPtr = std::unique_ptr<T, FreeOpenSsl>;

struct CertificateOptions {
  std::string names = "DNS:web.example,IP:127.0.0.1,IP:::1";
  int from_days = -1;
  int to_days = 90;
};

// Signed by itself.
class Certificate {
 public:
  explicit Certificate(const CertificateOptions& options = {})
      : key_(EVP_EC_gen("P-256")), x509_(X509_new()) {
    X509* x509 = x509_.get();
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_time_adj_ex(X509_getm_notBefore(x509), options.from_days, 0, nullptr);
    // Half a day more, so that no second of the test's counts.
    X509_time_adj_ex(X509_getm_notAfter(x509), options.to_days, 43200, nullptr);
    X509_set_pubkey(x509, key_.get());
    X509_NAME* name = X509_get_subject_name(x509);
    const unsigned char common[] = "fairlead test";
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, common, -1, -1, 0);
    X509_set_issuer_name(x509, name);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(
        nullptr, nullptr, NID_subject_alt_name, options.names.c_str());
    FL_CHECK(extension != nullptr);
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
    FL_CHECK(X509_sign(x509, key_.get(), EVP_sha256()) > 0);
  }

  std::string Pem() const {
    const OpenSslPtr<BIO> bio(BIO_new(BIO_s_mem()));
    FL_CHECK(PEM_write_bio_X509(bio.get(), x509_.get()) == 1);
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return std::string(data, static_cast<size_t>(size));
  }

  // A server's.
  OpenSslPtr<SSL_CTX> Context() const {
    OpenSslPtr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()));
    FL_CHECK(SSL_CTX_use_certificate(context.get(), x509_.get()) == 1);
    FL_CHECK(SSL_CTX_use_PrivateKey(context.get(), key_.get()) == 1);
    return context;
  }

 private:
  OpenSslPtr<EVP_PKEY> key_;
  OpenSslPtr<X509> x509_;
};

}  // namespace fairlead::probe
