// TimerQueue: deadlines in user space, so that thousands of sleeping tasks cost
// the kernel one timeout. Told the time; reads no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/container/btree_map.h"
#include "base/mono_time.h"

namespace fairlead::event {

class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  virtual ~Timer() = default;

  bool armed() const { return sequence_ != 0; }

 private:
  friend class TimerQueue;
  // The deadline has passed and the timer has left the queue.
  virtual void OnExpired() = 0;

  base::MonoTime deadline_;
  uint64_t sequence_ = 0;  // 0: not in the queue
};

class TimerQueue {
 public:
  // Requires: !timer.armed(). `timer` must outlive its place in the queue.
  void Add(Timer& timer, base::MonoTime deadline);
  // Nothing happens if it is not armed.
  void Remove(Timer& timer);
  // InfiniteFuture() if there is none.
  base::MonoTime NextDeadline() const;
  // Fires all timers with a deadline of `now` or earlier, in the order of their
  // deadlines, equal ones in the order of Add.
  void Expire(base::MonoTime now);

  size_t size() const { return timers_.size(); }

 private:
  uint64_t last_sequence_ = 0;
  absl::btree_map<std::pair<base::MonoTime, uint64_t>, Timer*> timers_;
};

}  // namespace fairlead::event
