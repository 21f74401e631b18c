#include "tests/bench/report.h"

#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/check.h"

namespace fairlead::test {
namespace {

std::string FirstLine(const char* command) {
  FILE* const pipe = popen(command, "r");
  FL_CHECK(pipe != nullptr);
  char line[256] = "";
  const bool read = std::fgets(line, sizeof(line), pipe) != nullptr;
  pclose(pipe);
  return read ? std::string(absl::StripSuffix(line, "\n")) : "unknown";
}

const std::string& Machine() {
  static const std::string* const machine = [] {
    utsname system = {};
    uname(&system);
    return new std::string(absl::StrFormat(
        R"("cpu":"%s","kernel":"%s","commit":"%s")",
        FirstLine("sed -n 's/^model name.*: //p' /proc/cpuinfo"),
        static_cast<const char*>(system.release),
        FirstLine("git -C " FL_SOURCE_FOLDER
                  " describe --always --dirty 2>/dev/null")));
  }();
  return *machine;
}

}  // namespace

double Series::Min() const { return std::ranges::min(values_); }

double Series::Max() const { return std::ranges::max(values_); }

double Series::Median() const {
  std::vector<double> sorted = values_;
  std::ranges::sort(sorted);
  return sorted[sorted.size() / 2];
}

JsonLine::JsonLine(absl::string_view bench, absl::string_view name) {
  Text("bench", bench).Text("case", name);
}

JsonLine::~JsonLine() {
  double load[1] = {-1};
  (void)!getloadavg(load, 1);
  Number("load1", load[0]);
  std::cout << "{" << line_ << "," << Machine() << "}" << std::endl;
}

JsonLine& JsonLine::Text(absl::string_view key, absl::string_view value) {
  absl::StrAppend(&line_, line_.empty() ? "" : ",", "\"", key, "\":\"", value,
                  "\"");
  return *this;
}

JsonLine& JsonLine::Count(absl::string_view key, uint64_t value) {
  absl::StrAppend(&line_, ",\"", key, "\":", value);
  return *this;
}

JsonLine& JsonLine::Number(absl::string_view key, double value) {
  absl::StrAppend(&line_, ",\"", key, "\":", absl::StrFormat("%.3f", value));
  return *this;
}

JsonLine& JsonLine::Times(absl::string_view key, absl::string_view unit,
                          const Series& series) {
  return Number(absl::StrCat(key, "_min_", unit), series.Min())
      .Number(absl::StrCat(key, "_median_", unit), series.Median());
}

BenchOptions ParseBenchOptions(int argc, char** argv) {
  BenchOptions options;
  for (int i = 1; i < argc; i++) {
    const std::string argument = argv[i];
    const bool more = i + 1 < argc;
    if (argument == "--large") {
      options.large = true;
    } else if (argument == "--quick") {
      options.quick = true;
      options.rounds = 3;
      options.repeat = 200'000;
    } else if (argument == "--rounds" && more) {
      options.rounds = std::max(1, std::atoi(argv[++i]));
    } else if (argument == "--repeat" && more) {
      options.repeat = static_cast<uint32_t>(std::max(1, std::atoi(argv[++i])));
    } else if (argument == "--only" && more) {
      options.only = argv[++i];
    } else {
      std::fprintf(stderr,
                   "usage: %s [--quick] [--rounds N] [--repeat N] [--large] "
                   "[--only TEXT]\n",
                   argv[0]);
      std::exit(2);
    }
  }
  return options;
}

}  // namespace fairlead::test
