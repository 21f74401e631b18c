// A small HTTP client that blocks, over a Unix socket, for the command line:
// no loop, no ring.
//
// UNAVAILABLE if nobody listens, PERMISSION_DENIED if the socket is not for us,
// DEADLINE_EXCEEDED if the daemon is silent for too long, DATA_LOSS if the
// answer is cut short or no HTTP.
#pragma once

#include <cstddef>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "http/message.h"

namespace fairlead::http {

// The longest time that the daemon may send nothing in a Call().
inline constexpr absl::Duration kDefaultCallTimeout = absl::Seconds(30);
// A longer answer is refused with RESOURCE_EXHAUSTED; streams have no limit.
inline constexpr size_t kMaxAnswerBytes = size_t{64} << 20;

absl::StatusOr<Response> Call(absl::string_view socket_path,
                              const Request& request,
                              absl::Duration timeout = kDefaultCallTimeout);

// Gives the body to `on_chunk` as it arrives, without a time limit, until it
// ends or `on_chunk` returns false; both are OK. An answer other than 2xx is
// not streamed: it becomes the result, with its whole body.
absl::StatusOr<Response> Stream(
    absl::string_view socket_path, const Request& request,
    absl::FunctionRef<bool(absl::string_view chunk)> on_chunk);

}  // namespace fairlead::http
