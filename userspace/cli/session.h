// One run's conversation with the daemon: HTTP over the control socket, JSON in
// both directions, and the API's errors turned into Status values that carry
// the exit code (exit_code.h). ABORTED is a daemon that is starting or
// stopping: exit code 1, but worth another try.
#pragma once

#include <initializer_list>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/environment.h"
#include "cli/json.h"
#include "http/blocking_client.h"
#include "http/message.h"

namespace fairlead::cli {

enum class Format { kTable, kJson };

struct SessionOptions {
  std::string socket;
  Format format = Format::kTable;
  // How long the daemon may be silent.
  absl::Duration timeout = http::kDefaultCallTimeout;
};

class Session {
 public:
  Session(Environment& environment, SessionOptions options)
      : environment_(environment), options_(std::move(options)) {}

  absl::StatusOr<Json> Get(const std::string& path,
                           http::StringMap query = {}) const;
  // POST, PATCH or DELETE.
  absl::StatusOr<Json> Change(const std::string& method,
                              const std::string& path, const Json& body) const;
  // GET whose answer never ends: each line as it arrives, until `on_line`
  // returns false; that it ends before is an error.
  absl::Status Follow(
      const std::string& path, http::StringMap query,
      absl::FunctionRef<bool(absl::string_view line)> on_line) const;

  bool json() const { return options_.format == Format::kJson; }
  std::ostream& out() const { return environment_.out; }
  std::ostream& err() const { return environment_.err; }
  const Environment& environment() const { return environment_; }

 private:
  absl::StatusOr<Json> Send(const http::Request& request) const;

  Environment& environment_;
  SessionOptions options_;
};

// "/v1/services/web/backends" of {"services", "web", "backends"}. A usage error
// if a part can be no name.
absl::StatusOr<std::string> PathOf(
    std::initializer_list<absl::string_view> parts);

}  // namespace fairlead::cli
