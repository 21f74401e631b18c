// The program of health checks on real interfaces: attached, replaced while
// packets leave, removed, by links and by filters. What a marked socket sends
// is read at the other end of a pair of interfaces.
#include "datapath/probe_path.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/check.h"
#include "datapath/pin_folder.h"
#include "fairlead/abi/probe.h"
#include "tests/packet/datapath_options.h"
#include "tests/packet/host_sandbox.h"
#include "tests/packet/lb_world.h"

namespace fairlead::test {
namespace {

using datapath::EgressHooks;
using datapath::ProbePath;

constexpr char kHooks[] = "/sys/fs/bpf/fairlead/probe";
const Mac kRouter = {2, 0, 0, 0, 0, 0xfe};
constexpr int kSomeTime = 300;  // ms, for what must not come

// The packet's EtherType is read with it, VLAN tag and all.
base::UniqueFd Listen(uint32_t interface) {
  base::UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  FL_CHECK(fd.valid());
  const int on = 1;
  FL_CHECK(setsockopt(fd.get(), SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) ==
           0);
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(interface);
  FL_CHECK(bind(fd.get(), reinterpret_cast<sockaddr*>(&address),
                sizeof(address)) == 0);
  return fd;
}

struct Frame {
  Bytes bytes;
  uint16_t vlan = 0;
};

std::optional<Frame> Receive(int fd, int timeout_ms) {
  pollfd waits = {.fd = fd, .events = POLLIN, .revents = 0};
  if (poll(&waits, 1, timeout_ms) != 1) return std::nullopt;
  Frame frame;
  frame.bytes.resize(2048);
  iovec data = {frame.bytes.data(), frame.bytes.size()};
  alignas(cmsghdr) char control[256];
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t got = recvmsg(fd, &message, 0);
  FL_CHECK(got > 0);
  frame.bytes.resize(static_cast<size_t>(got));
  for (cmsghdr* at = CMSG_FIRSTHDR(&message); at != nullptr;
       at = CMSG_NXTHDR(&message, at)) {
    if (at->cmsg_type != PACKET_AUXDATA) continue;
    tpacket_auxdata auxiliary;
    std::memcpy(&auxiliary, CMSG_DATA(at), sizeof(auxiliary));
    if ((auxiliary.tp_status & TP_STATUS_VLAN_VALID) != 0)
      frame.vlan = auxiliary.tp_vlan_tci;
  }
  return frame;
}

// A host with the address 192.0.2.1 on lb0 whose router, 192.0.2.254, is at
// the other end, far0.
struct ProbeHost {
  BpfFsSandbox bpffs;
  datapath::PinFolder folder = *datapath::PinFolder::Lock(kPinPath);
  NetnsSandbox netns;
  uint32_t near = 0;
  LbWorld world;
  base::UniqueFd far;

  ProbeHost() {
    near = AddVeth("lb0", "far0");
    RunCommand("ip addr add 192.0.2.1/24 dev lb0");
    RunCommand("ip addr add 2001:db8:1::1/64 dev lb0 nodad");
    RunCommand("ip neigh add 192.0.2.254 lladdr 02:00:00:00:00:fe dev lb0");
    RunCommand("ip neigh add 2001:db8:1::fe lladdr 02:00:00:00:00:fe dev lb0");
    RunCommand("ip route add default via 192.0.2.254");
    RunCommand("ip -6 route add default via 2001:db8:1::fe");
    far = Listen(if_nametoindex("far0"));
  }

  std::unique_ptr<ProbePath> Open(EgressHooks::Kind kind) {
    datapath::ProbePathOptions options;
    options.pin_path = kPinPath;
    options.config = NodeConfig();
    options.sizes = {.services = 8, .backends = 64};
    options.maps.services = world.lb().services_map();
    options.maps.backends = world.lb().backends_map();
    options.kind = kind;
    auto opened = ProbePath::Open(options);
    INFO(opened.status().ToString());
    REQUIRE(opened.ok());
    return *std::move(opened);
  }

  // A connection to the VIP that is not waited for.
  base::UniqueFd Connect(const base::Endpoint& vip, uint32_t mark) const {
    const bool is_ipv4 = vip.address.is_ipv4();
    base::UniqueFd fd(socket(is_ipv4 ? AF_INET : AF_INET6,
                             SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    FL_CHECK(setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) ==
             0);
    sockaddr_storage to = {};
    if (is_ipv4) {
      auto* at = reinterpret_cast<sockaddr_in*>(&to);
      at->sin_family = AF_INET;
      at->sin_port = htons(vip.port);
      std::memcpy(&at->sin_addr, vip.address.bytes().data() + 12, 4);
    } else {
      auto* at = reinterpret_cast<sockaddr_in6*>(&to);
      at->sin6_family = AF_INET6;
      at->sin6_port = htons(vip.port);
      std::memcpy(&at->sin6_addr, vip.address.bytes().data(), 16);
    }
    (void)connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to));
    return fd;
  }

  // The next frame from lb0 whose destination is a backend's or the router's
  // MAC; IPv6 says more than one asks for.
  std::optional<Frame> Next(int timeout_ms = 5000) const {
    while (auto frame = Receive(far.get(), timeout_ms)) {
      const uint8_t first = frame->bytes[0];
      if (first == 0x02 && frame->bytes.size() > 50) return frame;
    }
    return std::nullopt;
  }
};

bool GoesTo(const Frame& frame, const Mac& mac) {
  return std::equal(mac.begin(), mac.end(), frame.bytes.begin());
}

void ForEachKind(
    const std::function<void(ProbeHost&, EgressHooks::Kind)>& check) {
  for (const auto kind :
       {EgressHooks::Kind::kBest, EgressHooks::Kind::kFilter}) {
    INFO("kind " << static_cast<int>(kind));
    ProbeHost host;
    check(host, kind);
  }
}

TEST_CASE("a marked socket's SYN leaves encapsulated, another's does not",
          "[datapath][probe]") {
  ForEachKind([](ProbeHost& host, EgressHooks::Kind kind) {
    const auto path = host.Open(kind);
    REQUIRE(path->Use("lb0").ok());
    REQUIRE(path->Use("lb0").ok());
    for (const base::Endpoint& vip : {kService4, kService6}) {
      const auto checked = host.Connect(vip, ProbePath::MarkOf(2));
      const auto frame = host.Next();
      REQUIRE(frame.has_value());
      CHECK(GoesTo(*frame, BackendMac(2)));
      CHECK(frame->vlan == 0);
      const auto own = host.Connect(vip, 0);
      const auto plain = host.Next();
      REQUIRE(plain.has_value());
      CHECK(GoesTo(*plain, kRouter));
    }
    CHECK(path->Sent(2) == 2);
  });
}

TEST_CASE("a check has the tag of the VLAN that its backend is in",
          "[datapath][probe]") {
  ForEachKind([](ProbeHost& host, EgressHooks::Kind kind) {
    host.world.SetBackend(2, {.vlan = 7});
    const auto path = host.Open(kind);
    REQUIRE(path->Use("lb0").ok());
    const auto checked = host.Connect(kService4, ProbePath::MarkOf(2));
    const auto frame = host.Next();
    REQUIRE(frame.has_value());
    CHECK(GoesTo(*frame, BackendMac(2)));
    CHECK(frame->vlan == 7);
  });
}

TEST_CASE("a check leaves by another interface, which lets it pass",
          "[datapath][probe]") {
  ForEachKind([](ProbeHost& host, EgressHooks::Kind kind) {
    const uint32_t other = AddVeth("lb1", "far1");
    const auto far1 = Listen(if_nametoindex("far1"));
    host.world.SetBackend(2, {.egress = other});
    const auto path = host.Open(kind);
    REQUIRE(path->Use("lb0").ok());
    REQUIRE(path->Use("lb1").ok());
    const auto checked = host.Connect(kService4, ProbePath::MarkOf(2));
    for (;;) {
      const auto frame = Receive(far1.get(), 5000);
      REQUIRE(frame.has_value());
      if (GoesTo(*frame, BackendMac(2))) break;
    }
    const auto verdicts = path->Verdicts();
    REQUIRE(verdicts.ok());
    CHECK((*verdicts)[FL_PROBE_TX_PROBE] == 1);
    CHECK((*verdicts)[FL_PROBE_PASS_SENT] == 1);
  });
}

TEST_CASE("a daemon that is gone leaves checks' segments on their road",
          "[datapath][probe]") {
  ForEachKind([](ProbeHost& host, EgressHooks::Kind kind) {
    auto path = host.Open(kind);
    REQUIRE(path->Use("lb0").ok());
    path.reset();
    const auto first = host.Connect(kService4, ProbePath::MarkOf(2));
    const auto frame = host.Next();
    REQUIRE(frame.has_value());
    CHECK(GoesTo(*frame, BackendMac(2)));
    // The next one counts them, without having been told of the interface.
    path = host.Open(kind);
    const auto second = host.Connect(kService4, ProbePath::MarkOf(3));
    const auto later = host.Next();
    REQUIRE(later.has_value());
    CHECK(GoesTo(*later, BackendMac(3)));
    CHECK(path->Sent(3) == 1);
  });
}

Mac MacOf(const std::string& interface) {
  const base::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = {};
  interface.copy(request.ifr_name, IF_NAMESIZE - 1);
  FL_CHECK(ioctl(fd.get(), SIOCGIFHWADDR, &request) == 0);
  Mac mac;
  std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, mac.size());
  return mac;
}

// The answer of the backend to a SYN that came without outer headers.
Packet AnswerTo(const Bytes& syn) {
  const auto port = static_cast<uint16_t>(syn[34] << 8 | syn[35]);
  uint32_t seq = 0;
  for (size_t i = 38; i < 42; ++i) seq = seq << 8 | syn[i];
  return Eth{.dst = MacOf("lb0"), .src = kRouter} /
         Ipv4{.src = kVip4, .dst = kNode4} /
         Tcp{.sport = kVipPort,
             .dport = port,
             .seq = 1,
             .ack_number = seq + 1,
             .syn = true,
             .ack = true};
}

// What comes for a socket that is gone the stack answers with a reset, and that
// goes where the check went, also through the next daemon's program.
TEST_CASE("no reset of a check that was given up leaves for the router",
          "[datapath][probe]") {
  ForEachKind([](ProbeHost& host, EgressHooks::Kind kind) {
    host.world.service().encap = FL_ENCAP_L2;
    host.world.StoreService();
    auto path = host.Open(kind);
    REQUIRE(path->Use("lb0").ok());
    auto check = host.Connect(kService4, ProbePath::MarkOf(2));
    const auto syn = host.Next();
    REQUIRE(syn.has_value());
    check.reset();
    path.reset();
    path = host.Open(kind);
    const Bytes answer = AnswerTo(syn->bytes).Wire();
    REQUIRE(send(host.far.get(), answer.data(), answer.size(), 0) ==
            static_cast<ssize_t>(answer.size()));
    const auto reset = host.Next();
    REQUIRE(reset.has_value());
    CHECK((reset->bytes[47] & 0x04) != 0);
    CHECK(GoesTo(*reset, BackendMac(2)));
    const auto verdicts = path->Verdicts();
    REQUIRE(verdicts.ok());
    CHECK((*verdicts)[FL_PROBE_TX_UNMARKED] == 1);
  });
}

TEST_CASE("an interface that is not used any more is left alone",
          "[datapath][probe]") {
  ForEachKind([](ProbeHost& host, EgressHooks::Kind kind) {
    const auto path = host.Open(kind);
    REQUIRE(path->Use("lb0").ok());
    REQUIRE(path->KeepOnly({"lb0"}).ok());
    const auto checked = host.Connect(kService4, ProbePath::MarkOf(2));
    CHECK(GoesTo(*host.Next(), BackendMac(2)));
    REQUIRE(path->KeepOnly({}).ok());
    const auto bare = host.Connect(kService4, ProbePath::MarkOf(2));
    CHECK(GoesTo(*host.Next(), kRouter));
    REQUIRE(path->Use("lb0").ok());
    const auto again = host.Connect(kService4, ProbePath::MarkOf(2));
    CHECK(GoesTo(*host.Next(), BackendMac(2)));
  });
}

TEST_CASE("an interface that was made anew is used anew", "[datapath][probe]") {
  ForEachKind([](ProbeHost& host, EgressHooks::Kind kind) {
    auto path = host.Open(kind);
    AddVeth("lb2", "far2");
    REQUIRE(path->Use("lb2").ok());
    RunCommand("ip link delete lb2");
    path.reset();
    path = host.Open(kind);
    CHECK(datapath::ListFolder(kHooks)->size() == 1);  // what is remembered
    AddVeth("lb2", "far2");
    REQUIRE(path->Use("lb2").ok());
    CHECK_FALSE(path->Use("lb3").ok());
  });
}

TEST_CASE("nothing of the checks' road is left when it is removed",
          "[datapath][probe]") {
  ForEachKind([](ProbeHost& host, EgressHooks::Kind kind) {
    auto path = host.Open(kind);
    REQUIRE(path->Use("lb0").ok());
    path.reset();
    REQUIRE(ProbePath::Remove(kPinPath).ok());
    CHECK(access(kHooks, F_OK) != 0);
    const auto bare = host.Connect(kService4, ProbePath::MarkOf(2));
    CHECK(GoesTo(*host.Next(), kRouter));
    REQUIRE(ProbePath::Remove(kPinPath).ok());
  });
}

TEST_CASE("a program of somebody else on the way out stays and is asked",
          "[datapath][probe]") {
  ProbeHost host;
  const bpf_insn drop[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 2},  // TC_ACT_SHOT
      {.code = BPF_JMP | BPF_EXIT}};
  const base::UniqueFd others(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "others",
                                            "GPL", drop, 2, nullptr));
  REQUIRE(others.valid());
  bpf_tc_hook hook = {};
  hook.sz = sizeof(hook);
  hook.ifindex = static_cast<int>(host.near);
  hook.attach_point = BPF_TC_EGRESS;
  REQUIRE(bpf_tc_hook_create(&hook) == 0);
  bpf_tc_opts filter = {};
  filter.sz = sizeof(filter);
  filter.prog_fd = others.get();
  filter.priority = 9;
  REQUIRE(bpf_tc_attach(&hook, &filter) == 0);
  const auto path = host.Open(EgressHooks::Kind::kFilter);
  REQUIRE(path->Use("lb0").ok());
  const auto own = host.Connect(kService4, 0);
  CHECK_FALSE(host.Next(kSomeTime).has_value());
  const auto checked = host.Connect(kService4, ProbePath::MarkOf(2));
  const auto frame = host.Next();
  REQUIRE(frame.has_value());
  CHECK(GoesTo(*frame, BackendMac(2)));
  REQUIRE(ProbePath::Remove(kPinPath).ok());
  const auto still = host.Connect(kService4, 0);
  CHECK_FALSE(host.Next(kSomeTime).has_value());
}

}  // namespace
}  // namespace fairlead::test
