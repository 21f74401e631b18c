#include "core/probe_groups.h"

#include <algorithm>
#include <tuple>

#include "core/check_list.h"

namespace fairlead::core {
namespace {

// Numbers for settings: the same for what makes the same probe.
class Settings {
 public:
  size_t NumberOf(CheckConfig check) {
    check.rise = check.fall = 1;
    const auto found = std::find(known_.begin(), known_.end(), check);
    if (found != known_.end())
      return static_cast<size_t>(found - known_.begin());
    known_.push_back(std::move(check));
    return known_.size() - 1;
  }

 private:
  std::vector<CheckConfig> known_;
};

struct Candidate {
  base::IpAddress address;
  uint16_t port = 0;
  size_t settings = 0;
  BackendId id = 0;
  absl::string_view check;

  auto Probe() const { return std::tie(address, port, settings); }
};

std::vector<Candidate> ListCandidates(const DesiredState& desired) {
  std::vector<Candidate> candidates;
  Settings settings;
  for (const auto& [name, service] : desired.services) {
    for (const CheckRef& check : ChecksOf(service)) {
      if (check.config->via == CheckVia::kVip) continue;
      const size_t number = settings.NumberOf(*check.config);
      const uint16_t port =
          check.config->port != 0 ? check.config->port : service.vip.port;
      for (const auto& [backend_name, backend] : service.backends)
        candidates.push_back({.address = backend.address,
                              .port = port,
                              .settings = number,
                              .id = backend.id,
                              .check = check.name});
    }
  }
  return candidates;
}

}  // namespace

void ProbeGroups::Rebuild(const DesiredState& desired) {
  groups_.clear();
  group_of_.clear();
  std::vector<Candidate> candidates = ListCandidates(desired);
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) {
                     return a.Probe() < b.Probe();
                   });
  for (auto first = candidates.begin(); first != candidates.end();) {
    const auto last = std::find_if(
        first, candidates.end(),
        [&](const Candidate& next) { return next.Probe() != first->Probe(); });
    if (last - first > 1) {
      std::vector<Member>& group = groups_.emplace_back();
      for (auto it = first; it != last; ++it) {
        group.push_back({.id = it->id, .check = std::string(it->check)});
        group_of_[{it->id, std::string(it->check)}] = groups_.size() - 1;
      }
    }
    first = last;
  }
}

std::vector<ProbeGroups::Member> ProbeGroups::Others(
    BackendId id, absl::string_view check) const {
  if (group_of_.empty()) return {};
  const Member self = {.id = id, .check = std::string(check)};
  const auto found = group_of_.find({self.id, self.check});
  if (found == group_of_.end()) return {};
  std::vector<Member> others = groups_[found->second];
  others.erase(std::remove(others.begin(), others.end(), self), others.end());
  return others;
}

}  // namespace fairlead::core
