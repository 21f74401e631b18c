#include "agent/socket_query.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/errors.h"

namespace fairlead::agent {
namespace {

constexpr uint32_t kSequence = 1;
constexpr char kWhat[] = "ask for a socket";

// By the kernel's TCP states, from 1 on.
constexpr std::array<absl::string_view, 13> kStates = {
    "none",       "established", "syn-sent", "syn-recv",   "fin-wait-1",
    "fin-wait-2", "time-wait",   "none",     "close-wait", "last-ack",
    "none",       "closing",     "syn-recv"};

struct SocketCloser {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};

void PutAddress(const base::IpAddress& address, __be32 (&words)[4]) {
  const auto& bytes = address.bytes();  // IPv4 stands in the last word
  if (address.is_ipv4())
    std::memcpy(&words[0], bytes.data() + 12, sizeof(words[0]));
  else
    std::memcpy(words, bytes.data(), sizeof(words));
}

int Read(const nlmsghdr* message, void* state) {
  if (mnl_nlmsg_get_payload_len(message) >= sizeof(inet_diag_msg)) {
    *static_cast<int*>(state) =
        static_cast<const inet_diag_msg*>(mnl_nlmsg_get_payload(message))
            ->idiag_state;
  }
  return MNL_CB_STOP;
}

}  // namespace

absl::StatusOr<absl::string_view> SocketState(const base::Endpoint& client,
                                              const base::Endpoint& service) {
  inet_diag_req_v2 body = {};
  body.sdiag_family = service.address.is_ipv4() ? AF_INET : AF_INET6;
  body.sdiag_protocol = IPPROTO_TCP;
  body.idiag_states = ~0u;
  body.id.idiag_sport = htons(service.port);
  body.id.idiag_dport = htons(client.port);
  PutAddress(service.address, body.id.idiag_src);
  PutAddress(client.address, body.id.idiag_dst);
  body.id.idiag_cookie[0] = body.id.idiag_cookie[1] = ~0u;  // whichever

  alignas(nlmsghdr) std::array<char, 8192> buffer = {};
  nlmsghdr* const request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request->nlmsg_flags = NLM_F_REQUEST;
  request->nlmsg_seq = kSequence;
  std::memcpy(mnl_nlmsg_put_extra_header(request, sizeof(body)), &body,
              sizeof(body));
  const std::unique_ptr<mnl_socket, SocketCloser> socket(
      mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC));
  if (socket == nullptr ||
      mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0 ||
      mnl_socket_sendto(socket.get(), request, request->nlmsg_len) < 0)
    return base::SyscallError(kWhat);
  const ssize_t got =
      mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
  if (got < 0) return base::SyscallError(kWhat);
  int state = 0;
  const int read =
      mnl_cb_run(buffer.data(), static_cast<size_t>(got), kSequence,
                 mnl_socket_get_portid(socket.get()), Read, &state);
  if (read < 0 && errno != ENOENT) return base::SyscallError(kWhat);
  const auto known = static_cast<size_t>(state);
  return known < kStates.size() ? kStates[known] : kStates[0];
}

}  // namespace fairlead::agent
