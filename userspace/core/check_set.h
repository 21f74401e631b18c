// CheckSet: all checks of one backend, each with its own verdict, and what
// follows for the backend: it is as healthy as its worst check, and a signal of
// any counts.
//
// A backend is in init until each check has had its first success. A check that
// is added to one that is up takes it for up until its own results say
// otherwise, as after a restart: it is no reason to lose a backend.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/mono_time.h"
#include "core/health.h"
#include "core/model.h"
#include "core/probe_history.h"

namespace fairlead::core {

class CheckSet {
 public:
  struct One {
    std::string name;
    HealthCheck check;
    std::optional<ProbeResult> last_result;
    std::optional<base::MonoTime> last_result_at;
    ProbeHistory history;
  };

  // The first probe of each is due at `first_probe`.
  CheckSet(const Service& service, base::MonoTime first_probe);

  // Takes the backend for up until results say otherwise; the first probe of
  // each is due within one interval, at a part of it that is `random` of [0,
  // 1).
  void AssumeUp(const Service& service, double random, base::MonoTime now);
  void Reconfigure(const Service& service, base::MonoTime now);
  void Pause();
  void Resume(base::MonoTime now);

  // When a probe of any is due, or given up.
  std::optional<base::MonoTime> deadline() const;

  // nullptr: there is none of that name.
  One* Find(absl::string_view name);
  const One* Find(absl::string_view name) const;
  std::vector<One>& all() { return all_; }
  const std::vector<One>& all() const { return all_; }

  Health health() const;
  Signal signal() const;
  int signal_status() const;
  const std::optional<ProbeResult>& last_failure() const;
  // The checks that health and signal are of; where all is well, the first.
  const One& decisive() const;
  const One& signaller() const;
  // The backend answers some of its checks, though others may have failed
  // without an answer.
  bool answers_some() const;

 private:
  std::vector<One> all_;  // never empty; the main one first, then by name
  bool paused_ = false;
};

// Nobody was there: no answer to the attempt to connect.
bool IsSilence(const ProbeResult& failure);

}  // namespace fairlead::core
