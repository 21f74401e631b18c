#include <net/if.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "datapath/program.h"
#include "tests/packet/datapath_options.h"
#include "tests/packet/frame_sender.h"
#include "tests/packet/host_sandbox.h"

namespace fairlead::test {
namespace {

// Sends frames into `interface` until it is stopped or one is not counted.
class Sender {
 public:
  Sender(uint32_t interface, int verdicts)
      : sender_(interface, verdicts), thread_([this] { Run(); }) {}
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
  void Run() {
    const Bytes frame = (Eth{} / Ipv4{} / Tcp{.ack = true}).Wire();
    while (!stop_ && !lost_) {
      if (!sender_.Send(frame)) lost_ = true;
      ++sent_;
    }
  }

  FrameSender sender_;
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
