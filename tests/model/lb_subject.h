// The shipped program with a model's tables in its maps, and a quick way to see
// all that a packet changed. No assertions but that the kernel does as asked.
#pragma once

#include <array>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/ip_address.h"
#include "tests/model/lb_model.h"
#include "tests/packet/crowd.h"
#include "tests/support/bpf_fixture.h"

namespace fairlead::model {

class LbSubject {
 public:
  explicit LbSubject(uint32_t flow_buckets);
  LbSubject(const LbSubject&) = delete;
  LbSubject& operator=(const LbSubject&) = delete;

  uint32_t flow_buckets() const { return flow_buckets_; }
  // Makes the program's tables those of `host`, all of them, and `host`'s
  // counters those of the program.
  void Install(Host& host);
  // The tables that change between two packets of a world.
  void InstallBackendsAndFlows(const Host& host);

  // How the program meets `frame`: as it is, or behind a program that has used
  // up the room in front of it (and put something into the frame).
  // Requires for the second: CanCrowd().
  static Arrival Plain(const Bytes& frame, uint64_t now_ns);
  static Arrival Crowded(const Bytes& frame, uint64_t now_ns);
  static bool CanCrowd(const Bytes& frame);

  test::TestRunResult Run(const Bytes& frame);
  test::TestRunResult RunCrowded(const Bytes& frame);
  // Empty if flows, loads, answers and counters are those of `host`; else what
  // differs.
  std::string DifferenceFrom(const Host& host);

  // Runs so far, and the sum of the verdicts counted.
  uint64_t runs() const { return runs_; }
  uint64_t verdicts() const;

 private:
  test::TestRunResult Run(const Bytes& frame,
                          const test::TestRunOptions& options);
  void ReadCounters();
  // On every CPU what the model's one has, for packets run anywhere.
  void InstallAnswered(const Host& host);
  void InstallPrefixes(const Host& host);
  void InstallLimits(const Host& host);
  std::string DifferAnswered(const Host& host);
  void InstallSyns(const Host& host);
  std::string DifferSyns(const Host& host) const;
  std::string DifferCharges(const Host& host) const;

  const uint32_t flow_buckets_;
  test::LbProgram lb_;
  const test::Crowd crowd_;
  std::set<base::Endpoint> services_;
  // By service id and number of its list, and prefix.
  std::map<std::pair<std::pair<uint16_t, uint8_t>, base::IpPrefix>, fl_service>
      prefixes_;
  Counters counters_;                   // as last read
  std::vector<AnswerCounts> answered_;  // as last installed
  uint64_t runs_ = 0;
};

}  // namespace fairlead::model
