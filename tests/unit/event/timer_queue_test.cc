#include "event/timer_queue.h"

#include <catch2/catch.hpp>
#include <vector>

namespace fairlead::event {
namespace {

using base::MonoTime;

class Recorder : public Timer {
 public:
  Recorder(int id, std::vector<int>& fired) : id_(id), fired_(fired) {}

 private:
  void OnExpired() override { fired_.push_back(id_); }
  int id_;
  std::vector<int>& fired_;
};

MonoTime At(int64_t ns) { return MonoTime::FromNanoseconds(ns); }

TEST_CASE("timers fire in the order of their deadlines, equal ones in turn",
          "[event][timer]") {
  std::vector<int> fired;
  Recorder a(1, fired), b(2, fired), c(3, fired), d(4, fired);
  TimerQueue queue;
  queue.Add(a, At(30));
  queue.Add(b, At(10));
  queue.Add(c, At(30));
  queue.Add(d, At(31));
  CHECK(queue.NextDeadline() == At(10));
  queue.Expire(At(9));
  CHECK(fired.empty());
  queue.Expire(At(30));
  CHECK(fired == std::vector<int>{2, 1, 3});
  CHECK(queue.NextDeadline() == At(31));
  queue.Remove(d);
  CHECK(queue.size() == 0);
}

TEST_CASE("a removed timer does not fire and can be added again",
          "[event][timer]") {
  std::vector<int> fired;
  Recorder a(1, fired);
  TimerQueue queue;
  queue.Add(a, At(10));
  queue.Remove(a);
  queue.Remove(a);
  CHECK_FALSE(a.armed());
  queue.Expire(At(20));
  CHECK(fired.empty());
  queue.Add(a, At(30));
  queue.Expire(At(30));
  CHECK(fired == std::vector<int>{1});
}

TEST_CASE("an empty queue has no deadline", "[event][timer]") {
  TimerQueue queue;
  CHECK(queue.NextDeadline() == MonoTime::InfiniteFuture());
}

}  // namespace
}  // namespace fairlead::event
