// One HTTP request on the loop: health probes and the polling of agents and
// peers. One connection per request.
#pragma once

#include <cstddef>
#include <optional>

#include "absl/status/statusor.h"
#include "base/ip_address.h"
#include "base/mono_time.h"
#include "event/loop.h"
#include "event/socket.h"
#include "event/task.h"
#include "http/codec.h"
#include "http/message.h"

namespace fairlead::http {

struct FetchOptions {
  // For the whole exchange.
  base::MonoTime deadline = event::kNoDeadline;
  // The local address to connect from.
  std::optional<base::IpAddress> bind_address = {};
  size_t max_body_bytes = kMaxBodyBytes;
};

// Any status is a response; an error says in which phase the exchange failed
// ("connect 192.0.2.1:80: ...", "send request to ...", "receive response from
// ..."). DEADLINE_EXCEEDED, CANCELLED, UNAVAILABLE (refused, unreachable),
// RESOURCE_EXHAUSTED (too large) and DATA_LOSS (malformed or cut short) keep
// their code.
event::Task<absl::StatusOr<Response>> Fetch(event::Loop& loop,
                                            event::SocketAddress address,
                                            Request request,
                                            FetchOptions options = {});

}  // namespace fairlead::http
