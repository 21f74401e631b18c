#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <numeric>
#include <thread>
#include <vector>

#include "datapath/program.h"
#include "datapath/stats.h"
#include "tests/packet/datapath_options.h"
#include "tests/packet/host_sandbox.h"

namespace fairlead::test {
namespace {

// Far more looks at the counters than a frame needs to cross a veth.
constexpr int kPatience = 200'000;

// Sends frames into `interface`, each after the one before it was counted, so
// that none is lost to a full queue.
class Sender {
 public:
  Sender(uint32_t interface, int verdicts)
      : interface_(interface),
        socket_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)),
        verdicts_(fcntl(verdicts, F_DUPFD_CLOEXEC, 0)),
        thread_([this] { Run(); }) {}
  ~Sender() {
    if (thread_.joinable()) Stop();
  }

  uint64_t sent() const { return sent_; }
  bool lost() const { return lost_; }
  void Stop() {
    stop_ = true;
    thread_.join();
  }

 private:
  uint64_t Seen() const {
    const auto counts = datapath::SumPerCpu(verdicts_.get(),
                                            FL_LB_VERDICT_COUNT, "fl_verdicts");
    if (!counts.ok()) return 0;
    return std::accumulate(counts->begin(), counts->end(), uint64_t{0});
  }

  void Run() {
    const Bytes frame = (Eth{} / Ipv4{} / Tcp{.ack = true}).Wire();
    sockaddr_ll to = {};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = static_cast<int>(interface_);
    to.sll_halen = ETH_ALEN;
    while (!stop_ && !lost_) {
      const uint64_t before = Seen();
      const ssize_t size =
          sendto(socket_.get(), frame.data(), frame.size(), 0,
                 reinterpret_cast<const sockaddr*>(&to), sizeof(to));
      if (size != static_cast<ssize_t>(frame.size())) lost_ = true;
      ++sent_;
      int looks = 0;
      while (Seen() == before && ++looks < kPatience) {
      }
      if (looks == kPatience) lost_ = true;
    }
  }

  const uint32_t interface_;
  const base::UniqueFd socket_;
  const base::UniqueFd verdicts_;
  std::atomic<uint64_t> sent_ = 0;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> lost_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace

// Frames keep coming while daemons start, one after the other, and each frame
// must meet a program: it is counted in the one set of counters.
TEST_CASE("no frame passes unseen while the program is replaced",
          "[datapath][program]") {
  const BpfFsSandbox bpffs;
  const NetnsSandbox netns;
  AddVeth("lb0", "rt0");
  // Without addresses the kernel sends nothing of its own.
  RunCommand("ip link set lb0 addrgenmode none");
  RunCommand("ip link set rt0 addrgenmode none");
  auto program = datapath::Program::Open(Options({"lb0"}));
  REQUIRE(program.ok());
  Sender sender(if_nametoindex("rt0"), (*program)->maps().verdicts);
  for (int upgrade = 0; upgrade < 10; ++upgrade) {
    const uint64_t before = sender.sent();
    program = absl::UnknownError("gone");
    program = datapath::Program::Open(Options({"lb0"}));
    REQUIRE(program.ok());
    CHECK((*program)->attachments().at(0).taken_over);
    while (sender.sent() < before + 100 && !sender.lost()) {
    }
  }
  sender.Stop();
  CHECK_FALSE(sender.lost());
  CHECK(sender.sent() >= 1000);
}

}  // namespace fairlead::test
