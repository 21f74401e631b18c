// Tables for the differential test: an LB host in the middle of its work, with
// services, rows, backends in every condition and a small flow table full of
// collisions; and what the daemon does to them between packets. The same seed,
// the same world, but for the clock, which everything is relative to.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tests/model/flow_model.h"
#include "tests/model/lb_model.h"
#include "tests/model/random_frames.h"
#include "tests/sim/simulated_random.h"
#include "tests/support/bpf_fixture.h"

namespace fairlead::model {

// Ids of backends have two bytes that differ.
inline constexpr uint16_t kFirstBackend = 500;
inline constexpr uint16_t kBackendCount = 16;
inline constexpr uint32_t kWorldServices = 6;
// Of eight sources: room for all that the slots of a world have.
inline constexpr uint32_t kConnSets = 256;
inline constexpr uint32_t kRowsOfService = 1024;

// The program's table sizes for worlds with that flow table.
test::LbSizes WorldSizes(uint32_t flow_buckets);

struct WorldOptions {
  uint64_t seed = 0;
  uint32_t flow_buckets = 2;
  uint64_t now_ns = 0;
};

class RandomWorld {
 public:
  explicit RandomWorld(const WorldOptions& options);
  RandomWorld(const RandomWorld&) = delete;
  RandomWorld& operator=(const RandomWorld&) = delete;

  Host& host() { return host_; }
  Bytes NextFrame() { return frames_->Next(); }
  // Is the next frame to come without room in front of it?
  bool Crowds() { return random_.Chance(0.02); }
  // Changes some line of the tables, but neither services nor rows. False if it
  // did nothing.
  bool Disturb();

 private:
  void AddBackends();
  void SetBackend(uint16_t id);
  uint64_t RandomState();
  uint64_t RandomCondition();  // but for whether it is capped, or held back
  uint64_t RandomHeld();
  void SetRoom(fl_load& load);
  void SetPace(uint16_t id);
  void AddServices();
  // Tombstones for all services of an address.
  void Silence(const base::IpAddress& address);
  // Prefixes of those clients for a service, some nested.
  void AddLists(uint16_t service, const std::vector<test::Flow>& known);
  void AddLimit(uint16_t service);
  void AddMost(uint16_t service);
  AnswerCount RandomAnswered();
  SynCount RandomSyns();
  void AddRows(uint32_t base, bool empty);
  void SetLease(uint16_t service);
  void AddFlows();
  FlowSlot RandomSlot(uint64_t tag);
  uint32_t RandomTick();
  void DisturbFlow(fl_slot& slot);

  uint16_t AnyBackend();

  SimulatedRandom random_;
  const uint64_t now_ns_;
  // How well this world is: the share of its backends that take new flows, of
  // its slots that are taken, and of those that nobody may take.
  double ready_ = 1, full_ = 1, busy_ = 1, capped_ = 0, slow_ = 0, paced_ = 0;
  Host host_;
  std::vector<uint64_t> known_tags_;
  std::unique_ptr<RandomFrames> frames_;
};

}  // namespace fairlead::model
