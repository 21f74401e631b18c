// Every reader of JSON that comes from outside: the bodies of all changes, the
// state file and a line of the event log. Whatever the bytes, they answer; and
// a state that was understood is the same after it was written and read again.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "control/bodies.h"
#include "control/event_log.h"
#include "control/json.h"
#include "control/state_codec.h"

namespace fairlead::control {
namespace {

void ReadBodies(const std::string& text) {
  const BackendPath path = {.service = "ws", .backend = "web1"};
  // What they say does not matter here, only that they say it.
  (void)ReadAddService(text);
  (void)ReadSetService("ws", text);
  (void)ReadDeleteService("ws", text);
  (void)ReadClearTombstone("198.51.100.10:443", text);
  (void)ReadClearTombstone(text, "");
  (void)ReadAddBackend("ws", text);
  (void)ReadSetBackend(path, text);
  (void)ReadDeleteBackend(path, text);
  (void)ReadSetAdmin(path, core::Admin::kDrain, text);
  (void)ReadDetach(text);
}

void RoundTrip(const std::string& text) {
  const absl::StatusOr<core::DesiredState> state = DecodeState(text);
  if (state.ok()) {
    const absl::StatusOr<core::DesiredState> again =
        DecodeState(EncodeState(*state));
    FL_CHECK(again.ok() && *again == *state);
  }
  const absl::StatusOr<EventRecord> record = DecodeEventLine(text);
  if (record.ok()) {
    const std::string line = EncodeEventLine(*record);
    const absl::StatusOr<EventRecord> again = DecodeEventLine(line);
    FL_CHECK(again.ok() && EncodeEventLine(*again) == line);
  }
}

}  // namespace
}  // namespace fairlead::control

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  fairlead::control::ReadBodies(text);
  fairlead::control::RoundTrip(text);
  const auto json = fairlead::control::ParseJson(text);
  if (json.ok()) (void)fairlead::control::DumpJson(*json);
  return 0;
}
