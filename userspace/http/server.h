// Server: HTTP/1.1 on Unix and TCP listeners, keep-alive and pipelining, each
// connection a coroutine in a scope of the listener's.
//
// The handler sees complete requests only. A request that is malformed (400),
// too large (413, 431) or too slow (408) is answered here; a client that
// disappears is nobody's error.
#pragma once

#include <cstddef>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "event/loop.h"
#include "event/sync.h"
#include "event/task.h"
#include "http/codec.h"
#include "http/message.h"

namespace fairlead::http {

inline constexpr size_t kMaxConnections = 256;
// Connections beyond the limit that are told so (503); further ones wait in
// the listener's queue.
inline constexpr size_t kMaxRefusals = 16;
inline constexpr absl::Duration kIdleTimeout = absl::Seconds(30);
// From the first byte of a request to its last, and for each write.
inline constexpr absl::Duration kRequestTimeout = absl::Seconds(30);
inline constexpr absl::Duration kWriteTimeout = absl::Seconds(30);
// After an answer that closes, what the client still sends is read and thrown
// away for this long: closing with unread data would reset the connection, and
// the client could lose the answer.
inline constexpr absl::Duration kLingerTimeout = absl::Seconds(2);
// Pause after an accept that failed for want of descriptors or memory.
inline constexpr absl::Duration kAcceptBackoff = absl::Milliseconds(100);

struct ServerLimits {
  MessageLimits message;
  size_t connections = kMaxConnections;
  absl::Duration idle_timeout = kIdleTimeout;
  absl::Duration request_timeout = kRequestTimeout;
  absl::Duration write_timeout = kWriteTimeout;
};

using Handler = absl::AnyInvocable<event::Task<Response>(Request)>;

class Server {
 public:
  // Outlives every Serve() of it.
  Server(event::Loop& loop, Handler handler, const ServerLimits& limits = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Accepts until the scope it runs in is cancelled; then ends its connections
  // and returns. May run for several listeners at once.
  event::Task<void> Serve(base::UniqueFd listener);

  size_t connections() const { return connections_; }

 private:
  friend class ServerConnection;
  event::Task<void> RunConnection(base::UniqueFd fd);
  event::Task<void> RefuseConnection(base::UniqueFd fd);
  // OK to go on; an error ends Serve().
  event::Task<absl::Status> WaitForRoom();

  event::Loop& loop_;
  Handler handler_;
  ServerLimits limits_;
  size_t connections_ = 0;  // those being refused included
  event::Event connection_closed_;
};

}  // namespace fairlead::http
