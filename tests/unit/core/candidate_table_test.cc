// A CandidateTable that has come a long way holds what a new one would.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <vector>

#include "core/candidates.h"
#include "core/mix.h"

namespace fairlead::core {
namespace {

using base::IpAddress;
using Members = std::vector<WeightedMember>;

constexpr uint64_t kSeed = 0x0123456789abcdef;

class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}
  uint32_t Below(uint32_t limit) {
    return static_cast<uint32_t>(Mix64(state_ += kGolden) % limit);
  }

 private:
  uint64_t state_;
};

// A service whose members change at random; ids and addresses differ always.
class ChangingService {
 public:
  ChangingService(uint64_t seed, uint32_t most) : dice_(seed), most_(most) {}

  const Members& members() const { return members_; }

  // One of what commands do, or several of them at once.
  void Change() {
    const uint32_t changes =
        dice_.Below(8) == 0 ? dice_.Below(most_ + 1) : uint32_t{1};
    for (uint32_t i = 0; i < changes; ++i) ChangeOne();
  }

 private:
  void ChangeOne() {
    const uint32_t what = dice_.Below(8);
    if (members_.empty() || (what < 3 && members_.size() < most_)) {
      members_.push_back({NewAddress(), NewId(), NewWeight()});
      return;
    }
    const auto at =
        members_.begin() + dice_.Below(static_cast<uint32_t>(members_.size()));
    if (what < 5) {
      members_.erase(at);
    } else if (what == 5) {
      at->weight = NewWeight();
    } else if (what == 6) {
      at->address = NewAddress();
    } else {
      at->id = NewId();  // deleted and added again
    }
  }

  // Of both families, before and after what is there.
  IpAddress NewAddress() {
    while (true) {
      const uint32_t host = dice_.Below(256);
      std::array<uint8_t, 16> bytes = {0x20, 0x01, 0x0d, 0xb8};
      bytes[15] = static_cast<uint8_t>(host);
      const IpAddress address = dice_.Below(2) == 0
                                    ? IpAddress(bytes)
                                    : IpAddress::FromIpv4(0xc0000200 + host);
      const auto is_same = [&](const WeightedMember& member) {
        return member.address == address;
      };
      if (std::none_of(members_.begin(), members_.end(), is_same))
        return address;
    }
  }
  uint16_t NewId() {
    while (true) {
      const auto id = static_cast<uint16_t>(1 + dice_.Below(1000));
      const auto is_same = [&](const WeightedMember& member) {
        return member.id == id;
      };
      if (std::none_of(members_.begin(), members_.end(), is_same)) return id;
    }
  }
  uint16_t NewWeight() {
    const uint16_t most[] = {1, 10, kMaxMemberWeight};
    return static_cast<uint16_t>(1 + dice_.Below(most[dice_.Below(3)]));
  }

  Dice dice_;
  const uint32_t most_;
  Members members_;
};

TEST_CASE("a table that is changed step by step is the one that is built anew",
          "[core][candidates]") {
  for (const uint32_t most : {2u, 5u, 8u, 30u, 120u}) {
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      ChangingService service(seed * 1000 + most, most);
      CandidateTable table(256, kSeed);
      for (int step = 0; step < 150; ++step) {
        service.Change();
        table.SetMembers(service.members());
        INFO("at most " << most << ", seed " << seed << ", step " << step);
        REQUIRE(table.words() ==
                BuildCandidates(service.members(), 256, kSeed));
      }
    }
  }
}

TEST_CASE("a large table that is changed is the one that is built anew",
          "[core][candidates]") {
  ChangingService service(7, 200);
  while (service.members().size() < 150) service.Change();
  CandidateTable table(kMaxTableRows, kSeed);
  for (int step = 0; step < 12; ++step) {
    service.Change();
    table.SetMembers(service.members());
    REQUIRE(table.words() ==
            BuildCandidates(service.members(), kMaxTableRows, kSeed));
  }
}

TEST_CASE("a table forgets how it came to its members", "[core][candidates]") {
  ChangingService service(11, 40);
  CandidateTable table(512, kSeed);
  while (service.members().size() < 20) service.Change();
  const Members first = service.members();
  table.SetMembers(first);
  const std::vector<CandidateWord> words = table.words();
  for (int step = 0; step < 50; ++step) {
    service.Change();
    table.SetMembers(service.members());
  }
  CHECK(table.words() != words);
  table.SetMembers(first);
  CHECK(table.words() == words);
  table.SetMembers({});
  CHECK(table.words() == std::vector<CandidateWord>(512));
}

}  // namespace
}  // namespace fairlead::core
