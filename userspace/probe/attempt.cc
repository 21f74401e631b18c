#include "probe/attempt.h"

#include <array>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/ip_address.h"
#include "base/text.h"
#include "event/socket.h"

namespace fairlead::probe {
namespace {

using core::ProbeOutcome;
using core::ProbeStep;

constexpr size_t kReceiveBytes = 4096;
constexpr size_t kPingBytes = 8;
constexpr size_t kLongestShown = 60;

// Both arrive as UNAVAILABLE; the text is strerror's in the C locale, which the
// daemon never leaves.
bool IsReset(const absl::Status& status) {
  return absl::StrContains(status.message(), "reset by peer") ||
         absl::StrContains(status.message(), "Broken pipe");
}

ProbeOutcome OutcomeOf(const absl::Status& status, ProbeStep step) {
  if (absl::IsDeadlineExceeded(status))
    return step == ProbeStep::kPong ? ProbeOutcome::kWsPong
                                    : ProbeOutcome::kTimeout;
  if (absl::IsCancelled(status)) return ProbeOutcome::kLate;
  const bool connecting = step == ProbeStep::kConnect;
  // No socket for it: that is this host's fault, not the backend's.
  if (connecting && absl::IsResourceExhausted(status))
    return ProbeOutcome::kLate;
  if (connecting && absl::StrContains(status.message(), "refused"))
    return ProbeOutcome::kRefused;
  if (IsReset(status))
    return connecting ? ProbeOutcome::kRefused : ProbeOutcome::kClosed;
  if (absl::IsDataLoss(status)) return ProbeOutcome::kClosed;
  return ProbeOutcome::kUnreachable;
}

// ", Retry-After 120"; empty if nothing was said.
std::string RetryAfter(const http::Response& response) {
  const absl::string_view said = response.header("retry-after");
  if (said.empty()) return "";
  return absl::StrCat(", Retry-After ", said.substr(0, kLongestShown));
}

std::string HostOf(const Target& target) {
  if (!target.check.host.empty()) return target.check.host;
  return base::Endpoint{target.address, target.port}.ToString();
}

}  // namespace

event::Task<core::ProbeResult> Attempt::Run() {
  bool going = co_await Connect();
  if (going && core::IsTls(target_.check.kind)) going = co_await StartTls();
  if (going && core::IsHttp(target_.check.kind)) going = co_await Http();
  if (going && core::IsWebSocket(target_.check.kind))
    going = co_await WebSocket();
  End();
  if (channel_.tls() != nullptr)
    result_.certificate_days = channel_.tls()->CertificateDays();
  co_return std::move(result_);
}

void Attempt::Begin(ProbeStep step) {
  End();
  result_.step = step;
  step_begun_ = loop_.Now();
  result_.steps.push_back({.step = step});
}

void Attempt::End() {
  if (!result_.steps.empty())
    result_.steps.back().duration = loop_.Now() - step_begun_;
}

bool Attempt::Fail(ProbeOutcome outcome, absl::string_view detail) {
  result_.outcome = outcome;
  result_.detail = std::string(detail);
  return false;
}

bool Attempt::FailIo(const absl::Status& status) {
  // Of TLS, which has said more.
  if (absl::IsFailedPrecondition(status)) return FailTls();
  const ProbeOutcome outcome = OutcomeOf(status, result_.step);
  if (absl::IsDeadlineExceeded(status)) {
    return Fail(outcome,
                absl::StrCat("no ", core::ToString(result_.step), " within ",
                             absl::FormatDuration(target_.check.timeout)));
  }
  return Fail(outcome, status.message());
}

bool Attempt::FailTls() {
  const TlsFailure& failure = channel_.tls()->failure();
  result_.cause = failure.cause;
  return Fail(failure.outcome, failure.detail);
}

bool Attempt::FailParse(const http::ResponseParser& parser) {
  switch (parser.state()) {
    case http::ParseState::kHeaderTooLarge:
      return Fail(ProbeOutcome::kProtocol, "the header is too large");
    case http::ParseState::kBodyTooLarge:
      return Fail(ProbeOutcome::kProtocol, "the body is too large");
    default:
      return Fail(ProbeOutcome::kProtocol,
                  absl::StrCat("no HTTP: ", parser.problem()));
  }
}

event::Task<bool> Attempt::Connect() {
  Begin(ProbeStep::kConnect);
  const event::SocketAddress address(
      base::Endpoint{target_.address, target_.port});
  const absl::Status connected = co_await channel_.Connect(
      address, target_.road.has_value() ? &*target_.road : nullptr);
  co_return connected.ok() || FailIo(connected);
}

event::Task<bool> Attempt::StartTls() {
  Begin(ProbeStep::kTls);
  const absl::StatusOr<ssl_ctx_st*> context = contexts_.For(target_.check);
  if (!context.ok()) {
    result_.cause = core::ProbeCause::kCaFile;
    co_return Fail(ProbeOutcome::kCertificate, context.status().message());
  }
  const TlsPeer peer = PeerOf(target_.check, target_.address);
  const absl::Status started = co_await channel_.StartTls(**context, peer);
  co_return started.ok() || FailIo(started);
}

event::Task<bool> Attempt::Http() {
  Begin(ProbeStep::kResponse);
  http::Request request;
  request.method = target_.check.method;
  http::ResponseParser parser(request.method,
                              {.body_bytes = kMaxProbeBodyBytes});
  http::RequestOptions options;
  const bool answered = co_await Exchange(
      std::move(request), std::move(options), parser, Wanted::kAll);
  co_return answered&& JudgeAnswer(parser.TakeResponse());
}

bool Attempt::JudgeAnswer(const http::Response& response) {
  const core::CheckConfig& check = target_.check;
  result_.http_status = response.status;
  result_.detail = absl::StrCat("HTTP ", response.status, RetryAfter(response));
  switch (check.status.MeaningOf(response.status)) {
    case core::StatusMeaning::kUp:
      break;
    case core::StatusMeaning::kHold:
      result_.outcome = ProbeOutcome::kHoldStatus;
      return true;
    case core::StatusMeaning::kDrain:
      result_.outcome = ProbeOutcome::kDrainStatus;
      return true;
    case core::StatusMeaning::kFail:
      absl::StrAppend(&result_.detail, ", expected ", check.status.ToString());
      result_.outcome = ProbeOutcome::kStatusMismatch;
      return false;
  }
  if (absl::StrContains(response.body, check.body)) return true;
  return Fail(
      ProbeOutcome::kBodyMismatch,
      absl::StrCat(result_.detail, ", without ", base::Quoted(check.body),
                   " in its ", response.body.size(), " bytes"));
}

event::Task<bool> Attempt::WebSocket() {
  bool going = co_await Upgrade();
  if (going) going = co_await PingPong();
  if (going) co_await Close();
  co_return going;
}

event::Task<bool> Attempt::Upgrade() {
  Begin(ProbeStep::kUpgrade);
  const std::string key = MakeWebSocketKey();
  http::ResponseParser parser("GET", {.body_bytes = kMaxProbeBodyBytes});
  http::RequestOptions options = {.connection = http::Connection::kUpgrade};
  const bool answered =
      co_await Exchange(UpgradeRequest(target_.check, key), std::move(options),
                        parser, Wanted::kHeader);
  if (!answered) co_return false;
  const http::Response response = parser.TakeResponse();
  result_.http_status = response.status;
  if (response.status != 101) {
    co_return Fail(ProbeOutcome::kWsHandshake,
                   absl::StrCat("HTTP ", response.status, RetryAfter(response),
                                ", expected 101"));
  }
  const std::string problem = UpgradeProblem(response, target_.check, key);
  if (!problem.empty()) co_return Fail(ProbeOutcome::kWsAccept, problem);
  result_.detail = "HTTP 101";
  frames_.emplace();
  after_upgrade_ = received_.size();
  co_return true;
}

event::Task<bool> Attempt::PingPong() {
  Begin(ProbeStep::kPong);
  const std::string payload = MakeWebSocketKey().substr(0, kPingBytes);
  const bool sent = co_await SendFrame(Opcode::kPing, payload);
  if (!sent) co_return false;
  bool other_pong = false;
  while (true) {
    const std::optional<Frame> frame = co_await NextFrame();
    if (!frame.has_value()) {
      if (other_pong && result_.outcome == ProbeOutcome::kWsPong)
        absl::StrAppend(&result_.detail, ", one with another payload came");
      co_return false;
    }
    if (frame->opcode == Opcode::kPong && frame->payload == payload)
      co_return true;
    // A server may send pongs that nobody asked for.
    if (frame->opcode == Opcode::kPong) other_pong = true;
    if (frame->opcode == Opcode::kClose) {
      co_return Fail(ProbeOutcome::kWsPong,
                     absl::StrCat("closed with ", CloseText(frame->payload),
                                  " instead of a pong"));
    }
    if (frame->opcode == Opcode::kPing) {
      const bool answered = co_await SendFrame(Opcode::kPong, frame->payload);
      if (!answered) co_return false;
    }
  }
}

// Polite, but no more is judged: who answers pings works.
event::Task<void> Attempt::Close() {
  const core::ProbeResult judged = result_;
  Begin(ProbeStep::kClose);
  channel_.Hurry(loop_.Now() + kCloseWait);
  bool going = co_await SendFrame(Opcode::kClose, ClosePayload(kNormalClosure));
  while (going) {
    const std::optional<Frame> frame = co_await NextFrame();
    going = frame.has_value() && frame->opcode != Opcode::kClose;
  }
  result_.outcome = judged.outcome;
  result_.cause = judged.cause;
  result_.detail = judged.detail;
}

event::Task<bool> Attempt::Exchange(http::Request request,
                                    http::RequestOptions options,
                                    http::ResponseParser& parser,
                                    Wanted wanted) {
  request.headers["user-agent"] = "fairlead-check";
  for (const auto& [name, value] : target_.check.headers)
    request.headers[name] = value;
  options.target = target_.check.path;
  if (!target_.check.host.empty()) request.headers["host"] = target_.check.host;
  const absl::StatusOr<std::string> bytes =
      http::EncodeRequest(request, HostOf(target_), options);
  if (!bytes.ok())
    co_return Fail(ProbeOutcome::kProtocol, bytes.status().message());
  const absl::Status sent = co_await channel_.Write(*bytes);
  if (!sent.ok()) co_return FailIo(sent);
  while (parser.state() == http::ParseState::kIncomplete &&
         (wanted == Wanted::kAll || !parser.header_complete())) {
    const bool more = co_await ReadMore();
    if (more) {
      received_.erase(0, parser.Feed(received_));
      continue;
    }
    // Failed, or at its end, which ends a body without a length too.
    if (result_.outcome != ProbeOutcome::kSuccess) co_return false;
    parser.FeedEnd();
    if (parser.state() != http::ParseState::kComplete)
      co_return Fail(ProbeOutcome::kClosed, parser.problem());
  }
  const bool whole = parser.state() == http::ParseState::kComplete;
  const bool enough = wanted == Wanted::kHeader && parser.header_complete() &&
                      parser.state() == http::ParseState::kIncomplete;
  co_return whole || enough || FailParse(parser);
}

event::Task<bool> Attempt::ReadMore() {
  std::array<char, kReceiveBytes> buffer;
  const absl::StatusOr<size_t> got = co_await channel_.Read(buffer);
  if (!got.ok()) co_return FailIo(got.status());
  received_.append(buffer.data(), *got);
  co_return *got > 0;
}

event::Task<bool> Attempt::SendFrame(Opcode opcode, std::string payload) {
  const std::string bytes = EncodeControlFrame(opcode, payload);
  const absl::Status sent = co_await channel_.Write(bytes);
  co_return sent.ok() || FailIo(sent);
}

event::Task<std::optional<Frame>> Attempt::NextFrame() {
  while (true) {
    frames_->Feed(received_);
    received_.clear();
    absl::StatusOr<std::optional<Frame>> frame = frames_->Next();
    if (!frame.ok()) {
      Fail(ProbeOutcome::kProtocol, frame.status().message());
      co_return std::nullopt;
    }
    if (frame->has_value()) co_return *std::move(frame);
    const bool more = co_await ReadMore();
    if (!more) {
      if (result_.outcome == ProbeOutcome::kSuccess)
        Fail(ProbeOutcome::kClosed, "closed without a pong");
      co_return std::nullopt;
    }
    after_upgrade_ += received_.size();
    if (after_upgrade_ > kMaxProbeBodyBytes) {
      Fail(ProbeOutcome::kWsPong,
           absl::StrCat("more than ", kMaxProbeBodyBytes,
                        " bytes, and no pong among them"));
      co_return std::nullopt;
    }
  }
}

}  // namespace fairlead::probe
