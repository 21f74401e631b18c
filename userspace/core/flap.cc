#include "core/flap.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace fairlead::core {

void FlapDamping::OnHealth(Health health, base::MonoTime now) {
  const bool served = serves_;
  serves_ = health == Health::kUp || health == Health::kFalling;
  // One that begins anew, as its operator wants it, has not failed.
  if (!served || health != Health::kDown) return;
  falls_[next_] = now;
  next_ = (next_ + 1) % kFlaps;
  if (Hold(now)) {
    until_ = now + hold_;
    last_end_ = until_;
    return;
  }
  const std::optional<base::MonoTime>& oldest = falls_[next_];
  if (oldest && now - *oldest <= kFlapWindow) Begin(now);
}

void FlapDamping::Begin(base::MonoTime now) {
  if (last_end_) {
    absl::Duration rest;
    const int64_t calm = std::max<int64_t>(
        absl::IDivDuration(now - *last_end_, kFlapCalm, &rest), 0);
    doublings_ -= static_cast<int>(std::min<int64_t>(calm, doublings_));
  }
  hold_ = std::min(kShortestFlapHold * (int64_t{1} << doublings_),
                   kLongestFlapHold);
  if (hold_ < kLongestFlapHold) ++doublings_;
  until_ = now + hold_;
  last_end_ = until_;
  why_ended_ = "flap.calm";
}

void FlapDamping::Stop() {
  const std::optional<base::MonoTime> told = told_since_;
  *this = FlapDamping();
  told_since_ = told;
  why_ended_ = "flap.off";
}

std::optional<absl::Duration> FlapDamping::Hold(base::MonoTime now) const {
  if (!until_ || now >= *until_) return std::nullopt;
  return hold_;
}

std::optional<base::MonoTime> FlapDamping::Deadline(base::MonoTime now) const {
  return Hold(now) ? until_ : std::nullopt;
}

std::optional<FlapDamping::Change> FlapDamping::TakeChange(base::MonoTime now) {
  const bool holds = Hold(now).has_value();
  if (holds == told_since_.has_value()) return std::nullopt;
  if (holds) {
    told_since_ = now;
    return Change{
        .begins = true, .reason = FlapReason(hold_), .lasted = std::nullopt};
  }
  const base::MonoTime since = *std::exchange(told_since_, std::nullopt);
  return Change{.begins = false,
                .reason = std::string(why_ended_),
                .lasted = now - since};
}

std::string FlapReason(absl::Duration hold) {
  return absl::StrCat("check.flapping(", kFlaps, " in ",
                      absl::ToInt64Seconds(kFlapWindow), " s, held ",
                      absl::FormatDuration(hold), ")");
}

}  // namespace fairlead::core
