#include "core/model.h"

namespace fairlead::core {

absl::string_view ToString(Policy value) {
  switch (value) {
    case Policy::kHash:
      return "hash";
    case Policy::kSource:
      return "source";
    case Policy::kLeastConn:
      return "least-conn";
  }
  return "?";
}

absl::string_view ToString(Encap value) {
  switch (value) {
    case Encap::kGue:
      return "gue";
    case Encap::kIpip:
      return "ipip";
    case Encap::kL2:
      return "l2";
  }
  return "?";
}

absl::string_view ToString(Shed value) {
  switch (value) {
    case Shed::kDrop:
      return "drop";
    case Shed::kReset:
      return "reset";
  }
  return "?";
}

absl::string_view ToString(Guarantee value) {
  switch (value) {
    case Guarantee::kFlowTable:
      return "flow-table";
    case Guarantee::kSockets:
      return "sockets";
  }
  return "?";
}

absl::string_view ToString(Admin value) {
  switch (value) {
    case Admin::kReady:
      return "ready";
    case Admin::kDrain:
      return "drain";
    case Admin::kMaint:
      return "maint";
  }
  return "?";
}

absl::string_view ToString(CheckKind value) {
  switch (value) {
    case CheckKind::kNone:
      return "none";
    case CheckKind::kTcp:
      return "tcp";
    case CheckKind::kHttp:
      return "http";
    case CheckKind::kHttps:
      return "https";
    case CheckKind::kWs:
      return "ws";
    case CheckKind::kWss:
      return "wss";
  }
  return "?";
}

absl::string_view ToString(Health value) {
  switch (value) {
    case Health::kInit:
      return "init";
    case Health::kUp:
      return "up";
    case Health::kRising:
      return "rising";
    case Health::kFalling:
      return "falling";
    case Health::kDown:
      return "down";
  }
  return "?";
}

absl::string_view ToString(Signal value) {
  switch (value) {
    case Signal::kNone:
      return "none";
    case Signal::kHold:
      return "hold";
    case Signal::kDrain:
      return "drain";
  }
  return "?";
}

absl::string_view ToString(EffectiveState value) {
  switch (value) {
    case EffectiveState::kInit:
      return "init";
    case EffectiveState::kUp:
      return "up";
    case EffectiveState::kDraining:
      return "draining";
    case EffectiveState::kDrained:
      return "drained";
    case EffectiveState::kDown:
      return "down";
    case EffectiveState::kMaint:
      return "maint";
  }
  return "?";
}

absl::string_view ToString(CheckVia value) {
  return value == CheckVia::kVip ? "vip" : "direct";
}

absl::string_view ToString(ProbeOutcome value) {
  switch (value) {
    case ProbeOutcome::kSuccess:
      return "success";
    case ProbeOutcome::kRefused:
      return "refused";
    case ProbeOutcome::kTimeout:
      return "timeout";
    case ProbeOutcome::kUnreachable:
      return "unreachable";
    case ProbeOutcome::kVipRefused:
      return "vip-refused";
    case ProbeOutcome::kVipTimeout:
      return "vip-timeout";
    case ProbeOutcome::kStatusMismatch:
      return "status-mismatch";
    case ProbeOutcome::kDrainStatus:
      return "drain-status";
    case ProbeOutcome::kHoldStatus:
      return "hold-status";
    case ProbeOutcome::kProtocol:
      return "protocol";
    case ProbeOutcome::kClosed:
      return "closed";
    case ProbeOutcome::kBodyMismatch:
      return "body-mismatch";
    case ProbeOutcome::kTls:
      return "tls";
    case ProbeOutcome::kCertificate:
      return "certificate";
    case ProbeOutcome::kWsHandshake:
      return "ws-handshake";
    case ProbeOutcome::kWsAccept:
      return "ws-accept";
    case ProbeOutcome::kWsPong:
      return "ws-pong";
    case ProbeOutcome::kLate:
      return "late";
  }
  return "?";
}

absl::string_view ToString(ProbeStep value) {
  switch (value) {
    case ProbeStep::kConnect:
      return "connect";
    case ProbeStep::kTls:
      return "tls";
    case ProbeStep::kResponse:
      return "response";
    case ProbeStep::kUpgrade:
      return "upgrade";
    case ProbeStep::kPong:
      return "pong";
    case ProbeStep::kClose:
      return "close";
  }
  return "?";
}

absl::string_view ToString(ProbeCause value) {
  switch (value) {
    case ProbeCause::kNone:
      return "-";
    case ProbeCause::kNotTls:
      return "not-tls";
    case ProbeCause::kAlert:
      return "alert";
    case ProbeCause::kHandshake:
      return "handshake";
    case ProbeCause::kExpired:
      return "expired";
    case ProbeCause::kNotYetValid:
      return "not-yet-valid";
    case ProbeCause::kSelfSigned:
      return "self-signed";
    case ProbeCause::kUntrusted:
      return "untrusted";
    case ProbeCause::kWrongName:
      return "wrong-name";
    case ProbeCause::kInvalid:
      return "invalid";
    case ProbeCause::kCaFile:
      return "ca-file";
  }
  return "?";
}

absl::string_view ToString(AgentReport::Presence value) {
  using enum AgentReport::Presence;
  switch (value) {
    case kUnknown:
      return "unknown";
    case kAbsent:
      return "absent";
    case kPresent:
      return "present";
    case kStale:
      return "stale";
    case kLost:
      return "lost";
  }
  return "?";
}

std::optional<Policy> ParsePolicy(absl::string_view text) {
  for (const Policy value :
       {Policy::kHash, Policy::kSource, Policy::kLeastConn})
    if (text == ToString(value)) return value;
  return std::nullopt;
}

std::optional<Encap> ParseEncap(absl::string_view text) {
  for (const Encap value : {Encap::kGue, Encap::kIpip, Encap::kL2})
    if (text == ToString(value)) return value;
  return std::nullopt;
}

std::optional<Shed> ParseShed(absl::string_view text) {
  for (const Shed value : {Shed::kDrop, Shed::kReset})
    if (text == ToString(value)) return value;
  return std::nullopt;
}

std::optional<Guarantee> ParseGuarantee(absl::string_view text) {
  for (const Guarantee value : {Guarantee::kFlowTable, Guarantee::kSockets})
    if (text == ToString(value)) return value;
  return std::nullopt;
}

std::optional<CheckKind> ParseCheckKind(absl::string_view text) {
  for (const CheckKind value :
       {CheckKind::kNone, CheckKind::kTcp, CheckKind::kHttp, CheckKind::kHttps,
        CheckKind::kWs, CheckKind::kWss})
    if (text == ToString(value)) return value;
  return std::nullopt;
}

std::optional<CheckVia> ParseCheckVia(absl::string_view text) {
  for (const CheckVia value : {CheckVia::kVip, CheckVia::kDirect})
    if (text == ToString(value)) return value;
  return std::nullopt;
}

}  // namespace fairlead::core
