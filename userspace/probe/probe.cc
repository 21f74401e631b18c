#include "probe/probe.h"

#include <sys/socket.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "event/socket.h"
#include "http/client.h"

namespace fairlead::probe {
namespace {

using core::ProbeOutcome;
using core::ProbeResult;

// Both arrive as UNAVAILABLE; the text is strerror's in the C locale, which the
// daemon never leaves.
bool IsRefused(const absl::Status& status) {
  return absl::StrContains(status.message(), "refused") ||
         absl::StrContains(status.message(), "reset by peer");
}

ProbeOutcome OutcomeOf(const absl::Status& status) {
  if (absl::IsDeadlineExceeded(status)) return ProbeOutcome::kTimeout;
  if (absl::IsCancelled(status)) return ProbeOutcome::kLate;
  if (IsRefused(status)) return ProbeOutcome::kRefused;
  if (absl::IsDataLoss(status) || absl::IsResourceExhausted(status))
    return ProbeOutcome::kProtocol;
  return ProbeOutcome::kUnreachable;
}

ProbeResult ResultOf(const absl::Status& status) {
  ProbeResult result;
  result.outcome = status.ok() ? ProbeOutcome::kSuccess : OutcomeOf(status);
  result.detail = std::string(status.message());
  return result;
}

// The kernel then drops the connection by a reset when it is closed, and keeps
// no TIME_WAIT: thousands of probes a second would use up the ports.
absl::Status ResetOnClose(int fd) {
  const linger on = {.l_onoff = 1, .l_linger = 0};
  if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &on, sizeof(on)) != 0)
    return base::SyscallError("set SO_LINGER of a probe's socket");
  return absl::OkStatus();
}

event::Task<absl::Status> ConnectOnly(event::Loop& loop,
                                      event::SocketAddress address,
                                      base::MonoTime deadline) {
  FL_CO_ASSIGN_OR_RETURN(const base::UniqueFd fd, event::SocketFor(address));
  FL_CO_RETURN_IF_ERROR(ResetOnClose(fd.get()));
  co_return co_await loop.Connect(fd.get(), address, deadline);
}

ProbeResult JudgeStatus(int status, const core::CheckConfig& check) {
  ProbeResult result;
  result.http_status = status;
  result.detail = absl::StrCat("HTTP ", status);
  if (status >= check.status_low && status <= check.status_high) {
    result.outcome = ProbeOutcome::kSuccess;
  } else if (status == 503) {
    result.outcome = ProbeOutcome::kDrainStatus;
  } else {
    result.outcome = ProbeOutcome::kStatusMismatch;
    absl::StrAppend(&result.detail, ", expected ", check.status_low, "-",
                    check.status_high);
  }
  return result;
}

event::Task<ProbeResult> GetAndJudge(event::Loop& loop,
                                     event::SocketAddress address,
                                     core::CheckConfig check,
                                     base::MonoTime deadline) {
  http::Request request;
  request.path = check.path;
  request.headers["connection"] = "close";
  request.headers["user-agent"] = "fairlead-check";
  if (!check.host.empty()) request.headers["host"] = check.host;
  const absl::StatusOr<http::Response> response = co_await http::Fetch(
      loop, address, std::move(request),
      {.deadline = deadline, .max_body_bytes = kMaxProbeBodyBytes});
  if (!response.ok()) co_return ResultOf(response.status());
  co_return JudgeStatus(response->status, check);
}

}  // namespace

event::Task<ProbeResult> RunProbe(event::Loop& loop, Target target,
                                  base::MonoTime due) {
  const base::MonoTime begun = loop.Now();
  if (begun - due > kLateness) {
    ProbeResult late;
    late.outcome = ProbeOutcome::kLate;
    late.detail = "started late";
    co_return late;
  }
  const base::MonoTime deadline = begun + target.check.timeout;
  const event::SocketAddress address(
      base::Endpoint{target.address, target.port});
  ProbeResult result;
  if (target.check.kind == core::CheckKind::kHttp) {
    result = co_await GetAndJudge(loop, address, target.check, deadline);
  } else {
    result = ResultOf(co_await ConnectOnly(loop, address, deadline));
  }
  const base::MonoTime ended = loop.Now();
  result.duration = ended - begun;
  if (result.outcome == ProbeOutcome::kTimeout &&
      ended - deadline > kLateness) {
    result.outcome = ProbeOutcome::kLate;
    result.detail = "timed out while this host was late itself";
  }
  co_return result;
}

}  // namespace fairlead::probe
