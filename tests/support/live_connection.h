// An established TCP connection over the loopback of this network namespace,
// and the numbers of a segment that belongs to it. Needs root. What the system
// refuses ends the program.
#pragma once

#include <cstdint>

#include "base/ip_address.h"
#include "base/unique_fd.h"

namespace fairlead::test {

// The process goes into a new network namespace with its loopback up.
void EnterNetworkNamespace();
// The namespace has the address from now on.
void AddLocalAddress(const base::IpAddress& address);
base::UniqueFd ListenAt(const base::Endpoint& service);

class LiveConnection {
 public:
  // Requires: the namespace has both addresses, and nobody listens at
  // `service`.
  LiveConnection(const base::Endpoint& service, const base::IpAddress& client);
  LiveConnection(const LiveConnection&) = delete;
  LiveConnection& operator=(const LiveConnection&) = delete;

  uint16_t client_port() const { return client_port_; }
  // Of the client's next segment.
  uint32_t next_sequence() const { return next_sequence_; }
  uint32_t acknowledged() const { return acknowledged_; }

 private:
  base::UniqueFd listener_, client_, server_;
  uint16_t client_port_ = 0;
  uint32_t next_sequence_ = 0;
  uint32_t acknowledged_ = 0;
};

}  // namespace fairlead::test
