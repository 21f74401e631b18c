#include "tier/message_auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/text.h"

namespace fairlead::tier {
namespace {

constexpr char kCaller[] = "fairlead-caller";
constexpr char kSession[] = "fairlead-session";
constexpr char kCount[] = "fairlead-count";
constexpr char kNonce[] = "fairlead-nonce";
constexpr char kMac[] = "fairlead-mac";

constexpr size_t kMaxCallerBytes = 128;
// All of them hold the secret; more than this many is a mistake.
constexpr size_t kMaxCallers = 4096;
constexpr int kTurnedAway = 401;

std::string Hex(absl::string_view bytes) {
  return absl::BytesToHexString(bytes);
}

template <size_t kSize>
std::string Hex(const std::array<uint8_t, kSize>& bytes) {
  return Hex(absl::string_view(reinterpret_cast<const char*>(bytes.data()),
                               bytes.size()));
}

std::string RandomHex() {
  std::array<uint8_t, 16> bytes;
  FL_CHECK(RAND_bytes(bytes.data(), bytes.size()) == 1);
  return Hex(bytes);
}

std::string Sha256(absl::string_view text) {
  std::array<uint8_t, 32> digest;
  unsigned int size = 0;
  FL_CHECK(EVP_Digest(text.data(), text.size(), digest.data(), &size,
                      EVP_sha256(), nullptr) == 1);
  return Hex(digest);
}

std::string Mac(const MacKey& key, absl::string_view text) {
  return Hex(HmacSha256(
      absl::string_view(reinterpret_cast<const char*>(key.data()), key.size()),
      text));
}

bool Equal(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() &&
         CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

// Length before value: no two requests have one text.
void AppendField(absl::string_view value, std::string& text) {
  absl::StrAppend(&text, value.size(), ":", value, "\n");
}

std::string RequestText(const http::Request& request) {
  std::string text = "fairlead request 1\n";
  AppendField(request.method, text);
  AppendField(request.path, text);
  absl::StrAppend(&text, request.query.size(), "\n");
  for (const auto& [name, value] : request.query) {
    AppendField(name, text);
    AppendField(value, text);
  }
  for (const char* const name : {kCaller, kSession, kCount, kNonce})
    AppendField(request.header(name), text);
  AppendField(Sha256(request.body), text);
  return text;
}

std::string ResponseText(const http::Request& request,
                         const http::Response& response) {
  std::string text = "fairlead response 1\n";
  AppendField(absl::StrCat(response.status), text);
  AppendField(request.header(kMac), text);
  for (const char* const name : {kSession, kCount})
    AppendField(response.header(name), text);
  AppendField(Sha256(response.body), text);
  return text;
}

}  // namespace

Caller::Caller(const MacKey& key, std::string name)
    : key_(key), name_(std::move(name)) {}

void Caller::Sign(http::Request& request) {
  ++count_;
  request.headers[kCaller] = name_;
  request.headers[kSession] = session_;
  request.headers[kCount] = absl::StrCat(count_);
  request.headers[kNonce] = RandomHex();
  request.headers[kMac] = Mac(key_, RequestText(request));
}

absl::Status Caller::Check(const http::Request& request,
                           const http::Response& response) {
  if (!Equal(Mac(key_, ResponseText(request, response)),
             response.header(kMac))) {
    return absl::UnauthenticatedError(
        response.header(kMac).empty()
            ? absl::StrCat("the answer (HTTP ", response.status,
                           ") is not signed")
            : "the answer is not signed with this tier's secret");
  }
  if (response.status != kTurnedAway) return absl::OkStatus();
  uint64_t last = 0;
  if (!absl::SimpleAtoi(response.header(kCount), &last))
    return absl::UnauthenticatedError("the answer lacks fairlead-count");
  session_ = std::string(response.header(kSession));
  count_ = last;
  return absl::UnavailableError("the session is a new one");
}

Guard::Guard(const MacKey& key) : key_(key), session_(RandomHex()) {}

absl::Status Guard::Admit(const http::Request& request) {
  const absl::string_view mac = request.header(kMac);
  if (mac.empty())
    return absl::UnauthenticatedError("the request is not signed");
  if (!Equal(Mac(key_, RequestText(request)), mac)) {
    return absl::UnauthenticatedError(
        "the request is not signed with this tier's secret");
  }
  const std::string caller(request.header(kCaller));
  if (caller.empty() || caller.size() > kMaxCallerBytes)
    return absl::UnauthenticatedError("fairlead-caller names nobody");
  uint64_t count = 0;
  if (!absl::SimpleAtoi(request.header(kCount), &count))
    return absl::UnauthenticatedError("fairlead-count is not a number");
  if (request.header(kSession) != session_)
    return absl::UnauthenticatedError("the session is another one");
  const auto known = counts_.find(caller);
  if (known == counts_.end() && counts_.size() >= kMaxCallers)
    return absl::UnauthenticatedError("too many callers");
  if (known != counts_.end() && count <= known->second) {
    return absl::UnauthenticatedError(absl::StrCat("request ", count, " of ",
                                                   base::Quoted(caller),
                                                   " has been seen before"));
  }
  counts_[caller] = count;
  return absl::OkStatus();
}

void Guard::Sign(const http::Request& request, http::Response& response) const {
  const auto known = counts_.find(std::string(request.header(kCaller)));
  response.headers[kSession] = session_;
  response.headers[kCount] =
      absl::StrCat(known == counts_.end() ? 0 : known->second);
  response.headers[kMac] = Mac(key_, ResponseText(request, response));
}

}  // namespace fairlead::tier
