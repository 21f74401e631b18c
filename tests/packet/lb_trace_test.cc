// What `fairlead trace` is told: the frame as it came and as it went, of the
// packets that match, and of no more than there is room for.
#include <arpa/inet.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "datapath/packet_trace.h"
#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

const base::MonoTime kFarFuture =
    base::MonoTime::FromNanoseconds(INT64_MAX / 2);

struct Told {
  fl_lb_verdict verdict;
  uint16_t service;
  Bytes in, out;
  friend bool operator==(const Told&, const Told&) = default;
};

Bytes Beginning(Bytes frame) {
  frame.resize(std::min<size_t>(frame.size(), FL_TRACE_SNAP));
  return frame;
}

class Tracing {
 public:
  explicit Tracing(LbWorld& world)
      : trace_(
            datapath::PacketTrace::Open({.trace = world.lb().trace_map(),
                                         .traced = world.lb().traced_map()})) {
    REQUIRE(trace_.ok());
  }

  void Start(fl_trace filter = {.verdict = FL_TRACE_ANY_VERDICT},
             uint64_t left = 100) {
    filter.left = left;
    filter.until = static_cast<uint64_t>(kFarFuture.nanoseconds());
    (*trace_)->Start(filter);
  }
  std::vector<Told> Take() {
    std::vector<Told> all;
    (*trace_)->Take([&](const fl_traced& traced) {
      const auto bytes = [](const uint8_t(&from)[FL_TRACE_SNAP], size_t size) {
        return Bytes(from, from + std::min<size_t>(size, FL_TRACE_SNAP));
      };
      CHECK(traced.time_ns > 0);
      CHECK(traced.time_ns < static_cast<uint64_t>(kFarFuture.nanoseconds()));
      all.push_back({static_cast<fl_lb_verdict>(traced.verdict), traced.service,
                     bytes(traced.in, traced.in_length),
                     bytes(traced.out, traced.out_length)});
    });
    return all;
  }
  datapath::PacketTrace& operator*() { return **trace_; }
  datapath::PacketTrace* operator->() { return trace_->get(); }

 private:
  absl::StatusOr<std::unique_ptr<datapath::PacketTrace>> trace_;
};

void FillAddress(__u32 (&to)[4], const base::IpAddress& address) {
  std::memcpy(to, address.bytes().data(), sizeof(to));
}

const Packet kSyn4 = Eth{} / Ipv4{} / Tcp{.syn = true};
const Packet kSyn6 = Eth{} / Ipv6{} / Tcp{.syn = true};
const Packet kOther4 =
    Eth{} / Ipv4{.dst = Ip("192.0.2.200")} / Tcp{.ack = true};
const Packet kNotIp = Eth{.type = 0x0806} / Payload(40);

TEST_CASE("nothing is told while nobody traces", "[packet][lb][trace]") {
  LbWorld world;
  Tracing tracing(world);
  (void)world.lb().Run(kSyn4);
  CHECK(tracing.Take().empty());
  tracing.Start();
  tracing->Stop();
  (void)world.lb().Run(kSyn4);
  CHECK(tracing.Take().empty());
}

TEST_CASE("a packet is told as it came and as it went", "[packet][lb][trace]") {
  LbWorld world;
  Tracing tracing(world);
  tracing.Start();
  const Packet nonsense = Eth{} / Ipv4{} / Tcp{};
  const Packet large = Eth{} / Ipv6{} / Tcp{.ack = true} / Payload(1500 - 60);
  std::vector<Told> expected;
  for (const Packet& packet :
       {kSyn4, kSyn6, kOther4, kNotIp, nonsense, large}) {
    const LbResult result = world.lb().Run(packet);
    const bool is_ours = result.verdict != FL_LB_PASS_NOT_SERVICE &&
                         result.verdict != FL_LB_PASS_NOT_IP;
    expected.push_back({result.verdict, is_ours ? kServiceId : uint16_t{0},
                        Beginning(packet.Wire()), Beginning(result.packet)});
  }
  CHECK(expected[0].verdict == FL_LB_TX_SYN_NEW);
  CHECK(expected[0].in.size() < expected[0].out.size());
  CHECK(expected[4].verdict == FL_LB_DROP_TCP_FLAGS);
  CHECK(expected[5].verdict == FL_LB_TX_TOO_BIG);
  CHECK((tracing.Take() == expected));
}

TEST_CASE("a packet is told with the tags that it came and went with",
          "[packet][lb][trace]") {
  LbWorld world;
  Tracing tracing(world);
  tracing.Start();
  const Packet front = Eth{} / Vlan{.id = 100, .priority = 3};
  const Packet syn = front / Ipv4{} / Tcp{.syn = true};
  const Packet other = front / Ipv4{.dst = Ip("192.0.2.200")} / Tcp{};
  world.SetBackend(1, {.address = Ip("192.0.2.11"), .vlan = 7});
  const HopList hops = {.ids = {1, 2, 3, 4}, .acceptors = 0b1111};
  std::vector<Told> expected = {
      {FL_LB_TX_SYN_NEW, kServiceId, syn.Wire(),
       world.Encapsulated(syn, hops).Wire()},
      {FL_LB_PASS_NOT_SERVICE, 0, other.Wire(), other.Wire()}};
  (void)world.lb().Run(syn);
  (void)world.lb().Run(other);
  CHECK((tracing.Take() == expected));
}

TEST_CASE("only packets that match are told", "[packet][lb][trace]") {
  LbWorld world;
  Tracing tracing(world);
  fl_trace filter = {.verdict = FL_TRACE_ANY_VERDICT};
  std::vector<fl_lb_verdict> expected;
  constexpr auto kSynNew = FL_LB_TX_SYN_NEW;
  constexpr auto kOther = FL_LB_PASS_NOT_SERVICE;
  constexpr auto kArp = FL_LB_PASS_NOT_IP;

  SECTION("everything") { expected = {kSynNew, kSynNew, kOther, kArp}; }
  SECTION("by verdict") {
    filter.verdict = kOther;
    expected = {kOther};
  }
  SECTION("by service") {
    filter.service = kServiceId;
    expected = {kSynNew, kSynNew};
  }
  SECTION("by another service") { filter.service = kServiceId + 1; }
  SECTION("by source") {
    FillAddress(filter.client, kClient6);
    std::memset(filter.client_mask, 0xff, sizeof(filter.client_mask));
    expected = {kSynNew};
  }
  SECTION("by a prefix of the source") {
    FillAddress(filter.client, kClient4);
    std::memset(filter.client_mask, 0xff, 15);
    reinterpret_cast<uint8_t*>(filter.client)[15] = 0;
    expected = {kSynNew, kOther};
  }
  SECTION("by destination and port") {
    FillAddress(filter.address, kVip4);
    std::memset(filter.address_mask, 0xff, sizeof(filter.address_mask));
    filter.port = htons(kVipPort);
    expected = {kSynNew};
  }
  SECTION("by another port") { filter.port = htons(kVipPort + 1); }
  SECTION("by the source's port") {
    filter.client_port = htons(kSyn4.Find<Tcp>()->sport);
    expected = {kSynNew, kSynNew, kOther};
  }
  tracing.Start(filter);
  for (const Packet& packet : {kSyn4, kSyn6, kOther4, kNotIp})
    (void)world.lb().Run(packet);
  std::vector<fl_lb_verdict> verdicts;
  for (const Told& told : tracing.Take()) verdicts.push_back(told.verdict);
  CHECK(verdicts == expected);
  CHECK(tracing->missed() == 0);
}

TEST_CASE("what there is no room for is counted", "[packet][lb][trace]") {
  LbWorld world;
  Tracing tracing(world);
  tracing.Start({.verdict = FL_TRACE_ANY_VERDICT}, 3);
  for (int i = 0; i < 10; ++i) (void)world.lb().Run(kOther4);
  CHECK(tracing.Take().size() == 3);
  CHECK(tracing->missed() == 7);
  tracing->Renew(kFarFuture, 2);
  for (int i = 0; i < 10; ++i) (void)world.lb().Run(kOther4);
  CHECK(tracing.Take().size() == 2);
  CHECK(tracing->missed() == 15);
}

TEST_CASE("a ring that nobody reads costs no packet", "[packet][lb][trace]") {
  LbWorld world;
  Tracing tracing(world);
  constexpr uint64_t kPackets = 4000;
  tracing.Start({.verdict = FL_TRACE_ANY_VERDICT}, kPackets);
  for (uint64_t i = 0; i < kPackets; ++i) (void)world.lb().Run(kOther4);
  const uint64_t missed = tracing->missed();
  CHECK(missed > 0);
  CHECK(tracing.Take().size() == kPackets - missed);
  // A new trace knows nothing of it.
  tracing.Start();
  CHECK(tracing->missed() == 0);
  CHECK(tracing.Take().empty());
}

TEST_CASE("a trace ends by itself", "[packet][lb][trace]") {
  LbWorld world;
  Tracing tracing(world);
  tracing.Start();
  tracing->Renew(base::MonoTime::FromNanoseconds(1), 100);
  (void)world.lb().Run(kOther4);
  CHECK(tracing.Take().empty());
}

}  // namespace
}  // namespace fairlead::test
