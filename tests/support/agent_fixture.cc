#include "tests/support/agent_fixture.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "base/check.h"

// Needs the types of abi.
#include "agent.skel.h"

namespace fairlead::test {
namespace {

using Verdicts = std::array<uint64_t, FL_AGENT_VERDICT_COUNT>;

template <typename Value>
void Put(const bpf_map* map, const void* key, const Value& value) {
  FL_CHECK(bpf_map_update_elem(bpf_map__fd(map), key, &value, BPF_ANY) == 0);
}

}  // namespace

std::string VerdictName(fl_agent_verdict verdict) {
  static constexpr const char* kNames[] = {
#define FL_NAME(name, action, help) #name,
      FL_AGENT_VERDICTS(FL_NAME)
#undef FL_NAME
  };
  return verdict < FL_AGENT_VERDICT_COUNT ? kNames[verdict] : "none";
}

uint32_t VerdictAction(fl_agent_verdict verdict) {
  static constexpr uint32_t kActions[] = {
#define FL_ACTION(name, action, help) XDP_##action,
      FL_AGENT_VERDICTS(FL_ACTION)
#undef FL_ACTION
  };
  return kActions[verdict];
}

struct AgentProgram::Skeleton {
  agent* object = nullptr;

  ~Skeleton() { agent::destroy(object); }
};

AgentProgram::AgentProgram(const fl_agent_config& config)
    : skeleton_(std::make_unique<Skeleton>()) {
  skeleton_->object = agent::open();
  agent* object = skeleton_->object;
  FL_CHECK(object != nullptr);
  object->rodata->fl_agent_config = config;
  FL_CHECK(agent::load(object) == 0);
  state_ =
      SharedMemory(bpf_map__fd(object->maps.fl_state), sizeof(fl_agent_state));
  learned_ = SharedMemory(bpf_map__fd(object->maps.fl_learned),
                          FL_AGENT_LEARNED * sizeof(fl_learned));
}

AgentProgram::~AgentProgram() = default;

void AgentProgram::SetVip(const base::Endpoint& vip, const fl_vip& value) {
  fl_service_key key = {};
  std::memcpy(key.address, vip.address.bytes().data(), sizeof(key.address));
  key.port = htons(vip.port);
  key.proto = IPPROTO_TCP;
  Put(skeleton_->object->maps.fl_vips, &key, value);
}

void AgentProgram::SetPeer(const fl_peer_key& key, const fl_peer& peer) {
  Put(skeleton_->object->maps.fl_peers, &key, peer);
}

void AgentProgram::SetSource(const base::IpAddress& address) {
  Put(skeleton_->object->maps.fl_sources, address.bytes().data(),
      static_cast<uint32_t>(FL_SOURCE_LB));
}

AgentResult AgentProgram::Run(const Packet& packet) {
  const auto counts = [this] {
    Verdicts result;
    for (size_t i = 0; i < result.size(); i++)
      result[i] = CountOf(static_cast<fl_agent_verdict>(i));
    return result;
  };
  const Verdicts before = counts();
  TestRunResult run = TestRun(program_fd(), packet.Wire());
  FL_CHECK(run.error == 0);
  const Verdicts after = counts();
  uint64_t total = 0;
  AgentResult result = {FL_AGENT_VERDICT_COUNT, run.action,
                        std::move(run.frame)};
  for (size_t i = 0; i < after.size(); i++) {
    total += after[i] - before[i];
    if (after[i] != before[i])
      result.verdict = static_cast<fl_agent_verdict>(i);
  }
  FL_CHECK(total == 1);
  return result;
}

uint64_t AgentProgram::CountOf(fl_agent_verdict verdict) const {
  std::vector<uint64_t> values(static_cast<size_t>(libbpf_num_possible_cpus()));
  const auto key = static_cast<uint32_t>(verdict);
  FL_CHECK(
      bpf_map_lookup_elem(bpf_map__fd(skeleton_->object->maps.fl_averdicts),
                          &key, values.data()) == 0);
  uint64_t sum = 0;
  for (const uint64_t value : values) sum += value;
  return sum;
}

int AgentProgram::program_fd() const {
  return bpf_program__fd(skeleton_->object->progs.fl_agent);
}

}  // namespace fairlead::test
