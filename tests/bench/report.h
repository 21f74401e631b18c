// What all benchmarks say alike: a series of rounds by its minimum and median,
// one JSON line for each case with the machine and its load beside it, and
// nothing else on stdout.
//
// For one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fairlead::test {

// Of one quantity, round by round. Requires: not empty when asked.
class Series {
 public:
  void Add(double value) { values_.push_back(value); }
  double Min() const;
  double Max() const;
  double Median() const;

 private:
  std::vector<double> values_;
};

// One case. Prints its line when it goes out of scope.
class JsonLine {
 public:
  JsonLine(absl::string_view bench, absl::string_view name);
  JsonLine(const JsonLine&) = delete;
  JsonLine& operator=(const JsonLine&) = delete;
  ~JsonLine();

  // Requires: `value` needs no escapes.
  JsonLine& Text(absl::string_view key, absl::string_view value);
  JsonLine& Count(absl::string_view key, uint64_t value);
  JsonLine& Number(absl::string_view key, double value);
  // `key`_min_UNIT and `key`_median_UNIT.
  JsonLine& Times(absl::string_view key, absl::string_view unit,
                  const Series& series);

 private:
  std::string line_;
};

// Of --rounds N, --repeat N, --only TEXT, --quick, --large, which every
// benchmark takes; it says which of them mean something to it.
struct BenchOptions {
  int rounds = 9;
  uint32_t repeat = 1'000'000;
  bool quick = false;
  bool large = false;
  std::string only;

  bool Wants(absl::string_view name) const {
    return std::string(name).find(only) != std::string::npos;
  }
};

// Ends the program with a message if the arguments are others.
BenchOptions ParseBenchOptions(int argc, char** argv);

}  // namespace fairlead::test
