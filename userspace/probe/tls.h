// TLS between bytes: contexts, which are shared by all checks that trust the
// same authorities, and the session of one probe over memory. No I/O but for
// the files with the authorities' certificates, which are small and local.
//
// OpenSSL is included in tls.cc alone.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ip_address.h"
#include "core/model.h"

struct ssl_st;
struct ssl_ctx_st;

namespace fairlead::probe {

struct FreeSsl {
  void operator()(ssl_st* session) const;
  void operator()(ssl_ctx_st* context) const;
};

// Contexts that are kept. More of them are made anew when they are needed.
inline constexpr size_t kMostTlsContexts = 64;

class TlsContexts {
 public:
  TlsContexts();
  TlsContexts(const TlsContexts&) = delete;
  TlsContexts& operator=(const TlsContexts&) = delete;
  ~TlsContexts();

  // Owned by this; valid until the next call. A CA file that has changed is
  // read again; one that cannot be read any more is used as it was. An error
  // names the file.
  absl::StatusOr<ssl_ctx_st*> For(const core::CheckConfig& check);

 private:
  struct Entry;
  std::map<std::string, Entry> entries_;  // by CA file; "-": not verified
};

// Whom the certificate must be for: the name that the check gives, or else the
// host that it asks for, or else the backend's address.
struct TlsPeer {
  base::IpAddress address;
  std::string name;
};
TlsPeer PeerOf(const core::CheckConfig& check, const base::IpAddress& address);

struct TlsFailure {
  core::ProbeOutcome outcome = core::ProbeOutcome::kTls;
  core::ProbeCause cause = core::ProbeCause::kHandshake;
  std::string detail;
};

enum class TlsState { kDone, kWantsMore, kClosed, kFailed };

class TlsSession {
 public:
  // As a client.
  TlsSession(ssl_ctx_st& context, const TlsPeer& peer);
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;
  ~TlsSession();

  // What came from the network, and what is to be sent after any other call.
  void Feed(absl::string_view data);
  std::string TakeOutput();

  TlsState Handshake();
  // Requires, for these: Handshake() was kDone. `got` is set if kDone.
  TlsState Read(std::span<char> buffer, size_t& got);
  TlsState Write(absl::string_view data);

  // Valid after kFailed.
  const TlsFailure& failure() const { return failure_; }
  // Until the server's certificate expires; negative: since. nullopt: there is
  // none.
  std::optional<int> CertificateDays() const;

 private:
  TlsState StateOf(int result);
  void Classify();

  std::unique_ptr<ssl_st, FreeSsl> ssl_;
  bool verify_ = true;
  TlsFailure failure_;
};

}  // namespace fairlead::probe
