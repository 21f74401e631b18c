// How a test runs a coroutine: on a loop of its own, to the end.
//
// No co_await inside CHECK() or REQUIRE(): they name their expression a second
// time behind "false &&", and g++ 12 awaits it there all the same.
#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "base/check.h"
#include "event/loop.h"
#include "event/task.h"

namespace fairlead::event {

inline std::unique_ptr<Loop> MakeLoop(const LoopOptions& options = {}) {
  absl::StatusOr<std::unique_ptr<Loop>> loop = Loop::Create(options);
  FL_CHECK(loop.ok());
  return std::move(loop).value();
}

// `body` is a coroutine lambda; it, and what it spawned, is done on return.
template <typename Body>
void RunOn(Loop& loop, const Body& body) {
  loop.root().Spawn(body());
  loop.Run();
}

inline void ExpectOk(const absl::Status& status) {
  INFO(status.ToString());
  CHECK(status.ok());
}

// The value; without one the test ends.
template <typename T>
T ValueOf(absl::StatusOr<T> value) {
  INFO(value.status().ToString());
  REQUIRE(value.ok());
  return std::move(value).value();
}

template <typename T, typename Expected>
void ExpectValue(const absl::StatusOr<T>& value, const Expected& expected) {
  INFO(value.status().ToString());
  CHECK((value.ok() && *value == expected));
}

}  // namespace fairlead::event
