// StatusMap: what the statuses of HTTP answers mean to a check.
//
// Written as rules, the first that fits decides: "200-399,404=up,429=fail". A
// rule without a meaning says up. What no rule says: 200-299 are up unless a
// rule names what is up, 429 is hold, 503 is drain, everything else fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fairlead::core {

enum class StatusMeaning : uint8_t {
  kUp,
  kHold,   // up, and asks for no more than it has
  kDrain,  // up, and asks for no new flows
  kFail,
};
absl::string_view ToString(StatusMeaning value);

struct StatusRule {
  int low = 0;
  int high = 0;
  StatusMeaning meaning = StatusMeaning::kUp;

  friend bool operator==(const StatusRule&, const StatusRule&) = default;
};

inline constexpr size_t kMostStatusRules = 16;

class StatusMap {
 public:
  // Only what no rule says.
  StatusMap() = default;
  // INVALID_ARGUMENT names the rule.
  static absl::StatusOr<StatusMap> Parse(absl::string_view text);

  StatusMeaning MeaningOf(int status) const;
  // As short as Parse() understands it: "200-299", "200-399,429=fail".
  std::string ToString() const;

  friend bool operator==(const StatusMap&, const StatusMap&) = default;

 private:
  std::vector<StatusRule> rules_;  // without those that go without saying
};

}  // namespace fairlead::core
