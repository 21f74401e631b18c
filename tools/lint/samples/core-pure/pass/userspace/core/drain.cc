#include "core/drain.h"

#include <cstring>
#include <map>
#include <optional>

#include "absl/container/btree_map.h"
#include "absl/time/time.h"

namespace fairlead::core {

static constexpr int kPhases = 4;
static const int kLimit = 3;

// Not errno, not printf(): words in comments and texts are free.
const char* kText = "errno; printf(1); std::thread";

static int Next(int phase) { return phase + 1 < kPhases ? phase + 1 : kLimit; }

int Drain::OnTick(MonoTime now) { return Next(now.nanoseconds() > 0); }

}  // namespace fairlead::core
