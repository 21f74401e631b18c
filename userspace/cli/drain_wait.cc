#include "cli/drain_wait.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/mono_time.h"
#include "base/status_macros.h"
#include "cli/exit_code.h"
#include "cli/json.h"
#include "cli/table.h"

namespace fairlead::cli {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(500);
constexpr absl::Duration kProgressInterval = absl::Seconds(2);
// A restart, of the daemon or of an agent, takes less; who is away for longer
// is not coming back by itself.
constexpr absl::Duration kRestartPatience = absl::Seconds(30);
// A rate over less time than this would jump about.
constexpr absl::Duration kShortestRateWindow = absl::Seconds(2);

// No daemon, or one that is just starting or stopping.
bool IsAway(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsAborted(status);
}

// One backend's way to zero.
class Progress {
 public:
  Progress(std::string name, std::string path)
      : name_(std::move(name)), path_(std::move(path)) {}

  const std::string& name() const { return name_; }
  const std::string& path() const { return path_; }
  bool done() const { return done_; }
  void Finish() { done_ = true; }

  // `drain` is what the daemon says of it.
  void Observe(const Json& drain, base::MonoTime now) {
    connections_ = Number(drain, "connections");
    // The agent's word at the start was a second old: it may say less.
    at_start_ = std::max(
        {at_start_, Number(drain, "connections_at_start"), connections_});
    seen_ = now;
    if (!first_seen_.has_value()) {
      first_seen_ = now;
      first_connections_ = connections_;
    }
    const bool by_agent = Text(drain, "basis") != "flow-table";
    if (connections_ > 0 || by_agent) {
      unknowable_since_.reset();
    } else if (!unknowable_since_.has_value()) {
      unknowable_since_ = now;
    }
  }

  // Since when no flow is seen here and no agent says whether there is one.
  std::optional<base::MonoTime> unknowable_since() const {
    return unknowable_since_;
  }

  // "web1: 752 of 1,200 connections left, 12/min, about 1h2m to go".
  std::string Line() const {
    std::string line =
        absl::StrCat(name_, ": ", Thousands(connections_), " of ",
                     Count(at_start_, "connection"), " left");
    const double rate = PerMinute();
    if (rate <= 0) return line;
    absl::StrAppend(&line, ", ",
                    rate < 10 ? absl::StrFormat("%.1f", rate)
                              : absl::StrFormat("%.0f", rate),
                    "/min");
    const absl::Duration left =
        absl::Minutes(static_cast<double>(connections_) / rate);
    if (connections_ > 0) {
      absl::StrAppend(&line, ", about ",
                      absl::FormatDuration(absl::Ceil(left, absl::Seconds(1))),
                      " to go");
    }
    return line;
  }

 private:
  double PerMinute() const {
    if (!first_seen_.has_value()) return 0;
    const absl::Duration window = seen_ - *first_seen_;
    if (window < kShortestRateWindow) return 0;
    return static_cast<double>(first_connections_ - connections_) /
           absl::ToDoubleMinutes(window);
  }

  std::string name_;
  std::string path_;
  bool done_ = false;
  int64_t connections_ = 0;
  int64_t at_start_ = 0;
  // Of the first observation of this command.
  std::optional<base::MonoTime> first_seen_;
  int64_t first_connections_ = 0;
  base::MonoTime seen_;
  std::optional<base::MonoTime> unknowable_since_;
};

class Waiter {
 public:
  Waiter(const Session& session, const DrainWait& wait)
      : session_(session), wait_(wait), begun_(Now()) {}

  absl::Status Run();

 private:
  base::MonoTime Now() const { return session_.environment().now(); }
  absl::Status Poll(Progress& backend);
  absl::Status Judge(const Json& backend, Progress& progress);
  absl::Status CheckLimit() const;
  void Report();
  std::string Remaining() const;

  const Session& session_;
  const DrainWait& wait_;
  std::vector<Progress> backends_;
  base::MonoTime begun_;
  std::optional<base::MonoTime> reported_;
  std::optional<base::MonoTime> unreachable_since_;
};

absl::Status Waiter::Run() {
  for (const std::string& name : wait_.backends) {
    FL_ASSIGN_OR_RETURN(std::string path,
                        PathOf({"services", wait_.service, "backends", name}));
    backends_.emplace_back(name, std::move(path));
  }
  while (true) {
    for (Progress& backend : backends_) {
      if (!backend.done()) FL_RETURN_IF_ERROR(Poll(backend));
    }
    if (std::all_of(backends_.begin(), backends_.end(),
                    [](const Progress& backend) { return backend.done(); })) {
      return absl::OkStatus();
    }
    FL_RETURN_IF_ERROR(CheckLimit());
    Report();
    session_.environment().wait(kPollInterval);
  }
}

absl::Status Waiter::Poll(Progress& backend) {
  const absl::StatusOr<Json> answer = session_.Get(backend.path());
  if (answer.ok()) {
    unreachable_since_.reset();
    return Judge(Field(*answer, "backend"), backend);
  }
  if (!IsAway(answer.status())) return answer.status();
  const base::MonoTime now = Now();
  if (!unreachable_since_.has_value()) {
    unreachable_since_ = now;
    session_.err() << answer.status().message()
                   << "; the drain goes on without it, trying again\n";
  }
  if (now - *unreachable_since_ < kRestartPatience) return absl::OkStatus();
  return answer.status();
}

absl::Status Waiter::Judge(const Json& backend, Progress& progress) {
  if (Text(backend, "state") == "drained") {
    progress.Finish();
    session_.err() << progress.name() << ": drained\n";
    return absl::OkStatus();
  }
  const Json& drain = Field(backend, "drain");
  if (!drain.is_object() || Text(backend, "admin") != "drain") {
    return Failed(absl::StrCat(progress.name(),
                               ": is not draining any more: somebody set it ",
                               Text(backend, "admin")));
  }
  progress.Observe(drain, Now());
  const std::string presence = Text(Field(backend, "agent"), "presence");
  const bool may_answer =
      presence == "unknown" || presence == "stale" || presence == "lost";
  const absl::Duration patience =
      may_answer ? kRestartPatience : absl::ZeroDuration();
  if (!progress.unknowable_since().has_value() ||
      Now() - *progress.unknowable_since() < patience)
    return absl::OkStatus();
  return TimedOut(absl::StrCat(
      progress.name(),
      ": no flows seen here; whether it is drained only an agent on the "
      "backend can say, and ",
      may_answer ? "it is silent" : "none answers"));
}

absl::Status Waiter::CheckLimit() const {
  if (!wait_.limit.has_value() || Now() - begun_ < *wait_.limit)
    return absl::OkStatus();
  return TimedOut(absl::StrCat("not drained after ",
                               absl::FormatDuration(*wait_.limit), ": ",
                               Remaining(), "; the drain goes on"));
}

std::string Waiter::Remaining() const {
  std::string text;
  for (const Progress& backend : backends_) {
    if (!backend.done())
      absl::StrAppend(&text, text.empty() ? "" : "; ", backend.Line());
  }
  return text;
}

void Waiter::Report() {
  const base::MonoTime now = Now();
  if (unreachable_since_.has_value()) return;
  if (reported_.has_value() && now - *reported_ < kProgressInterval) return;
  reported_ = now;
  session_.err() << Remaining() << '\n' << std::flush;
}

}  // namespace

absl::Status WaitForDrain(const Session& session, const DrainWait& wait) {
  return Waiter(session, wait).Run();
}

}  // namespace fairlead::cli
