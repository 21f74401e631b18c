#include "agent/privileges.h"

#include <linux/capability.h>

#include <array>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace fairlead::agent {
namespace {

struct Capability {
  int number;
  const char* name;
};
constexpr std::array<Capability, 3> kNeeded = {{
    {CAP_BPF, "CAP_BPF"},
    {CAP_NET_ADMIN, "CAP_NET_ADMIN"},
    {CAP_PERFMON, "CAP_PERFMON"},
}};

uint64_t EffectiveSet(absl::string_view proc_status) {
  for (absl::string_view line : absl::StrSplit(proc_status, '\n')) {
    uint64_t set = 0;
    if (absl::ConsumePrefix(&line, "CapEff:") &&
        absl::SimpleHexAtoi(absl::StripAsciiWhitespace(line), &set)) {
      return set;
    }
  }
  return 0;
}

}  // namespace

absl::Status CheckPrivilegesOf(absl::string_view proc_status) {
  const uint64_t effective = EffectiveSet(proc_status);
  std::vector<std::string> needed;
  std::vector<std::string> missing;
  for (const Capability& capability : kNeeded) {
    needed.push_back(capability.name);
    if ((effective >> capability.number & 1) == 0)
      missing.push_back(capability.name);
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("not permitted: needs ", absl::StrJoin(needed, ", "),
                   "; missing ", absl::StrJoin(missing, ", "),
                   "; run as root or through the systemd unit"));
}

absl::Status CheckPrivileges() {
  std::ifstream file("/proc/self/status");
  return CheckPrivilegesOf(
      std::string{std::istreambuf_iterator<char>(file), {}});
}

}  // namespace fairlead::agent
