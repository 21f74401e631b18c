#include "probe/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/status_macros.h"

namespace fairlead::probe {
namespace {

using core::ProbeCause;
using core::ProbeOutcome;
using ContextPtr = std::unique_ptr<SSL_CTX, FreeSsl>;

constexpr char kNotVerified[] = "-";
// The one protocol that a probe speaks inside.
constexpr unsigned char kAlpn[] = "\x08http/1.1";

// Of a file, as far as a change shows in it.
struct FileState {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  int64_t modified_ns = 0;

  friend bool operator==(const FileState&, const FileState&) = default;
};

absl::StatusOr<FileState> StateOfFile(const std::string& path) {
  struct stat found = {};
  if (stat(path.c_str(), &found) != 0)
    return base::SyscallError(absl::StrCat("CA file ", path));
  return FileState{
      found.st_dev, found.st_ino, found.st_size,
      int64_t{found.st_mtim.tv_sec} * 1'000'000'000 + found.st_mtim.tv_nsec};
}

std::string LastError() {
  const unsigned long error = ERR_peek_last_error();
  const char* text = ERR_reason_error_string(error);
  return text == nullptr ? absl::StrCat("error ", error) : text;
}

ContextPtr MakeContext() {
  ContextPtr context(SSL_CTX_new(TLS_client_method()));
  FL_CHECK(context != nullptr);
  FL_CHECK(SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) == 1);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  // Many servers close without TLS's own goodbye; whether the answer was whole
  // is HTTP's to say.
  SSL_CTX_set_options(context.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
  FL_CHECK(SSL_CTX_set_alpn_protos(context.get(), kAlpn, sizeof(kAlpn) - 1) ==
           0);
  return context;
}

absl::StatusOr<ContextPtr> MakeVerifying(const std::string& ca_file) {
  ContextPtr context = MakeContext();
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  // Whoever is in the file is trusted, be it an authority or the server.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context.get()),
                              X509_V_FLAG_PARTIAL_CHAIN);
  ERR_clear_error();
  if (ca_file.empty()) {
    if (SSL_CTX_set_default_verify_paths(context.get()) == 1) return context;
    return absl::UnavailableError(
        absl::StrCat("the system's authorities: ", LastError()));
  }
  if (SSL_CTX_load_verify_file(context.get(), ca_file.c_str()) == 1)
    return context;
  return absl::UnavailableError(
      absl::StrCat("CA file ", ca_file, ": ", LastError()));
}

absl::string_view WithoutPort(absl::string_view host) {
  if (!host.empty() && host[0] == '[')
    return host.substr(1, host.find(']') - 1);
  const size_t colon = host.find(':');
  // More than one: an IPv6 address.
  if (colon != host.rfind(':')) return host;
  return host.substr(0, colon);
}

ProbeCause CauseOf(long verified) {
  switch (verified) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return ProbeCause::kExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return ProbeCause::kNotYetValid;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return ProbeCause::kSelfSigned;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
      return ProbeCause::kUntrusted;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return ProbeCause::kWrongName;
    default:
      return ProbeCause::kInvalid;
  }
}

ProbeCause CauseOfError(unsigned long error) {
  const int reason = ERR_GET_REASON(error);
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return ProbeCause::kHandshake;
  if (reason >= SSL_AD_REASON_OFFSET) return ProbeCause::kAlert;
  switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_UNKNOWN_PROTOCOL:
      return ProbeCause::kNotTls;
    default:
      return ProbeCause::kHandshake;
  }
}

}  // namespace

void FreeSsl::operator()(ssl_st* session) const { SSL_free(session); }
void FreeSsl::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

struct TlsContexts::Entry {
  ContextPtr context;
  FileState file;
};

TlsContexts::TlsContexts() = default;
TlsContexts::~TlsContexts() = default;

absl::StatusOr<SSL_CTX*> TlsContexts::For(const core::CheckConfig& check) {
  const std::string key = check.verify ? check.ca_file : kNotVerified;
  const auto known = entries_.find(key);
  FileState file;
  if (check.verify && !check.ca_file.empty()) {
    const absl::StatusOr<FileState> state = StateOfFile(check.ca_file);
    if (state.ok()) file = *state;
    if (!state.ok() && known == entries_.end()) return state.status();
    if (!state.ok()) return known->second.context.get();
  }
  if (known != entries_.end() && known->second.file == file)
    return known->second.context.get();

  absl::StatusOr<ContextPtr> made =
      check.verify ? MakeVerifying(check.ca_file) : MakeContext();
  if (!made.ok() && known == entries_.end()) return made.status();
  if (!made.ok()) return known->second.context.get();
  if (entries_.size() >= kMostTlsContexts) entries_.clear();
  Entry& entry = entries_[key];
  entry = {*std::move(made), file};
  return entry.context.get();
}

TlsPeer PeerOf(const core::CheckConfig& check, const base::IpAddress& address) {
  TlsPeer peer = {.address = address};
  const absl::string_view name = check.server_name.empty()
                                     ? WithoutPort(check.host)
                                     : absl::string_view(check.server_name);
  const absl::StatusOr<base::IpAddress> literal = base::IpAddress::Parse(name);
  if (literal.ok()) {
    peer.address = *literal;
  } else {
    peer.name = std::string(name);
  }
  return peer;
}

TlsSession::TlsSession(SSL_CTX& context, const TlsPeer& peer)
    : ssl_(SSL_new(&context)),
      verify_(SSL_CTX_get_verify_mode(&context) != SSL_VERIFY_NONE) {
  FL_CHECK(ssl_ != nullptr);
  SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(ssl_.get());
  X509_VERIFY_PARAM* wanted = SSL_get0_param(ssl_.get());
  if (peer.name.empty()) {
    FL_CHECK(X509_VERIFY_PARAM_set1_ip_asc(
                 wanted, peer.address.ToString().c_str()) == 1);
    return;
  }
  X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  FL_CHECK(X509_VERIFY_PARAM_set1_host(wanted, peer.name.c_str(),
                                       peer.name.size()) == 1);
  FL_CHECK(SSL_set_tlsext_host_name(ssl_.get(), peer.name.c_str()) == 1);
}

TlsSession::~TlsSession() = default;

void TlsSession::Feed(absl::string_view data) {
  FL_CHECK(BIO_write(SSL_get_rbio(ssl_.get()), data.data(),
                     static_cast<int>(data.size())) ==
           static_cast<int>(data.size()));
}

std::string TlsSession::TakeOutput() {
  BIO* output = SSL_get_wbio(ssl_.get());
  std::string bytes(BIO_ctrl_pending(output), '\0');
  if (!bytes.empty())
    FL_CHECK(BIO_read(output, bytes.data(), static_cast<int>(bytes.size())) ==
             static_cast<int>(bytes.size()));
  return bytes;
}

TlsState TlsSession::Handshake() {
  ERR_clear_error();
  return StateOf(SSL_do_handshake(ssl_.get()));
}

TlsState TlsSession::Read(std::span<char> buffer, size_t& got) {
  ERR_clear_error();
  return StateOf(SSL_read_ex(ssl_.get(), buffer.data(), buffer.size(), &got));
}

TlsState TlsSession::Write(absl::string_view data) {
  ERR_clear_error();
  size_t written = 0;
  return StateOf(SSL_write_ex(ssl_.get(), data.data(), data.size(), &written));
}

TlsState TlsSession::StateOf(int result) {
  if (result > 0) return TlsState::kDone;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return TlsState::kWantsMore;
    case SSL_ERROR_ZERO_RETURN:
      return TlsState::kClosed;
    default:
      Classify();
      return TlsState::kFailed;
  }
}

void TlsSession::Classify() {
  const long verified = SSL_get_verify_result(ssl_.get());
  if (verify_ && verified != X509_V_OK) {
    failure_ = {.outcome = ProbeOutcome::kCertificate,
                .cause = CauseOf(verified),
                .detail = X509_verify_cert_error_string(verified)};
    return;
  }
  failure_ = {.outcome = ProbeOutcome::kTls,
              .cause = CauseOfError(ERR_peek_error()),
              .detail = LastError()};
}

std::optional<int> TlsSession::CertificateDays() const {
  const X509* certificate = SSL_get0_peer_certificate(ssl_.get());
  if (certificate == nullptr) return std::nullopt;
  int days = 0;
  int seconds = 0;
  // From now.
  if (ASN1_TIME_diff(&days, &seconds, nullptr,
                     X509_get0_notAfter(certificate)) != 1)
    return std::nullopt;
  return seconds < 0 ? days - 1 : days;
}

}  // namespace fairlead::probe
