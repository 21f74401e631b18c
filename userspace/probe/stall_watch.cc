#include "probe/stall_watch.h"

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace fairlead::probe {

StallWatch::~StallWatch() { FL_CHECK(watching_ == 0); }

void StallWatch::Begin() {
  if (++watching_ == 1) Arm();
}

void StallWatch::End() {
  // What came since the last beat is counted now or never.
  if (watching_ == 1) {
    lost_ = Lost();
    loop_.timers().Remove(*this);
  }
  --watching_;
}

void StallWatch::Arm() {
  next_beat_ = loop_.Now() + kBeat;
  loop_.timers().Add(*this, next_beat_);
}

void StallWatch::OnExpired() {
  lost_ = Lost();
  Note(loop_.Now() - next_beat_);
  Arm();
}

void StallWatch::Note(absl::Duration late) {
  if (late <= kAlarmingStall) return;
  last_stall_ = late;
  last_stall_ended_ = loop_.Now();
}

absl::Duration StallWatch::Lost() const {
  if (watching_ == 0) return lost_;
  const absl::Duration late = loop_.Now() - next_beat_;
  return late > kPunctual ? lost_ + late : lost_;
}

std::string StallWatch::Alarm() const {
  if (last_stall_ == absl::ZeroDuration()) return "";
  const absl::Duration ago = loop_.Now() - last_stall_ended_;
  if (ago > kAlarmHold) return "";
  return absl::StrCat(
      "this daemon did not get to run for ",
      absl::FormatDuration(absl::Trunc(last_stall_, absl::Milliseconds(1))),
      ", until ", absl::FormatDuration(absl::Trunc(ago, absl::Seconds(1))),
      " ago; checks that it missed are repeated and not counted: was it "
      "stopped, or does it want for CPU?");
}

}  // namespace fairlead::probe
