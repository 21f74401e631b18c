// The shipped program against the model (lb_model.h): the same tables, the same
// frame, and then the verdict, the action, every byte that left, all slots, all
// loads and all counters have to be the same.
//
// Cases are numbered. A world of kCasesInWorld of them begins from a seed of
// its own and lives within one tick of the clock; if the clock ticks in it, it
// begins anew. So (FL_MODEL_SEED, number) is all that there is to a case.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "core/mix.h"
#include "tests/model/lb_model.h"
#include "tests/model/lb_subject.h"
#include "tests/model/random_world.h"
#include "tests/support/packet_text.h"

namespace fairlead::model {
namespace {

constexpr uint64_t kCasesInWorld = 256;
// Worlds of a shard: none runs the cases of another.
constexpr uint64_t kShardWorlds = uint64_t{1} << 24;
// With fewer cases, a rare verdict may not occur.
constexpr uint64_t kEnoughForAllVerdicts = 5000;
constexpr uint32_t kFlowBuckets[] = {2, 8, 16};

uint64_t CoarseNanoseconds() {
  timespec now = {};
  FL_CHECK(clock_gettime(CLOCK_MONOTONIC_COARSE, &now) == 0);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(now.tv_nsec);
}

std::optional<uint64_t> FromEnvironment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  return std::strtoull(text, nullptr, 10);
}

// What of the program's answer is not the model's; empty if nothing.
std::string DifferenceOf(const Departure& model,
                         const test::TestRunResult& program) {
  std::string text;
  if (model.action != program.action)
    absl::StrAppend(&text, "  action: model ", model.action, ", program ",
                    program.action, "\n");
  // Dropped while it was being made into something else: what is left of it is
  // nobody's business.
  const bool half_made = model.verdict == FL_LB_DROP_NO_HEADROOM;
  if (!half_made && model.frame != program.frame)
    absl::StrAppend(&text, test::DifferenceOf(model.frame, program.frame));
  return text;
}

class Differential {
 public:
  Differential() {
    for (const uint32_t buckets : kFlowBuckets)
      subjects_.push_back(std::make_unique<LbSubject>(buckets));
  }

  // The first `cases` of the world; false at the first that differs.
  bool RunWorld(uint64_t seed, uint64_t world, uint64_t cases) {
    std::optional<bool> same;
    while (!same) same = TryWorld(seed, world, cases);
    return *same;
  }

  const test::LbVerdicts& verdicts() const { return verdicts_; }

  // Each packet bumped exactly one verdict.
  void CheckSums() const {
    for (const auto& subject : subjects_)
      CHECK(subject->verdicts() == subject->runs());
  }

 private:
  // Nothing if the clock ticked meanwhile.
  std::optional<bool> TryWorld(uint64_t seed, uint64_t world, uint64_t cases) {
    LbSubject& subject = *subjects_[world % subjects_.size()];
    const uint64_t now_ns = CoarseNanoseconds();
    RandomWorld random({.seed = core::Mix64(seed ^ core::Mix64(world)),
                        .flow_buckets = subject.flow_buckets(),
                        .now_ns = now_ns});
    Host& host = random.host();
    subject.Install(host);
    const test::LbVerdicts before = host.counters.verdicts;
    for (uint64_t i = 0; i < cases; i++) {
      if (random.Disturb()) subject.InstallBackendsAndFlows(host);
      const Bytes frame = random.NextFrame();
      const bool crowded = random.Crowds() && LbSubject::CanCrowd(frame);
      const Arrival arrival = crowded ? LbSubject::Crowded(frame, now_ns)
                                      : LbSubject::Plain(frame, now_ns);
      const Departure departure = Receive(host, arrival);
      const test::TestRunResult result =
          crowded ? subject.RunCrowded(frame) : subject.Run(frame);
      const std::string difference =
          DifferenceOf(departure, result) + subject.DifferenceFrom(host);
      if (now_ns >> FL_TICK_SHIFT != CoarseNanoseconds() >> FL_TICK_SHIFT)
        return std::nullopt;
      if (!difference.empty()) {
        Report(seed, world * kCasesInWorld + i, arrival, departure, difference);
        return false;
      }
    }
    for (size_t i = 0; i < before.size(); i++)
      verdicts_[i] += host.counters.verdicts[i] - before[i];
    return true;
  }

  static void Report(uint64_t seed, uint64_t number, const Arrival& arrival,
                     const Departure& departure,
                     const std::string& difference) {
    std::printf(
        "model and program differ in case %llu of seed %llu\n%s"
        "model: %s\n%srepeat just this: FL_MODEL_SEED=%llu FL_MODEL_CASE=%llu "
        "%s\n",
        static_cast<unsigned long long>(number),
        static_cast<unsigned long long>(seed),
        test::DescribeFrame(arrival.frame).c_str(),
        test::VerdictName(departure.verdict).c_str(), difference.c_str(),
        static_cast<unsigned long long>(seed),
        static_cast<unsigned long long>(number), program_invocation_name);
  }

  std::vector<std::unique_ptr<LbSubject>> subjects_;
  test::LbVerdicts verdicts_ = {};  // of all worlds that came to their end
};

void PrintShares(const test::LbVerdicts& verdicts, uint64_t cases) {
  for (size_t i = 0; i < verdicts.size(); i++) {
    std::printf(
        "%6.2f %%  %s\n",
        100.0 * static_cast<double>(verdicts[i]) / static_cast<double>(cases),
        test::VerdictName(static_cast<fl_lb_verdict>(i)).c_str());
  }
}

TEST_CASE("the program does what the model says", "[packet][lb][model]") {
  const uint64_t seed =
      FromEnvironment("FL_MODEL_SEED").value_or(std::random_device()());
  Differential differential;
  if (const auto number = FromEnvironment("FL_MODEL_CASE")) {
    REQUIRE(differential.RunWorld(seed, *number / kCasesInWorld,
                                  *number % kCasesInWorld + 1));
    return;
  }
  const uint64_t cases =
      FromEnvironment("FL_MODEL_CASES").value_or(FL_MODEL_CASES);
  const uint64_t first = FromEnvironment("FL_SHARD").value_or(0) * kShardWorlds;
  std::printf("%llu cases, FL_MODEL_SEED=%llu\n",
              static_cast<unsigned long long>(cases),
              static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  const std::clock_t begun = std::clock();
  for (uint64_t done = 0; done < cases; done += kCasesInWorld)
    REQUIRE(differential.RunWorld(seed, first + done / kCasesInWorld,
                                  std::min(kCasesInWorld, cases - done)));
  std::printf("%.1f us of processor time a case\n",
              1e6 * static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC /
                  static_cast<double>(cases));
  PrintShares(differential.verdicts(), cases);
  differential.CheckSums();
  if (cases < kEnoughForAllVerdicts) return;
  for (size_t i = 0; i < differential.verdicts().size(); i++) {
    const auto verdict = static_cast<fl_lb_verdict>(i);
    INFO(test::VerdictName(verdict));
    // Tables that are whole have no defect.
    if (verdict != FL_LB_DROP_INTERNAL) CHECK(differential.verdicts()[i] > 0);
  }
}

// Cases that once differed: "seed number # what they found". They find it only
// for as long as the random worlds stay what they are, which is why every find
// has a packet test of its own.
TEST_CASE("no case of the corpus differs again", "[packet][lb][model]") {
  Differential differential;
  std::ifstream corpus(FL_MODEL_CORPUS);
  REQUIRE(corpus.good());
  for (std::string line; std::getline(corpus, line);) {
    std::istringstream words(line);
    uint64_t seed = 0, number = 0;
    if (!(words >> seed >> number)) continue;
    INFO(line);
    CHECK(differential.RunWorld(seed, number / kCasesInWorld,
                                number % kCasesInWorld + 1));
  }
  differential.CheckSums();
}

}  // namespace
}  // namespace fairlead::model
