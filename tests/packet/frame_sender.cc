#include "tests/packet/frame_sender.h"

#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <numeric>
#include <vector>

#include "base/check.h"
#include "datapath/stats.h"

namespace fairlead::test {
namespace {

// Far more looks at the counters than a frame needs to cross a veth.
constexpr int kPatience = 200'000;

std::vector<uint64_t> CountsOf(int verdicts) {
  const auto counts =
      datapath::SumPerCpu(verdicts, FL_LB_VERDICT_COUNT, "fl_verdicts");
  FL_CHECK(counts.ok());
  return *counts;
}

}  // namespace

FrameSender::FrameSender(uint32_t interface, int verdicts)
    : interface_(interface),
      socket_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)),
      verdicts_(fcntl(verdicts, F_DUPFD_CLOEXEC, 0)) {
  FL_CHECK(socket_.valid() && verdicts_.valid());
}

uint64_t FrameSender::Seen() const {
  const std::vector<uint64_t> counts = CountsOf(verdicts_.get());
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

uint64_t FrameSender::Count(fl_lb_verdict verdict) const {
  return CountsOf(verdicts_.get())[verdict];
}

bool FrameSender::Send(const Bytes& frame) {
  sockaddr_ll to = {};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(interface_);
  to.sll_halen = ETH_ALEN;
  const uint64_t before = Seen();
  const ssize_t size =
      sendto(socket_.get(), frame.data(), frame.size(), 0,
             reinterpret_cast<const sockaddr*>(&to), sizeof(to));
  if (size != static_cast<ssize_t>(frame.size())) return false;
  for (int looks = 0; looks < kPatience; ++looks) {
    if (Seen() != before) return true;
  }
  return false;
}

}  // namespace fairlead::test
