#include "core/check_set.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "core/check_list.h"

namespace fairlead::core {
namespace {

const CheckConfig kNothing = {.kind = CheckKind::kNone};

// Those that there are; where there is none, the main one, which is up.
std::vector<CheckRef> Configured(const Service& service) {
  std::vector<CheckRef> checks = ChecksOf(service);
  if (checks.empty())
    checks.push_back({.name = kMainCheck, .config = &kNothing});
  return checks;
}

// How bad it is: what takes a backend out first, then what it waits for.
int Badness(Health health) {
  switch (health) {
    case Health::kUp:
      return 0;
    case Health::kFalling:
      return 1;
    case Health::kInit:
      return 2;
    case Health::kRising:
      return 3;
    case Health::kDown:
      return 4;
  }
  FL_CHECK(false);
  return 0;
}

CheckSet::One MakeOne(const CheckRef& check, base::MonoTime first_probe) {
  return {.name = std::string(check.name),
          .check = HealthCheck(*check.config, first_probe),
          .last_result = std::nullopt,
          .last_result_at = std::nullopt,
          .history = {}};
}

bool IsWorse(const CheckSet::One& a, const CheckSet::One& b) {
  const int of_a = Badness(a.check.health());
  const int of_b = Badness(b.check.health());
  if (of_a != of_b) return of_a > of_b;
  return a.check.signal() > b.check.signal();
}

bool IsWorseSignal(const CheckSet::One& a, const CheckSet::One& b) {
  return a.check.signal() > b.check.signal();
}

}  // namespace

bool IsSilence(const ProbeResult& failure) {
  return failure.step == ProbeStep::kConnect &&
         (failure.outcome == ProbeOutcome::kTimeout ||
          failure.outcome == ProbeOutcome::kUnreachable);
}

CheckSet::CheckSet(const Service& service, base::MonoTime first_probe) {
  const std::vector<CheckRef> checks = Configured(service);
  all_.reserve(checks.size());
  for (const CheckRef& check : checks)
    all_.push_back(MakeOne(check, first_probe));
}

void CheckSet::AssumeUp(const Service& service, double random,
                        base::MonoTime now) {
  all_.clear();
  for (const CheckRef& check : Configured(service)) {
    all_.push_back(MakeOne(check, now + check.config->interval * random));
    all_.back().check.AssumeUp();
  }
}

void CheckSet::Reconfigure(const Service& service, base::MonoTime now) {
  const bool was_up = health() == Health::kUp || health() == Health::kFalling;
  const std::vector<CheckRef> checks = Configured(service);
  std::vector<One> next;
  next.reserve(checks.size());
  for (const CheckRef& check : checks) {
    if (One* old = Find(check.name); old != nullptr) {
      old->check.Reconfigure(*check.config, now);
      next.push_back(std::move(*old));
      continue;
    }
    next.push_back(MakeOne(check, now));
    if (was_up) next.back().check.AssumeUp();
    if (paused_) next.back().check.Pause();
  }
  all_ = std::move(next);
}

void CheckSet::Pause() {
  paused_ = true;
  for (One& one : all_) one.check.Pause();
}

void CheckSet::Resume(base::MonoTime now) {
  paused_ = false;
  for (One& one : all_) one.check.Resume(now);
}

std::optional<base::MonoTime> CheckSet::deadline() const {
  std::optional<base::MonoTime> first;
  for (const One& one : all_) {
    const std::optional<base::MonoTime> at = one.check.deadline();
    if (at && (!first || *at < *first)) first = at;
  }
  return first;
}

CheckSet::One* CheckSet::Find(absl::string_view name) {
  for (One& one : all_)
    if (one.name == name) return &one;
  return nullptr;
}

const CheckSet::One* CheckSet::Find(absl::string_view name) const {
  for (const One& one : all_)
    if (one.name == name) return &one;
  return nullptr;
}

const CheckSet::One& CheckSet::decisive() const {
  // The first of those that are equally bad.
  return *std::min_element(all_.begin(), all_.end(), IsWorse);
}

Health CheckSet::health() const { return decisive().check.health(); }

const std::optional<ProbeResult>& CheckSet::last_failure() const {
  return decisive().check.last_failure();
}

const CheckSet::One& CheckSet::signaller() const {
  return *std::min_element(all_.begin(), all_.end(), IsWorseSignal);
}

Signal CheckSet::signal() const { return signaller().check.signal(); }

int CheckSet::signal_status() const {
  return signaller().check.signal_status();
}

bool CheckSet::answers_some() const {
  return std::any_of(all_.begin(), all_.end(), [](const One& one) {
    return one.check.health() != Health::kDown || !one.check.last_failure() ||
           !IsSilence(*one.check.last_failure());
  });
}

}  // namespace fairlead::core
