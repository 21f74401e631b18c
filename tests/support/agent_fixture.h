// The agent's program as shipped, loaded through its skeleton and run packet by
// packet. It looks for sockets in the network namespace of the thread.
//
// Run() is for one thread at a time. Whatever the environment refuses ends the
// test program: nothing after it would mean anything.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/ip_address.h"
#include "fairlead/abi/config.h"
#include "fairlead/abi/maps.h"
#include "fairlead/abi/verdict.h"
#include "tests/support/bpf_run.h"
#include "tests/support/packet.h"

namespace fairlead::test {

std::string VerdictName(fl_agent_verdict verdict);
// What the program must return for a packet that stays on its interface.
uint32_t VerdictAction(fl_agent_verdict verdict);

struct AgentResult {
  fl_agent_verdict verdict;
  uint32_t action;  // XDP_*
  Bytes packet;
};

class AgentProgram {
 public:
  explicit AgentProgram(const fl_agent_config& config);
  AgentProgram(const AgentProgram&) = delete;
  AgentProgram& operator=(const AgentProgram&) = delete;
  ~AgentProgram();

  void SetVip(const base::Endpoint& vip, const fl_vip& value);
  void SetPeer(const fl_peer_key& key, const fl_peer& peer);
  // One of the fleet: what it encapsulates is read.
  void SetSource(const base::IpAddress& address);
  fl_agent_state& state() const { return state_.as<fl_agent_state>()[0]; }
  std::span<fl_learned> learned() const { return learned_.as<fl_learned>(); }

  // Runs the program once. Exactly one verdict must have been counted.
  AgentResult Run(const Packet& packet);
  // Over all CPUs.
  uint64_t CountOf(fl_agent_verdict verdict) const;
  int program_fd() const;

 private:
  struct Skeleton;

  std::unique_ptr<Skeleton> skeleton_;
  SharedMemory state_, learned_;
};

}  // namespace fairlead::test
