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
    case ProbeOutcome::kStatusMismatch:
      return "status-mismatch";
    case ProbeOutcome::kDrainStatus:
      return "drain-status";
    case ProbeOutcome::kProtocol:
      return "protocol";
    case ProbeOutcome::kLate:
      return "late";
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

std::optional<Guarantee> ParseGuarantee(absl::string_view text) {
  for (const Guarantee value : {Guarantee::kFlowTable, Guarantee::kSockets})
    if (text == ToString(value)) return value;
  return std::nullopt;
}

std::optional<CheckKind> ParseCheckKind(absl::string_view text) {
  for (const CheckKind value :
       {CheckKind::kNone, CheckKind::kTcp, CheckKind::kHttp})
    if (text == ToString(value)) return value;
  return std::nullopt;
}

}  // namespace fairlead::core
