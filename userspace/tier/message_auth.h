// How hosts of a tier know that an HTTP request or answer comes from one of
// them, is whole, and is not an old one said again. It hides nothing.
//
// A message carries headers (docs/WIRE.md has the text that is signed):
//
//   fairlead-caller   who asks: "lb-1 192.0.2.21:6082"; what one caller asks
//   comes
//                     one by one
//   fairlead-session  the answering process, a random number that it chose
//   fairlead-count    grows with each request of a caller in a session
//   fairlead-nonce    random; ties the answer to the request
//   fairlead-mac      HMAC-SHA-256 under the tier's MAC key
//
// A Caller that does not know the session yet, or whose count is used up, is
// answered 401 with both, and asks again. No clock is involved.
//
// Plain values, deterministic but for the random numbers.
#pragma once

#include <cstdint>
#include <string>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "http/message.h"
#include "tier/keys.h"

namespace fairlead::tier {

// The side that asks one process.
class Caller {
 public:
  Caller(const MacKey& key, std::string name);

  // Adds the headers. One request at a time: the answer to it is checked before
  // the next is signed.
  void Sign(http::Request& request);
  // UNAUTHENTICATED: whoever answered has not the tier's secret, or the answer
  // is not to this request. UNAVAILABLE: genuine, but the request is to be
  // signed and sent once more.
  absl::Status Check(const http::Request& request,
                     const http::Response& response);

 private:
  MacKey key_;
  std::string name_;
  std::string session_;
  uint64_t count_ = 0;
};

// The side that answers.
class Guard {
 public:
  explicit Guard(const MacKey& key);

  // UNAUTHENTICATED, saying why, if the request is not to be answered.
  absl::Status Admit(const http::Request& request);
  // Adds the headers to the answer, also to one that turns the request away.
  void Sign(const http::Request& request, http::Response& response) const;

 private:
  MacKey key_;
  std::string session_;
  absl::btree_map<std::string, uint64_t> counts_;  // by caller; the last one
};

}  // namespace fairlead::tier
