#include "agent/syn_cookies.h"

#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace fairlead::agent {
namespace {

constexpr char kGroup[] = "TcpExt:";

}  // namespace

// Two lines of a group: the names, then the values.
absl::StatusOr<uint64_t> ParseTcpCounter(absl::string_view netstat,
                                         absl::string_view name) {
  std::vector<absl::string_view> names;
  for (absl::string_view line : absl::StrSplit(netstat, '\n')) {
    if (!absl::ConsumePrefix(&line, kGroup)) continue;
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (names.empty()) {
      names = words;
      continue;
    }
    for (size_t i = 0; i < names.size() && i < words.size(); ++i) {
      uint64_t value = 0;
      if (names[i] == name && absl::SimpleAtoi(words[i], &value)) return value;
    }
    break;
  }
  return absl::DataLossError(
      absl::StrCat("/proc/net/netstat has no counter TcpExt ", name));
}

void SynCookies::OnCount(uint64_t sent, base::MonoTime now) {
  if (sent == sent_) return;
  sent_ = sent;
  last_sent_ = now;
}

}  // namespace fairlead::agent
