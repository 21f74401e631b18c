#include "agent/netlink_facts.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "base/errors.h"
#include "base/status_macros.h"

namespace fairlead::agent {
namespace {

constexpr size_t kBufferBytes = 32 * 1024;
constexpr uint32_t kSequence = 1;

using OnMessage = absl::FunctionRef<void(const nlmsghdr*)>;

struct SocketCloser {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};

// A request whose answer is a dump; its body is a copy of `body`.
template <typename Body>
class DumpRequest {
 public:
  DumpRequest(uint16_t type, const Body& body)
      : header_(mnl_nlmsg_put_header(buffer_.data())) {
    header_->nlmsg_type = type;
    header_->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    header_->nlmsg_seq = kSequence;
    std::memcpy(mnl_nlmsg_put_extra_header(header_, sizeof(body)), &body,
                sizeof(body));
  }
  const nlmsghdr* header() const { return header_; }

 private:
  alignas(nlmsghdr) std::array<char, 256> buffer_ = {};
  nlmsghdr* header_;
};

int Visit(const nlmsghdr* message, void* on_message) {
  (*static_cast<OnMessage*>(on_message))(message);
  return MNL_CB_OK;
}

absl::Status Dump(int bus, const nlmsghdr* request, absl::string_view what,
                  OnMessage on_message) {
  const std::unique_ptr<mnl_socket, SocketCloser> socket(
      mnl_socket_open2(bus, SOCK_CLOEXEC));
  if (socket == nullptr ||
      mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0 ||
      mnl_socket_sendto(socket.get(), request, request->nlmsg_len) < 0) {
    return base::SyscallError(what);
  }
  std::vector<char> buffer(kBufferBytes);
  int left = MNL_CB_OK;
  while (left > MNL_CB_STOP) {
    const ssize_t got =
        mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
    if (got < 0) return base::SyscallError(what);
    left = mnl_cb_run(buffer.data(), static_cast<size_t>(got), kSequence,
                      mnl_socket_get_portid(socket.get()), Visit, &on_message);
  }
  return left < 0 ? base::SyscallError(what) : absl::OkStatus();
}

// --- routes ---

using Attributes = std::array<const nlattr*, RTA_MAX + 1>;

int Keep(const nlattr* attribute, void* attributes) {
  const uint16_t type = mnl_attr_get_type(attribute);
  if (type <= RTA_MAX)
    static_cast<Attributes*>(attributes)->at(type) = attribute;
  return MNL_CB_OK;
}

uint32_t U32(const nlattr* attribute) {
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < 4) return 0;
  return mnl_attr_get_u32(attribute);
}

std::optional<base::IpAddress> ToAddress(int family, const void* bytes,
                                         size_t size) {
  if (family == AF_INET && size >= 4) {
    uint32_t address;
    std::memcpy(&address, bytes, sizeof(address));
    return base::IpAddress::FromIpv4(ntohl(address));
  }
  if (family == AF_INET6 && size >= 16) {
    std::array<uint8_t, 16> address;
    std::memcpy(address.data(), bytes, sizeof(address));
    return base::IpAddress(address);
  }
  return std::nullopt;
}

std::optional<base::IpAddress> ToAddress(int family, const nlattr* attribute) {
  if (attribute == nullptr) return std::nullopt;
  return ToAddress(family, mnl_attr_get_payload(attribute),
                   mnl_attr_get_payload_len(attribute));
}

std::string InterfaceName(uint32_t index) {
  std::array<char, IF_NAMESIZE> name = {};
  return if_indextoname(index, name.data()) == nullptr ? "" : name.data();
}

NextHopFact ToNextHop(int family, const Attributes& attributes, uint32_t index,
                      uint32_t flags) {
  NextHopFact hop;
  hop.gateway = ToAddress(family, attributes[RTA_GATEWAY]);
  hop.interface = InterfaceName(index);
  hop.on_link = (flags & RTNH_F_ONLINK) != 0;
  return hop;
}

void AddMultipath(int family, const nlattr* multipath, DefaultRoute& route) {
  const auto* bytes = static_cast<const char*>(mnl_attr_get_payload(multipath));
  size_t left = mnl_attr_get_payload_len(multipath);
  while (left >= sizeof(rtnexthop)) {
    rtnexthop head;
    std::memcpy(&head, bytes, sizeof(head));
    if (head.rtnh_len < sizeof(head) || head.rtnh_len > left) return;
    Attributes attributes = {};
    mnl_attr_parse_payload(bytes + RTNH_LENGTH(0),
                           head.rtnh_len - RTNH_LENGTH(0), Keep, &attributes);
    NextHopFact hop =
        ToNextHop(family, attributes, static_cast<uint32_t>(head.rtnh_ifindex),
                  head.rtnh_flags);
    hop.weight = head.rtnh_hops + 1;
    route.next_hops.push_back(std::move(hop));
    const size_t step =
        std::min(left, static_cast<size_t>(RTNH_ALIGN(head.rtnh_len)));
    bytes += step;
    left -= step;
  }
}

void AddMetrics(const nlattr* metrics, DefaultRoute& route) {
  Attributes attributes = {};
  mnl_attr_parse_nested(metrics, Keep, &attributes);
  route.mtu = U32(attributes[RTAX_MTU]);
  route.advmss = U32(attributes[RTAX_ADVMSS]);
}

std::optional<DefaultRoute> ToDefaultRoute(const nlmsghdr* message) {
  const auto* body = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
  if (message->nlmsg_type != RTM_NEWROUTE || body->rtm_dst_len != 0 ||
      body->rtm_type != RTN_UNICAST || body->rtm_table != RT_TABLE_MAIN ||
      (body->rtm_flags & RTM_F_CLONED) != 0) {
    return std::nullopt;
  }
  const int family = body->rtm_family;
  Attributes attributes = {};
  mnl_attr_parse(message, sizeof(*body), Keep, &attributes);
  DefaultRoute route;
  route.ipv4 = family == AF_INET;
  route.metric = U32(attributes[RTA_PRIORITY]);
  route.next_hop_object = U32(attributes[RTA_NH_ID]);
  route.source = ToAddress(family, attributes[RTA_PREFSRC]);
  if (attributes[RTA_METRICS] != nullptr)
    AddMetrics(attributes[RTA_METRICS], route);
  if (attributes[RTA_MULTIPATH] != nullptr) {
    AddMultipath(family, attributes[RTA_MULTIPATH], route);
  } else {
    route.next_hops.push_back(ToNextHop(
        family, attributes, U32(attributes[RTA_OIF]), body->rtm_flags));
  }
  return route;
}

// --- sockets ---

struct SocketQuery {
  uint8_t protocol = 0;
  uint32_t states = 0;
  absl::string_view what;
};

using OnSocket = absl::FunctionRef<void(const inet_diag_msg&, bool ipv6_only)>;

int KeepIpv6Only(const nlattr* attribute, void* ipv6_only) {
  if (mnl_attr_get_type(attribute) == INET_DIAG_SKV6ONLY &&
      mnl_attr_get_payload_len(attribute) >= 1) {
    *static_cast<bool*>(ipv6_only) = mnl_attr_get_u8(attribute) != 0;
  }
  return MNL_CB_OK;
}

absl::Status ForEachSocket(const SocketQuery& query, OnSocket on_socket) {
  for (const int family : {AF_INET, AF_INET6}) {
    inet_diag_req_v2 body = {};
    body.sdiag_family = static_cast<uint8_t>(family);
    body.sdiag_protocol = query.protocol;
    body.idiag_states = query.states;
    const DumpRequest<inet_diag_req_v2> request(SOCK_DIAG_BY_FAMILY, body);
    FL_RETURN_IF_ERROR(Dump(NETLINK_SOCK_DIAG, request.header(), query.what,
                            [&on_socket](const nlmsghdr* message) {
                              if (mnl_nlmsg_get_payload_len(message) <
                                  sizeof(inet_diag_msg))
                                return;
                              bool ipv6_only = false;
                              mnl_attr_parse(message, sizeof(inet_diag_msg),
                                             KeepIpv6Only, &ipv6_only);
                              on_socket(*static_cast<const inet_diag_msg*>(
                                            mnl_nlmsg_get_payload(message)),
                                        ipv6_only);
                            }));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<DefaultRoute>> ReadDefaultRoutes() {
  std::vector<DefaultRoute> routes;
  for (const int family : {AF_INET, AF_INET6}) {
    rtmsg body = {};
    body.rtm_family = static_cast<uint8_t>(family);
    const DumpRequest<rtmsg> request(RTM_GETROUTE, body);
    FL_RETURN_IF_ERROR(Dump(NETLINK_ROUTE, request.header(), "list routes",
                            [&routes](const nlmsghdr* message) {
                              auto route = ToDefaultRoute(message);
                              if (route.has_value())
                                routes.push_back(*std::move(route));
                            }));
  }
  return routes;
}

absl::StatusOr<std::vector<TcpListener>> ReadTcpListeners() {
  std::vector<TcpListener> listeners;
  FL_RETURN_IF_ERROR(ForEachSocket(
      {.protocol = IPPROTO_TCP,
       .states = 1u << TCP_LISTEN,
       .what = "list TCP listeners"},
      [&listeners](const inet_diag_msg& socket, bool ipv6_only) {
        const auto address = ToAddress(socket.idiag_family, socket.id.idiag_src,
                                       sizeof(socket.id.idiag_src));
        if (!address.has_value()) return;
        listeners.push_back({.address = *address,
                             .ipv4 = socket.idiag_family == AF_INET,
                             .port = ntohs(socket.id.idiag_sport),
                             .ipv6_only = ipv6_only});
      }));
  return listeners;
}

absl::StatusOr<std::vector<UdpSocketInode>> ReadUdpSockets(uint16_t port) {
  std::vector<UdpSocketInode> sockets;
  FL_RETURN_IF_ERROR(ForEachSocket(
      {.protocol = IPPROTO_UDP, .states = ~0u, .what = "list UDP sockets"},
      [&sockets, port](const inet_diag_msg& socket, bool) {
        if (ntohs(socket.id.idiag_sport) != port) return;
        sockets.push_back({.ipv4 = socket.idiag_family == AF_INET,
                           .inode = socket.idiag_inode});
      }));
  return sockets;
}

}  // namespace fairlead::agent
