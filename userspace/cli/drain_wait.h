// `backend drain --wait`: asks until every backend is drained, and tells how it
// goes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/session.h"

namespace fairlead::cli {

struct DrainWait {
  std::string service;
  std::vector<std::string> backends;
  // None: for as long as it takes.
  std::optional<absl::Duration> limit;
};

// OK once every backend is drained. TimedOut at the limit, and as soon as a
// backend without agent has no flow here any more: nobody can say then whether
// it has one elsewhere. A daemon that restarts meanwhile is waited for.
absl::Status WaitForDrain(const Session& session, const DrainWait& wait);

}  // namespace fairlead::cli
