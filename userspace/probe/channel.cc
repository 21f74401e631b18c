#include "probe/channel.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/errors.h"
#include "base/status_macros.h"

namespace fairlead::probe {
namespace {

constexpr size_t kReceiveBytes = 4096;

// When it is closed, the kernel drops the connection by a reset, and keeps no
// TIME_WAIT: thousands of probes a second would use up the ports.
absl::StatusOr<base::UniqueFd> MakeSocket(const event::SocketAddress& address,
                                          const event::SocketRoad* road) {
  FL_ASSIGN_OR_RETURN(base::UniqueFd fd, event::SocketFor(address));
  if (road != nullptr) FL_RETURN_IF_ERROR(event::TakeRoad(fd.get(), *road));
  const linger on = {.l_onoff = 1, .l_linger = 0};
  if (setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &on, sizeof(on)) != 0)
    return base::SyscallError("set SO_LINGER of a probe's socket");
  return fd;
}

}  // namespace

event::Task<absl::Status> Channel::Connect(event::SocketAddress address,
                                           const event::SocketRoad* road) {
  FL_CO_ASSIGN_OR_RETURN(fd_, MakeSocket(address, road));
  co_return co_await loop_.Connect(fd_.get(), address, deadline_);
}

event::Task<absl::Status> Channel::StartTls(ssl_ctx_st& context,
                                            const TlsPeer& peer) {
  tls_ = std::make_unique<TlsSession>(context, peer);
  while (true) {
    const TlsState state = tls_->Handshake();
    // An alert says what the client does not like.
    const absl::Status sent = co_await Flush();
    if (state == TlsState::kFailed)
      co_return absl::FailedPreconditionError(tls_->failure().detail);
    if (!sent.ok()) co_return sent;
    if (state == TlsState::kDone) co_return absl::OkStatus();
    FL_CO_ASSIGN_OR_RETURN(const size_t got, co_await Receive());
    if (got == 0)
      co_return absl::DataLossError("closed during the TLS handshake");
  }
}

event::Task<absl::Status> Channel::Write(absl::string_view data) {
  if (tls_ == nullptr)
    co_return co_await loop_.SendAll(fd_.get(), data, deadline_);
  if (tls_->Write(data) != TlsState::kDone)
    co_return absl::FailedPreconditionError(tls_->failure().detail);
  co_return co_await Flush();
}

event::Task<absl::StatusOr<size_t>> Channel::Read(std::span<char> buffer) {
  if (tls_ == nullptr)
    co_return co_await loop_.Recv(fd_.get(), buffer, deadline_);
  while (true) {
    size_t got = 0;
    const TlsState state = tls_->Read(buffer, got);
    const absl::Status sent = co_await Flush();
    if (state == TlsState::kDone) co_return got;
    if (state == TlsState::kClosed) co_return size_t{0};
    if (state == TlsState::kFailed)
      co_return absl::FailedPreconditionError(tls_->failure().detail);
    if (!sent.ok()) co_return sent;
    FL_CO_ASSIGN_OR_RETURN(const size_t received, co_await Receive());
    if (received == 0) co_return size_t{0};
  }
}

void Channel::Hurry(base::MonoTime deadline) {
  deadline_ = std::min(deadline_, deadline);
}

event::Task<absl::Status> Channel::Flush() {
  const std::string bytes = tls_->TakeOutput();
  co_return co_await loop_.SendAll(fd_.get(), bytes, deadline_);
}

event::Task<absl::StatusOr<size_t>> Channel::Receive() {
  std::array<char, kReceiveBytes> buffer;
  FL_CO_ASSIGN_OR_RETURN(const size_t got,
                         co_await loop_.Recv(fd_.get(), buffer, deadline_));
  tls_->Feed(absl::string_view(buffer.data(), got));
  co_return got;
}

}  // namespace fairlead::probe
