#include "agent/syn_cookies.h"

#include <atomic>
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

void NoteSynCookies(uint64_t sent, base::MonoTime now, fl_agent_state& state) {
  if (sent == state.syn_cookies) return;
  // The time first: an agent that is killed in between leaves a count that the
  // next one finds grown.
  std::atomic_ref(state.syn_cookie_at)
      .store(static_cast<__u64>(now.nanoseconds()));
  std::atomic_ref(state.syn_cookies).store(sent);
}

std::optional<base::MonoTime> LastSynCookie(const fl_agent_state& state) {
  if (state.syn_cookie_at == 0) return std::nullopt;
  return base::MonoTime() +
         absl::Nanoseconds(static_cast<int64_t>(state.syn_cookie_at));
}

}  // namespace fairlead::agent
