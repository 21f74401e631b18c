// Addresses, endpoints and durations as people type them: what was understood
// prints to a text that means the same.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/check.h"
#include "base/duration.h"
#include "base/ip_address.h"
#include "base/text.h"

namespace fairlead::base {
namespace {

template <typename T>
void RoundTrip(absl::string_view text) {
  const absl::StatusOr<T> value = T::Parse(text);
  if (!value.ok()) return;
  const absl::StatusOr<T> again = T::Parse(value->ToString());
  FL_CHECK(again.ok() && *again == *value);
}

}  // namespace
}  // namespace fairlead::base

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fairlead::base;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  RoundTrip<IpAddress>(text);
  RoundTrip<Endpoint>(text);
  const auto duration = ParseDuration(text);
  if (duration.ok()) {
    FL_CHECK(*duration >= absl::ZeroDuration());
    FL_CHECK(ParseDuration(absl::FormatDuration(*duration)).ok());
  }
  const std::vector<std::string> known = {"drain", "ready", "maint"};
  FL_CHECK(!Hint(text, known).empty());
  for (const char c : Quoted(text)) FL_CHECK(c != '\n' && c != '\0');
  return 0;
}
