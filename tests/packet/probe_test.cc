// Health checks through the data path: what leaves for a backend is what fl_lb
// would send there, and nothing else is touched.
#include "fairlead/abi/probe.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "base/check.h"
#include "datapath/pin_folder.h"
#include "datapath/probe_path.h"
#include "tests/packet/datapath_options.h"
#include "tests/packet/host_sandbox.h"
#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

constexpr uint32_t kPassed = static_cast<uint32_t>(TC_ACT_UNSPEC);

struct Leaving {
  uint32_t mark = 0;
  uint32_t interface = kIngress;
  uint32_t segments = 0;  // that the device is to cut it into
};

struct Left {
  fl_probe_verdict verdict = FL_PROBE_VERDICT_COUNT;
  uint32_t action = 0;
  uint32_t mark = 0;
  Bytes packet;
};

// The tables of an LB host, and the program on its way out.
class ProbeWorld : public LbWorld {
 public:
  ProbeWorld() {
    datapath::ProbePathOptions options;
    options.pin_path = kPinPath;
    options.config = NodeConfig();
    options.sizes = {.services = 8, .backends = 64};
    options.maps.services = lb().services_map();
    options.maps.backends = lb().backends_map();
    auto opened = datapath::ProbePath::Open(options);
    INFO(opened.status().ToString());
    REQUIRE(opened.ok());
    path_ = *std::move(opened);
  }

  datapath::ProbePath& path() { return *path_; }

  Left Run(const Packet& packet, const Leaving& leaving) {
    const Bytes frame = packet.Wire();
    Left left;
    left.packet.resize(frame.size() + 256);
    __sk_buff in = {};
    in.mark = leaving.mark;
    in.ifindex = leaving.interface;
    in.gso_segs = leaving.segments;
    in.gso_size = leaving.segments != 0 ? 1000 : 0;
    __sk_buff out = {};
    bpf_test_run_opts run = {};
    run.sz = sizeof(run);
    run.data_in = frame.data();
    run.data_size_in = static_cast<uint32_t>(frame.size());
    run.data_out = left.packet.data();
    run.data_size_out = static_cast<uint32_t>(left.packet.size());
    run.ctx_in = &in;
    run.ctx_size_in = sizeof(in);
    run.ctx_out = &out;
    run.ctx_size_out = sizeof(out);
    const std::vector<uint64_t> before = Verdicts();
    REQUIRE(bpf_prog_test_run_opts(path_->program_fd(), &run) == 0);
    const std::vector<uint64_t> after = Verdicts();
    left.action = run.retval;
    left.mark = out.mark;
    left.packet.resize(run.data_size_out);
    // Each packet has one verdict.
    uint64_t counted = 0;
    for (size_t i = 0; i < after.size(); ++i) {
      counted += after[i] - before[i];
      if (after[i] != before[i])
        left.verdict = static_cast<fl_probe_verdict>(i);
    }
    CHECK(counted == 1);
    return left;
  }

  // Of backend `id`'s check: leaves as `hops` say.
  void CheckSent(const Packet& packet, uint16_t id) {
    const uint64_t sent = path_->Sent(id);
    const Left left = Run(packet, {.mark = datapath::ProbePath::MarkOf(id)});
    CHECK(left.verdict == FL_PROBE_TX_PROBE);
    CHECK(left.action == TC_ACT_OK);
    CHECK(left.mark == FL_PROBE_MARK);
    CHECK_THAT(left.packet, IsPacket(AsSent(packet, id)));
    CHECK(path_->Sent(id) == sent + 1);
  }

  void CheckUnchanged(const Packet& packet, const Leaving& leaving,
                      fl_probe_verdict verdict, uint32_t action) {
    const Left left = Run(packet, leaving);
    CHECK(left.verdict == verdict);
    CHECK(left.action == action);
    CHECK(left.mark == leaving.mark);
    CHECK_THAT(left.packet, IsPacket(packet));
  }

  Packet AsSent(const Packet& packet, uint16_t id) const {
    const auto* tcp = packet.Find<Tcp>();
    const bool opens = tcp->syn && !tcp->ack;
    return Encapsulated(
        packet, {.ids = {id}, .acceptors = static_cast<uint8_t>(opens)});
  }

 private:
  std::vector<uint64_t> Verdicts() const {
    auto verdicts = path_->Verdicts();
    REQUIRE(verdicts.ok());
    return *verdicts;
  }

  BpfFsSandbox sandbox_;
  datapath::PinFolder folder_ = *datapath::PinFolder::Lock(kPinPath);
  std::unique_ptr<datapath::ProbePath> path_;
};

uint32_t MarkOf(uint16_t id) { return datapath::ProbePath::MarkOf(id); }

// A host's own TCP: no options that a test would need.
Packet Syn4() { return Eth{} / Ipv4{} / Tcp{.seq = 7, .syn = true}; }
Packet Syn6() { return Eth{} / Ipv6{} / Tcp{.seq = 7, .syn = true}; }
Packet Data4(size_t bytes) {
  return Eth{} / Ipv4{} / Tcp{.seq = 8, .psh = true, .ack = true} /
         Payload(bytes);
}
Packet Data6(size_t bytes) {
  return Eth{} / Ipv6{} / Tcp{.seq = 8, .psh = true, .ack = true} /
         Payload(bytes);
}

std::vector<Packet> SegmentsOfACheck() {
  return {Syn4(),
          Syn6(),
          Data4(100),
          Data6(100),
          Eth{} / Ipv4{} / Tcp{.seq = 8, .fin = true, .ack = true},
          Eth{} / Ipv6{} / Tcp{.seq = 8, .rst = true},
          Eth{} / Ipv4{.tos = 0xb9} / Tcp{.seq = 8, .rst = true, .ack = true},
          Eth{} / Ipv6{.tos = 0x22} / Tcp{.seq = 8, .ack = true}};
}

void ForEachEncap(const std::function<void(ProbeWorld&, uint16_t)>& check) {
  for (const uint8_t encap :
       {FL_ENCAP_GUE, FL_ENCAP_GUE_PLAIN, FL_ENCAP_IPIP, FL_ENCAP_L2}) {
    for (const uint16_t backend : {uint16_t{1}, uint16_t{2}}) {
      INFO("encap " << int{encap} << " to backend " << backend);
      ProbeWorld world;
      world.service().encap = encap;
      world.service().epoch = 77;
      world.StoreService();
      world.SetBackend(2, {.address = Ip("2001:db8:2::2")});
      check(world, backend);
    }
  }
}

TEST_CASE("a check's segments are encapsulated for the backend of its mark",
          "[packet][probe]") {
  ForEachEncap([](ProbeWorld& world, uint16_t backend) {
    for (const Packet& packet : SegmentsOfACheck())
      world.CheckSent(packet, backend);
  });
}

// The one backend of its rows: there a client's SYN has no choice either.
TEST_CASE("a check's SYN is byte for byte what a client's would be",
          "[packet][probe]") {
  ForEachEncap([](ProbeWorld& world, uint16_t backend) {
    for (const uint8_t policy : {FL_POLICY_HASH, FL_POLICY_SOURCE}) {
      world.service().policy = policy;
      world.StoreService();
      world.SetRows({backend});
      for (const Packet& syn : {Syn4(), Syn6()}) {
        world.ClearFlows();
        const Left left = world.Run(syn, {.mark = MarkOf(backend)});
        CHECK(left.verdict == FL_PROBE_TX_PROBE);
        CHECK(left.packet == world.Send(syn, FL_LB_TX_SYN_NEW).packet);
      }
    }
  });
}

TEST_CASE("checks are no flows and no load", "[packet][probe]") {
  ProbeWorld world;
  for (const Packet& packet : SegmentsOfACheck()) world.CheckSent(packet, 3);
  CHECK(world.StateOf(Syn4()) == FL_SLOT_FREE);
  CHECK(world.lb().load()[3].live == 0);
  CHECK(world.lb().load()[3].pending == 0);
  CHECK(world.lb().backend_stats(3).packets == 0);
  CHECK(world.lb().service_stats(kServiceId).packets == 0);
}

TEST_CASE("a backend that takes no new flows is checked all the same",
          "[packet][probe]") {
  ProbeWorld world;
  for (const uint64_t state : {kDraining, kDown, kDead}) {
    world.SetState(2, state);
    world.CheckSent(Syn4(), 2);
  }
}

TEST_CASE("what has no mark of ours passes as it is", "[packet][probe]") {
  ProbeWorld world;
  const std::vector<uint32_t> marks = {0,
                                       1,
                                       2,
                                       0xffffffff,
                                       FL_PROBE_MARK ^ 0x10000,
                                       (FL_PROBE_MARK ^ 0x80000000) | 2};
  const std::vector<Packet> packets = {
      Syn4(),
      Data6(10),
      Eth{} / Ipv4{.dst = Ip("192.0.2.77")} / Tcp{.syn = true},
      Eth{} / Ipv4{} / Udp{.dport = kVipPort} / Payload(20),
      Eth{} / Ipv6{} / Icmp{.type = 128},
      Eth{.type = 0x0806} / Payload(28)};
  for (const uint32_t mark : marks) {
    INFO("mark " << mark);
    for (const Packet& packet : packets)
      world.CheckUnchanged(packet, {.mark = mark}, FL_PROBE_PASS_OTHER,
                           kPassed);
  }
}

TEST_CASE("what is on its way passes the program of another interface",
          "[packet][probe]") {
  ProbeWorld world;
  for (const Packet& packet : {Syn4(), Data6(10)})
    world.CheckUnchanged(packet, {.mark = FL_PROBE_MARK}, FL_PROBE_PASS_SENT,
                         kPassed);
}

// The kernel answers what comes for a socket that is gone with a reset of its
// own, which has no mark. It must not leave for the router.
TEST_CASE("a reset without a mark goes to the backend of its check",
          "[packet][probe]") {
  ForEachEncap([](ProbeWorld& world, uint16_t backend) {
    for (const auto& [syn, reset] :
         {std::pair(Syn4(),
                    Packet(Eth{} / Ipv4{} / Tcp{.seq = 8, .rst = true})),
          std::pair(Syn6(),
                    Packet(Eth{} / Ipv6{} / Tcp{.seq = 8, .rst = true}))}) {
      world.CheckUnchanged(reset, {}, FL_PROBE_PASS_OTHER, kPassed);
      world.CheckSent(syn, backend);
      const Left left = world.Run(reset, {});
      CHECK(left.verdict == FL_PROBE_TX_UNMARKED);
      CHECK(left.action == TC_ACT_OK);
      CHECK(left.mark == FL_PROBE_MARK);
      CHECK_THAT(left.packet, IsPacket(world.AsSent(reset, backend)));
    }
  });
}

TEST_CASE("a reset without a mark is dropped rather than sent elsewhere",
          "[packet][probe]") {
  ProbeWorld world;
  const Packet reset = Eth{} / Ipv4{} / Tcp{.seq = 8, .rst = true};
  world.CheckSent(Syn4(), 2);
  world.SetState(2, 0);
  world.CheckUnchanged(reset, {}, FL_PROBE_DROP_NO_BACKEND, TC_ACT_SHOT);
}

// The port of a check that has ended is somebody else's.
TEST_CASE("a connection of the host's own is not taken for a check's",
          "[packet][probe]") {
  ProbeWorld world;
  world.CheckSent(Syn4(), 2);
  world.CheckUnchanged(Syn4(), {}, FL_PROBE_PASS_OTHER, kPassed);
  world.CheckUnchanged(Data4(10), {}, FL_PROBE_PASS_OTHER, kPassed);
}

TEST_CASE("a marked packet that cannot be sent is dropped by name",
          "[packet][probe]") {
  ProbeWorld world;
  const auto dropped = [&](const Packet& packet, uint16_t id,
                           fl_probe_verdict verdict) {
    INFO("verdict " << int{verdict});
    world.CheckUnchanged(packet, {.mark = MarkOf(id)}, verdict, TC_ACT_SHOT);
    CHECK(world.path().Sent(id) == 0);
  };
  dropped(Eth{} / Ipv4{.dst = Ip("192.0.2.77")} / Tcp{.syn = true}, 2,
          FL_PROBE_DROP_NOT_SERVICE);
  dropped(Eth{} / Ipv6{} / Tcp{.dport = 1, .syn = true}, 2,
          FL_PROBE_DROP_NOT_SERVICE);
  dropped(Eth{} / Ipv4{} / Udp{.dport = kVipPort} / Payload(20), 2,
          FL_PROBE_DROP_SEGMENT);
  dropped(Eth{} / Ipv4{.more_fragments = true} / Tcp{.syn = true}, 2,
          FL_PROBE_DROP_SEGMENT);
  dropped(Eth{.type = 0x0806} / Payload(28), 2, FL_PROBE_DROP_SEGMENT);
  dropped(Syn4(), 63, FL_PROBE_DROP_NO_BACKEND);
  dropped(Syn4(), 65535, FL_PROBE_DROP_NO_BACKEND);
  world.SetState(2, kReady & ~FL_BACKEND_NEXT_HOP);
  dropped(Syn4(), 2, FL_PROBE_DROP_NO_NEXT_HOP);
  world.SetBackend(2, {.mtu = 575});
  dropped(Syn6(), 2, FL_PROBE_DROP_NO_NEXT_HOP);
  world.SetBackend(2, {});
  world.lb().backends()[2].service = kServiceId + 1;
  dropped(Syn4(), 2, FL_PROBE_DROP_NO_BACKEND);
  world.lb().RemoveService(kService4);
  dropped(Syn4(), 3, FL_PROBE_DROP_NOT_SERVICE);
}

TEST_CASE("a deleted service is not checked", "[packet][probe]") {
  ProbeWorld world;
  world.CheckSent(Syn4(), 2);
  world.service().flags = FL_SERVICE_TOMBSTONE;
  world.StoreService();
  world.CheckUnchanged(Syn4(), {.mark = MarkOf(2)}, FL_PROBE_DROP_NOT_SERVICE,
                       TC_ACT_SHOT);
  world.CheckUnchanged(Eth{} / Ipv4{} / Tcp{.rst = true}, {},
                       FL_PROBE_DROP_NOT_SERVICE, TC_ACT_SHOT);
}

TEST_CASE("a check's segment fits the path with all that is put on",
          "[packet][probe]") {
  for (const auto& [encap, bytes] :
       {std::pair(FL_ENCAP_GUE, 84), std::pair(FL_ENCAP_GUE_PLAIN, 52),
        std::pair(FL_ENCAP_IPIP, 40), std::pair(FL_ENCAP_L2, 0)}) {
    INFO("encap " << int{encap});
    ProbeWorld world;
    world.service().encap = encap;
    world.StoreService();
    const auto fits4 = static_cast<size_t>(1500 - bytes - 40);
    const auto fits6 = static_cast<size_t>(1500 - bytes - 60);
    world.CheckSent(Data4(fits4), 2);
    world.CheckSent(Data6(fits6), 2);
    for (const Packet& packet : {Data4(fits4 + 1), Data6(fits6 + 1)})
      world.CheckUnchanged(packet, {.mark = MarkOf(2)}, FL_PROBE_DROP_TOO_BIG,
                           TC_ACT_SHOT);
  }
}

TEST_CASE("what the device cuts into segments is not too big",
          "[packet][probe]") {
  // A test run's packets are of no protocol that tunnels take in one piece.
  ProbeWorld world;
  world.service().encap = FL_ENCAP_L2;
  world.StoreService();
  const Packet packet = Data4(3000);
  const Left left = world.Run(packet, {.mark = MarkOf(2), .segments = 3});
  CHECK(left.verdict == FL_PROBE_TX_PROBE);
  CHECK_THAT(left.packet, IsPacket(world.AsSent(packet, 2)));
}

TEST_CASE("a check leaves by the interface that its backend is behind",
          "[packet][probe]") {
  ProbeWorld world;
  for (const auto& [egress, action] :
       {std::pair(uint32_t{0}, TC_ACT_OK), std::pair(kIngress, TC_ACT_OK),
        std::pair(uint32_t{7}, TC_ACT_REDIRECT)}) {
    INFO("egress " << egress);
    world.SetBackend(2, {.egress = egress});
    const Left left = world.Run(Syn4(), {.mark = MarkOf(2)});
    CHECK(left.verdict == FL_PROBE_TX_PROBE);
    CHECK(left.action == static_cast<uint32_t>(action));
  }
}

}  // namespace
}  // namespace fairlead::test
