// StallWatch: for how long this host's own loop did not get to run while probes
// were under way: the process was stopped, had no CPU, or was busy with
// something else. What a probe missed then says nothing about its backend.
//
// It beats: a timer that fires late tells by how much the loop was late. Stalls
// that are shorter than a beat are not seen.
#pragma once

#include <cstddef>
#include <string>

#include "absl/time/time.h"
#include "base/mono_time.h"
#include "event/loop.h"
#include "event/timer_queue.h"

namespace fairlead::probe {

inline constexpr absl::Duration kBeat = absl::Milliseconds(20);
// A beat that is later is a stall; any system's timers are late by some.
inline constexpr absl::Duration kPunctual = absl::Milliseconds(5);
// The operator is told of stalls that are longer, for so long.
inline constexpr absl::Duration kAlarmingStall = absl::Milliseconds(250);
inline constexpr absl::Duration kAlarmHold = absl::Minutes(1);

class StallWatch : public event::Timer {
 public:
  // Borrowed.
  explicit StallWatch(event::Loop& loop) : loop_(loop) {}
  StallWatch(const StallWatch&) = delete;
  StallWatch& operator=(const StallWatch&) = delete;
  // Requires: nobody watches.
  ~StallWatch() override;

  // Beats while one of these lives.
  class Watching {
   public:
    explicit Watching(StallWatch& watch) : watch_(watch) {
      watch_.Begin();
      lost_before_ = watch_.Lost();
    }
    Watching(const Watching&) = delete;
    Watching& operator=(const Watching&) = delete;
    ~Watching() { watch_.End(); }

    // Since its beginning.
    absl::Duration Lost() const { return watch_.Lost() - lost_before_; }

   private:
    StallWatch& watch_;
    absl::Duration lost_before_;
  };

  // Something else was late by so much.
  void Note(absl::Duration late);
  // The last stall that the operator should know of; empty if there was none
  // lately.
  std::string Alarm() const;

 private:
  void Begin();
  void End();
  void OnExpired() override;
  void Arm();
  // Of all stalls, the one that is not over included.
  absl::Duration Lost() const;

  event::Loop& loop_;
  size_t watching_ = 0;
  absl::Duration lost_;
  absl::Duration last_stall_;
  base::MonoTime last_stall_ended_;
  // Valid while somebody watches.
  base::MonoTime next_beat_;
};

}  // namespace fairlead::probe
