// Everything that the command line takes from the world, so that a test gives
// it another one. No standard input: `fairlead` never asks.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/mono_time.h"
#include "http/message.h"

namespace fairlead::cli {

struct Environment {
  // The answer, and nothing else.
  std::ostream& out;
  // Talk: errors, progress.
  std::ostream& err;

  std::function<std::optional<std::string>(const std::string& name)> getenv;
  std::function<absl::StatusOr<std::string>(const std::string& path)> read_file;
  // Empty, whatever was there before.
  std::function<absl::StatusOr<std::unique_ptr<std::ostream>>(
      const std::string& path)>
      create_file;

  // As http::Call and http::Stream.
  std::function<absl::StatusOr<http::Response>(absl::string_view socket_path,
                                               const http::Request& request,
                                               absl::Duration timeout)>
      call;
  std::function<absl::StatusOr<http::Response>(
      absl::string_view socket_path, const http::Request& request,
      absl::FunctionRef<bool(absl::string_view chunk)> on_chunk)>
      stream;

  std::function<base::MonoTime()> now;
  std::function<void(absl::Duration)> wait;
};

}  // namespace fairlead::cli
