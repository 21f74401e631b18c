#include "core/health.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace fairlead::core {
namespace {

// A prober that has not answered so long after the time-out never will.
constexpr absl::Duration kAnswerGrace = absl::Seconds(5);

Signal SignalOf(ProbeOutcome outcome) {
  if (outcome == ProbeOutcome::kDrainStatus) return Signal::kDrain;
  if (outcome == ProbeOutcome::kHoldStatus) return Signal::kHold;
  return Signal::kNone;
}

}  // namespace

bool IsAnswer(ProbeOutcome outcome) {
  return outcome == ProbeOutcome::kSuccess ||
         outcome == ProbeOutcome::kDrainStatus ||
         outcome == ProbeOutcome::kHoldStatus;
}

std::string FailureReason(const ProbeResult& result) {
  switch (result.outcome) {
    case ProbeOutcome::kRefused:
      return "check.tcp-refused";
    case ProbeOutcome::kTimeout:
      return "check.timeout";
    case ProbeOutcome::kUnreachable:
      return "check.unreachable";
    case ProbeOutcome::kVipRefused:
      return "check.vip-refused";
    case ProbeOutcome::kVipTimeout:
      return "check.vip-timeout";
    case ProbeOutcome::kStatusMismatch:
      return absl::StrCat("check.status-mismatch(", result.http_status, ")");
    case ProbeOutcome::kProtocol:
      return "check.protocol";
    case ProbeOutcome::kClosed:
      return absl::StrCat("check.closed(", ToString(result.step), ")");
    case ProbeOutcome::kBodyMismatch:
      return "check.body-mismatch";
    case ProbeOutcome::kTls:
      return absl::StrCat("check.tls(", ToString(result.cause), ")");
    case ProbeOutcome::kCertificate:
      return absl::StrCat("check.certificate(", ToString(result.cause), ")");
    case ProbeOutcome::kWsHandshake:
      return absl::StrCat("check.ws-handshake(", result.http_status, ")");
    case ProbeOutcome::kWsAccept:
      return "check.ws-accept";
    case ProbeOutcome::kWsPong:
      return "check.ws-pong";
    case ProbeOutcome::kSuccess:
    case ProbeOutcome::kDrainStatus:
    case ProbeOutcome::kHoldStatus:
    case ProbeOutcome::kLate:
      break;
  }
  FL_CHECK(false);
  return "";
}

HealthCheck::HealthCheck(const CheckConfig& config, base::MonoTime first_probe)
    : config_(config), due_(first_probe) {
  if (config_.kind == CheckKind::kNone) health_ = Health::kUp;
}

void HealthCheck::AssumeUp() {
  health_ = Health::kUp;
  in_a_row_ = 0;
}

void HealthCheck::Reconfigure(const CheckConfig& config, base::MonoTime now) {
  if (config == config_) return;
  config_ = config;
  probe_.reset();
  due_ = now;
  if (config_.kind != CheckKind::kNone) return;
  AssumeUp();
  signal_ = Signal::kNone;
  signal_status_ = 0;
  last_failure_.reset();
}

void HealthCheck::Pause() {
  paused_ = true;
  probe_.reset();
}

void HealthCheck::Resume(base::MonoTime now) {
  if (!paused_) return;
  *this = HealthCheck(config_, now);
}

base::MonoTime HealthCheck::GiveUpAt() const {
  return probe_->started + config_.timeout + kAnswerGrace;
}

std::optional<base::MonoTime> HealthCheck::deadline() const {
  if (paused_ || config_.kind == CheckKind::kNone) return std::nullopt;
  return probe_ ? GiveUpAt() : due_;
}

bool HealthCheck::IsOverdue(base::MonoTime now) const {
  const std::optional<base::MonoTime> at = deadline();
  return at.has_value() && !put_off_ && now - *at > kOverdue;
}

void HealthCheck::PutOff(base::MonoTime now, double random) {
  FL_CHECK(IsOverdue(now));
  put_off_ = true;
  probe_.reset();
  due_ = now + config_.interval * random;
}

bool HealthCheck::StartProbe(uint64_t number, base::MonoTime now) {
  const std::optional<base::MonoTime> at = deadline();
  if (!at || now < *at) return false;
  put_off_ = false;
  probe_ = Probe{number, now};
  return true;
}

bool HealthCheck::JoinProbe(uint64_t number, base::MonoTime now) {
  if (paused_ || config_.kind == CheckKind::kNone || probe_) return false;
  put_off_ = false;
  probe_ = Probe{number, now};
  return true;
}

bool HealthCheck::OnResult(uint64_t number, const ProbeResult& result,
                           base::MonoTime now, double random) {
  if (!probe_ || probe_->number != number) return false;
  const base::MonoTime started = probe_->started;
  probe_.reset();
  if (result.outcome == ProbeOutcome::kLate) {
    // Soon, but not at once, and not all at once: what made it late may be too
    // much work.
    due_ = now + config_.interval * (0.1 + 0.2 * random);
    return true;
  }
  if (IsAnswer(result.outcome)) {
    CountSuccess();
    CountSignal(SignalOf(result.outcome), result.http_status);
  } else {
    CountFailure(result);
    quiet_ = 0;
  }
  const bool changing =
      health_ == Health::kRising || health_ == Health::kFalling;
  const absl::Duration interval =
      config_.interval * (0.9 + 0.2 * random) / (changing ? 2 : 1);
  due_ = std::max(now, started + interval);
  return true;
}

void HealthCheck::CountSuccess() {
  switch (health_) {
    case Health::kUp:
      return;
    case Health::kInit:
    case Health::kFalling:
      AssumeUp();
      return;
    case Health::kDown:
      in_a_row_ = 0;
      health_ = Health::kRising;
      [[fallthrough]];
    case Health::kRising:
      if (++in_a_row_ >= config_.rise) AssumeUp();
      return;
  }
}

void HealthCheck::CountFailure(const ProbeResult& result) {
  last_failure_ = result;
  last_failure_->steps.clear();  // nobody asks for those
  switch (health_) {
    case Health::kDown:
      return;
    case Health::kInit:
    case Health::kRising:
      health_ = Health::kDown;
      return;
    case Health::kUp:
      in_a_row_ = 0;
      health_ = Health::kFalling;
      [[fallthrough]];
    case Health::kFalling:
      if (++in_a_row_ >= config_.fall) health_ = Health::kDown;
      return;
  }
}

void HealthCheck::CountSignal(Signal signal, int status) {
  if (signal == Signal::kDrain) quiet_ = 0;
  if (signal_ == Signal::kDrain && signal != Signal::kDrain &&
      ++quiet_ < config_.rise)
    return;
  signal_ = signal;
  signal_status_ = signal == Signal::kNone ? 0 : status;
}

}  // namespace fairlead::core
