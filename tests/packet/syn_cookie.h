// A SYN cookie that this network namespace's stack sends for a SYN that nobody
// follows up. Needs root. What the system refuses ends the program.
#pragma once

#include <cstdint>

#include "base/ip_address.h"
#include "base/unique_fd.h"

namespace fairlead::test {

class SynCookie {
 public:
  static constexpr uint16_t kClientPort = 40000;
  static constexpr uint32_t kSequence = 1000;  // of the client's SYN

  // Listens at `service` until destruction. From now on the namespace answers
  // every SYN with a cookie. Requires: it has both addresses.
  SynCookie(const base::Endpoint& service, const base::IpAddress& client);
  SynCookie(const SynCookie&) = delete;
  SynCookie& operator=(const SynCookie&) = delete;

  // The one that the SYN+ACK has: the cookie.
  uint32_t sequence() const { return sequence_; }

 private:
  base::UniqueFd listener_;
  uint32_t sequence_ = 0;
};

}  // namespace fairlead::test
