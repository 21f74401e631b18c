// Frames into an interface, each after the one before it was counted by the
// program at the other end, so that none is lost to a full queue.
#pragma once

#include <cstdint>

#include "base/unique_fd.h"
#include "fairlead/abi/verdict.h"
#include "tests/support/packet.h"

namespace fairlead::test {

class FrameSender {
 public:
  // Keeps the map alive, whatever becomes of the fd.
  FrameSender(uint32_t interface, int verdicts);

  // False: nobody counted the frame.
  bool Send(const Bytes& frame);
  uint64_t Count(fl_lb_verdict verdict) const;

 private:
  uint64_t Seen() const;

  const uint32_t interface_;
  const base::UniqueFd socket_;
  const base::UniqueFd verdicts_;
};

}  // namespace fairlead::test
