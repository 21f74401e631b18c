#include "event/timer_queue.h"

#include "base/check.h"

namespace fairlead::event {

void TimerQueue::Add(Timer& timer, base::MonoTime deadline) {
  FL_CHECK(!timer.armed());
  timer.deadline_ = deadline;
  timer.sequence_ = ++last_sequence_;
  timers_.emplace(std::make_pair(deadline, timer.sequence_), &timer);
}

void TimerQueue::Remove(Timer& timer) {
  if (!timer.armed()) return;
  timers_.erase({timer.deadline_, timer.sequence_});
  timer.sequence_ = 0;
}

base::MonoTime TimerQueue::NextDeadline() const {
  if (timers_.empty()) return base::MonoTime::InfiniteFuture();
  return timers_.begin()->first.first;
}

void TimerQueue::Expire(base::MonoTime now) {
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    Timer& timer = *timers_.begin()->second;
    Remove(timer);
    timer.OnExpired();
  }
}

}  // namespace fairlead::event
