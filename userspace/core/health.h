// HealthCheck: what the probes of one backend have told. It says when the next
// probe is due, counts results (rise, fall) and hears the backend's own signal
// (a 503 asks for a drain). It never touches the operator's intent.
//
// - The first result after a start counts at once; from then on `rise`
//   successes or `fall` failures in a row are needed.
// - A 503 is an answer: it counts as a success for health and sets the signal,
//   which `rise` successes in a row take back.
// - A 429 is one too, and sets the signal to hold as long as it is answered.
// - A late probe is our own fault: it is repeated and never counted. One that
// is
//   overdue before it has begun is put off, once: a host that did not get to
//   run would begin all its probes in the same moment.
// - While health is changing, probes come twice as often. Every interval is
//   jittered by ±10 %.
//
// Time is an argument; probes are numbered by the caller, so that an answer to
// a probe that is not waited for any more is recognised.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/mono_time.h"
#include "core/model.h"

namespace fairlead::core {

// A check is overdue so long after its time.
inline constexpr absl::Duration kOverdue = absl::Milliseconds(250);

// The backend answered as it should; it may have asked for something with it.
bool IsAnswer(ProbeOutcome outcome);

// The closed list: "check.tcp-refused", "check.status-mismatch(500)", ...
// Requires: a failure.
std::string FailureReason(const ProbeResult& result);

class HealthCheck {
 public:
  // Health kInit, or kUp if there is nothing to check. The first probe is due
  // at `first_probe`.
  HealthCheck(const CheckConfig& config, base::MonoTime first_probe);

  // Takes the backend for up until results say otherwise.
  void AssumeUp();
  // Keeps what is known; a probe that is under way is forgotten. Nothing
  // happens if nothing changes.
  void Reconfigure(const CheckConfig& config, base::MonoTime now);
  // No probes; one that is under way is forgotten.
  void Pause();
  // Begins anew: what was known is too old. Nothing happens if not paused.
  void Resume(base::MonoTime now);

  // When StartProbe() wants to be called; nullopt: never.
  std::optional<base::MonoTime> deadline() const;
  // Not once more before the next probe: a host that is always late must not go
  // blind.
  bool IsOverdue(base::MonoTime now) const;
  // To some time within an interval; what was under way is forgotten. Requires:
  // IsOverdue(now).
  void PutOff(base::MonoTime now, double random);
  // True if a probe is to be started now, as `number`.
  bool StartProbe(uint64_t number, base::MonoTime now);
  // Takes part in probe `number`, which is started now for another check. False
  // if it makes none, or waits for one already.
  bool JoinProbe(uint64_t number, base::MonoTime now);
  // `random` in [0, 1) jitters the next probe. False if probe `number` is not
  // waited for: nothing has changed.
  bool OnResult(uint64_t number, const ProbeResult& result, base::MonoTime now,
                double random);

  Health health() const { return health_; }
  Signal signal() const { return signal_; }
  // Of the answer that set the signal; 0 without one.
  int signal_status() const { return signal_status_; }
  // The failure that counted last; nullopt if none has since the start.
  const std::optional<ProbeResult>& last_failure() const {
    return last_failure_;
  }

 private:
  struct Probe {
    uint64_t number = 0;
    base::MonoTime started;
  };

  base::MonoTime GiveUpAt() const;
  void CountSuccess();
  void CountFailure(const ProbeResult& result);
  void CountSignal(Signal signal, int status);

  CheckConfig config_;
  bool paused_ = false;
  base::MonoTime due_;  // of the next probe, while none is under way
  bool put_off_ = false;
  std::optional<Probe> probe_;

  Health health_ = Health::kInit;
  int in_a_row_ = 0;  // results that speak for a change
  Signal signal_ = Signal::kNone;
  int signal_status_ = 0;
  int quiet_ = 0;  // successes in a row while signal_ is kDrain
  std::optional<ProbeResult> last_failure_;
};

}  // namespace fairlead::core
