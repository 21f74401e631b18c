// Channel: one probe's connection, in the clear or in TLS, under one deadline.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/mono_time.h"
#include "base/unique_fd.h"
#include "event/loop.h"
#include "event/socket.h"
#include "event/task.h"
#include "probe/tls.h"

namespace fairlead::probe {

class Channel {
 public:
  Channel(event::Loop& loop, base::MonoTime deadline)
      : loop_(loop), deadline_(deadline) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // RESOURCE_EXHAUSTED: this host has no socket left.
  // `road` is borrowed; null: as routes say.
  event::Task<absl::Status> Connect(event::SocketAddress address,
                                    const event::SocketRoad* road);
  // Requires: connected. What is wrong with TLS is told by tls_failure(), and
  // then the error is FAILED_PRECONDITION.
  event::Task<absl::Status> StartTls(ssl_ctx_st& context, const TlsPeer& peer);

  // Whole, or an error.
  event::Task<absl::Status> Write(absl::string_view data);
  // 0: the peer has closed.
  event::Task<absl::StatusOr<size_t>> Read(std::span<char> buffer);

  // From now on at the latest then.
  void Hurry(base::MonoTime deadline);

  // Null in the clear.
  const TlsSession* tls() const { return tls_.get(); }

 private:
  // What TLS wants to send is sent, and what comes is given to it.
  event::Task<absl::Status> Flush();
  event::Task<absl::StatusOr<size_t>> Receive();

  event::Loop& loop_;
  base::MonoTime deadline_;
  base::UniqueFd fd_;
  std::unique_ptr<TlsSession> tls_;
};

}  // namespace fairlead::probe
