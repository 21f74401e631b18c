#include "datapath/libbpf_log.h"

#include <bpf/libbpf.h>

#include <array>
#include <cstdarg>
#include <cstdio>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/check.h"

namespace fairlead::datapath {
namespace {

// A verifier's log may have a megabyte; its end is what matters.
constexpr size_t kMaxKept = 64 * 1024;

// What the print function writes to: libbpf passes it no context.
std::string* g_kept = nullptr;

int Keep(libbpf_print_level level, const char* format, va_list args) {
  if (level == LIBBPF_DEBUG || g_kept == nullptr) return 0;
  va_list again;
  va_copy(again, args);
  const int length = std::vsnprintf(nullptr, 0, format, args);
  if (length > 0) {
    std::string text(static_cast<size_t>(length) + 1, '\0');
    std::vsnprintf(text.data(), text.size(), format, again);
    text.pop_back();
    g_kept->append(text);
    if (g_kept->size() > kMaxKept) {
      g_kept->erase(0, g_kept->size() - kMaxKept);
    }
  }
  va_end(again);
  return length;
}

bool SaysSomething(absl::string_view line) {
  return !line.empty() && !absl::StartsWith(line, "processed ") &&
         !absl::StartsWith(line, "verification time") &&
         !absl::StartsWith(line, "stack depth") &&
         !absl::StrContains(line, "PROG LOAD LOG --") &&
         !absl::StrContains(line, "failed to load object") &&
         !absl::StrContains(line, "failed to load BPF skeleton");
}

}  // namespace

LibbpfLog::LibbpfLog() {
  FL_CHECK(g_kept == nullptr);
  g_kept = new std::string;
  previous_ = reinterpret_cast<void*>(libbpf_set_print(Keep));
}

LibbpfLog::~LibbpfLog() {
  libbpf_set_print(reinterpret_cast<libbpf_print_fn_t>(previous_));
  delete g_kept;
  g_kept = nullptr;
}

std::string LibbpfLog::Tail(size_t lines) const {
  std::vector<absl::string_view> kept;
  for (absl::string_view line : absl::StrSplit(*g_kept, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (SaysSomething(line))
      kept.push_back(absl::StripPrefix(line, "libbpf: "));
  }
  if (kept.size() > lines) {
    kept.erase(kept.begin(), kept.end() - static_cast<std::ptrdiff_t>(lines));
  }
  return absl::StrJoin(kept, "; ");
}

}  // namespace fairlead::datapath
