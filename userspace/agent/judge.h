// What the state of this host means for a backend: one finding per test, and
// for each failure the command that mends it.
//
// Pure: facts.h gathers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "agent/facts.h"
#include "base/ip_address.h"
#include "datapath/xdp_link.h"

namespace fairlead::agent {

enum class Result { kOk, kWarn, kFail };

// "ok", "warn", "FAIL".
absl::string_view ToString(Result result);

struct Finding {
  std::string test;    // "arp_ignore"; the same word in every output
  std::string object;  // "eth0", "198.51.100.10:443"
  Result result = Result::kOk;
  std::string detail;
  // A command for a root shell, in one line. Empty if there is nothing to mend,
  // or if it takes a person: `detail` says what then.
  std::string fix;
};

struct Expectations {
  std::vector<base::Endpoint> vips;
  std::vector<base::Endpoint> listen;
  datapath::XdpMode xdp_mode = datapath::XdpMode::kNative;
  uint16_t gue_port = 0;
  std::string config_path;
};

std::vector<Finding> Judge(const Facts& facts, const Expectations& expected);

bool AnyFailure(const std::vector<Finding>& findings);

}  // namespace fairlead::agent
