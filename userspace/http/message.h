// HTTP requests and responses as plain data, in both directions.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/ip_address.h"
#include "event/socket.h"
#include "event/task.h"

namespace fairlead::http {

// Ordered, and found by absl::string_view without a copy.
struct StringLess {
  using is_transparent = void;
  bool operator()(absl::string_view a, absl::string_view b) const {
    return a < b;
  }
};
using StringMap = std::map<std::string, std::string, StringLess>;

// The value, or "" if there is none.
absl::string_view Lookup(const StringMap& map, absl::string_view name);

struct Request {
  std::string method = "GET";
  // Decoded, begins with '/'.
  std::string path = "/";
  // Decoded. No name comes twice.
  StringMap query = {};
  // Lower-case names. Several of one name are joined by ", ".
  StringMap headers = {};
  std::string body = {};

  // Who asks, set by the server: the process behind a Unix socket or the
  // address behind a TCP one.
  std::optional<event::PeerCredentials> peer_credentials = {};
  std::optional<base::IpAddress> peer_address = {};

  absl::string_view header(absl::string_view lower_case_name) const {
    return Lookup(headers, lower_case_name);
  }
};

// Where a streaming response writes.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;
  // Sends `data` at once as one chunk. An error means that the client is gone,
  // too slow, or that the server stops: the stream ends then.
  virtual event::Task<absl::Status> Write(absl::string_view data) = 0;
};

using BodyStream = absl::AnyInvocable<event::Task<absl::Status>(BodyWriter&)>;

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  // Lower-case names, without those that frame the body.
  StringMap headers = {};
  // If set, the body is what this coroutine writes, and `body` is ignored. It
  // is cancelled when the client goes away. An error cuts the connection, so
  // that the client sees an incomplete body.
  BodyStream stream = nullptr;

  absl::string_view header(absl::string_view lower_case_name) const {
    return Lookup(headers, lower_case_name);
  }
};

// {"error":{"code":"not_found","message":"no service \"web\""}}
Response ErrorResponse(int status, absl::string_view code,
                       absl::string_view message);

// "Not Found"; "Unknown" for a status that Fairlead does not send.
absl::string_view ReasonPhrase(int status);

}  // namespace fairlead::http
