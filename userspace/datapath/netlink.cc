#include "datapath/netlink.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <bit>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace fairlead::datapath {
namespace {

// Where the kernel's errors end (include/linux/err.h).
constexpr int kMaxErrno = 4095;

constexpr size_t kRequestBytes = 256;

// Of the kernel's linux/netdev.h, which is newer than what this is built with.
constexpr uint8_t kNetdevDevGet = 1;  // command
constexpr uint8_t kNetdevVersion = 1;
constexpr uint16_t kNetdevIfindex = 1, kNetdevXdpFeatures = 3;  // attributes
constexpr uint32_t kNetdevNdoXmit = 4;
static_assert(std::endian::native == std::endian::little,
              "the lower half of 64 bits comes first");

uint8_t FamilyOf(const base::IpAddress& address) {
  return address.is_ipv4() ? AF_INET : AF_INET6;
}

// A request under construction.
class Request {
 public:
  Request(uint16_t type, uint16_t flags, uint32_t sequence)
      : bytes_(kRequestBytes), header_(mnl_nlmsg_put_header(bytes_.data())) {
    header_->nlmsg_type = type;
    header_->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
    header_->nlmsg_seq = sequence;
  }

  template <typename Body>
  Body& Put() {
    return *static_cast<Body*>(
        mnl_nlmsg_put_extra_header(header_, sizeof(Body)));
  }

  void PutAddress(uint16_t attribute, const base::IpAddress& address) {
    if (address.is_ipv4()) {
      mnl_attr_put_u32(header_, attribute, htonl(address.ipv4()));
    } else {
      mnl_attr_put(header_, attribute, address.bytes().size(),
                   address.bytes().data());
    }
  }

  void PutText(uint16_t attribute, const char* text) {
    mnl_attr_put_strz(header_, attribute, text);
  }

  std::vector<uint8_t> Take() && {
    bytes_.resize(header_->nlmsg_len);
    return std::move(bytes_);
  }

 private:
  std::vector<uint8_t> bytes_;
  nlmsghdr* header_;
};

// The attributes of one message, by type; those past kTypes are not looked at.
class Attributes {
 public:
  // Of a message whose fixed part is a `Body`.
  template <typename Body>
  static Attributes Of(const nlmsghdr* header) {
    Attributes attributes;
    mnl_attr_parse(header, sizeof(Body), Keep, &attributes);
    return attributes;
  }
  static Attributes Within(const nlattr* parent) {
    Attributes attributes;
    mnl_attr_parse_nested(parent, Keep, &attributes);
    return attributes;
  }

  // The payload if it is there and has at least `bytes`.
  const uint8_t* Payload(size_t type, size_t bytes) const {
    const nlattr* attribute = by_type_[type];
    if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < bytes) {
      return nullptr;
    }
    return static_cast<const uint8_t*>(mnl_attr_get_payload(attribute));
  }

  const nlattr* At(size_t type) const { return by_type_[type]; }

  std::optional<uint32_t> U32(size_t type) const {
    const uint8_t* payload = Payload(type, sizeof(uint32_t));
    if (payload == nullptr) return std::nullopt;
    uint32_t value;
    std::memcpy(&value, payload, sizeof(value));
    return value;
  }

  std::optional<uint16_t> U16(size_t type) const {
    const uint8_t* payload = Payload(type, sizeof(uint16_t));
    if (payload == nullptr) return std::nullopt;
    uint16_t value;
    std::memcpy(&value, payload, sizeof(value));
    return value;
  }

  std::string Text(size_t type) const {
    const nlattr* attribute = by_type_[type];
    if (attribute == nullptr) return "";
    const char* text =
        static_cast<const char*>(mnl_attr_get_payload(attribute));
    return {text, strnlen(text, mnl_attr_get_payload_len(attribute))};
  }

  std::optional<base::IpAddress> Ip(size_t type, int family) const {
    return ReadIp(family, Payload(type, family == AF_INET ? 4 : 16));
  }

  std::optional<std::array<uint8_t, 6>> Mac(size_t type) const {
    std::array<uint8_t, 6> mac;
    const nlattr* attribute = by_type_[type];
    if (attribute == nullptr ||
        mnl_attr_get_payload_len(attribute) != mac.size()) {
      return std::nullopt;
    }
    std::memcpy(mac.data(), mnl_attr_get_payload(attribute), mac.size());
    return mac;
  }

  static std::optional<base::IpAddress> ReadIp(int family,
                                               const uint8_t* bytes) {
    if (bytes == nullptr) return std::nullopt;
    if (family == AF_INET) {
      uint32_t address;
      std::memcpy(&address, bytes, sizeof(address));
      return base::IpAddress::FromIpv4(ntohl(address));
    }
    std::array<uint8_t, 16> address;
    std::memcpy(address.data(), bytes, sizeof(address));
    return base::IpAddress(address);
  }

 private:
  static int Keep(const nlattr* attribute, void* self) {
    const uint16_t type = mnl_attr_get_type(attribute);
    auto& by_type = static_cast<Attributes*>(self)->by_type_;
    if (type < kTypes) by_type[type] = attribute;
    return MNL_CB_OK;
  }

  static constexpr size_t kTypes = 64;
  static_assert(RTA_MAX < kTypes && RTAX_MAX < kTypes && IFA_MAX < kTypes &&
                IFLA_MTU < kTypes && IFLA_LINK_NETNSID < kTypes &&
                NDA_LLADDR < kTypes);

  std::array<const nlattr*, kTypes> by_type_ = {};
};

// The fixed part of a message, or null if the message is too short for it.
template <typename Body>
const Body* BodyOf(const nlmsghdr* header) {
  if (mnl_nlmsg_get_payload_len(header) < sizeof(Body)) return nullptr;
  return static_cast<const Body*>(mnl_nlmsg_get_payload(header));
}

bool IsIp(uint8_t family) { return family == AF_INET || family == AF_INET6; }

RouteKind KindOf(uint8_t type) {
  if (type == RTN_UNICAST) return RouteKind::kUnicast;
  if (type == RTN_LOCAL) return RouteKind::kLocal;
  return RouteKind::kOther;
}

// An IPv4 route may have an IPv6 gateway; then it is in RTA_VIA.
std::optional<base::IpAddress> ReadVia(const Attributes& attributes) {
  const uint8_t* via = attributes.Payload(RTA_VIA, sizeof(rtvia));
  if (via == nullptr) return std::nullopt;
  rtvia head;
  std::memcpy(&head, via, sizeof(head));
  if (head.rtvia_family != AF_INET && head.rtvia_family != AF_INET6) {
    return std::nullopt;
  }
  const size_t length = head.rtvia_family == AF_INET ? 4 : 16;
  if (attributes.Payload(RTA_VIA, sizeof(rtvia) + length) == nullptr) {
    return std::nullopt;
  }
  return Attributes::ReadIp(head.rtvia_family, via + sizeof(rtvia));
}

std::optional<Route> ParseRoute(const nlmsghdr* header) {
  const rtmsg* body = BodyOf<rtmsg>(header);
  if (body == nullptr || !IsIp(body->rtm_family)) return std::nullopt;
  const Attributes attributes = Attributes::Of<rtmsg>(header);
  const int family = body->rtm_family;
  Route route;
  route.kind = KindOf(body->rtm_type);
  route.destination =
      attributes.Ip(RTA_DST, family).value_or(base::IpAddress());
  route.interface = attributes.U32(RTA_OIF).value_or(0);
  route.gateway = attributes.Ip(RTA_GATEWAY, family);
  if (!route.gateway) route.gateway = ReadVia(attributes);
  route.source = attributes.Ip(RTA_PREFSRC, family);
  if (attributes.At(RTA_METRICS) != nullptr) {
    const auto metrics = Attributes::Within(attributes.At(RTA_METRICS));
    route.mtu = metrics.U32(RTAX_MTU).value_or(0);
  }
  return route;
}

std::optional<Neighbour> ParseNeighbour(const nlmsghdr* header) {
  const ndmsg* body = BodyOf<ndmsg>(header);
  if (body == nullptr || !IsIp(body->ndm_family)) return std::nullopt;
  const Attributes attributes = Attributes::Of<ndmsg>(header);
  const auto address = attributes.Ip(NDA_DST, body->ndm_family);
  if (!address) return std::nullopt;
  return Neighbour{.interface = static_cast<uint32_t>(body->ndm_ifindex),
                   .address = *address,
                   .mac = attributes.Mac(NDA_LLADDR),
                   .state = body->ndm_state};
}

std::optional<VlanLink> ParseVlan(const Attributes& link,
                                  const Attributes& info) {
  if (info.At(IFLA_INFO_DATA) == nullptr) return std::nullopt;
  const Attributes data = Attributes::Within(info.At(IFLA_INFO_DATA));
  VlanLink vlan;
  vlan.id = data.U16(IFLA_VLAN_ID).value_or(0);
  vlan.is_8021q = data.U16(IFLA_VLAN_PROTOCOL).value_or(htons(ETH_P_8021Q)) ==
                  htons(ETH_P_8021Q);
  // The number is one of that namespace.
  if (link.At(IFLA_LINK_NETNSID) == nullptr)
    vlan.on = link.U32(IFLA_LINK).value_or(0);
  return vlan;
}

// A message of family AF_BRIDGE tells a bridge port, not the link.
std::optional<Link> ParseLink(const nlmsghdr* header) {
  const ifinfomsg* body = BodyOf<ifinfomsg>(header);
  if (body == nullptr || body->ifi_family != AF_UNSPEC) return std::nullopt;
  const Attributes attributes = Attributes::Of<ifinfomsg>(header);
  Link link;
  link.interface = static_cast<uint32_t>(body->ifi_index);
  link.mac = attributes.Mac(IFLA_ADDRESS);
  link.mtu = attributes.U32(IFLA_MTU).value_or(0);
  link.up =
      (body->ifi_flags & IFF_UP) != 0 && (body->ifi_flags & IFF_LOWER_UP) != 0;
  link.name = attributes.Text(IFLA_IFNAME);
  if (attributes.At(IFLA_LINKINFO) != nullptr) {
    const Attributes info = Attributes::Within(attributes.At(IFLA_LINKINFO));
    link.kind = info.Text(IFLA_INFO_KIND);
    if (link.kind == "vlan") link.vlan = ParseVlan(attributes, info);
  }
  return link;
}

// The interface's own address: IFA_LOCAL where there is one, as IFA_ADDRESS is
// the peer's on a point-to-point link.
std::optional<Address> ParseAddress(const nlmsghdr* header) {
  const ifaddrmsg* body = BodyOf<ifaddrmsg>(header);
  if (body == nullptr || !IsIp(body->ifa_family)) return std::nullopt;
  const Attributes attributes = Attributes::Of<ifaddrmsg>(header);
  auto address = attributes.Ip(IFA_LOCAL, body->ifa_family);
  if (!address) address = attributes.Ip(IFA_ADDRESS, body->ifa_family);
  if (!address) return std::nullopt;
  return Address{.interface = body->ifa_index, .address = *address};
}

template <typename Body>
void Append(const nlmsghdr* header, Body body,
            std::vector<NetlinkMessage>& messages) {
  messages.push_back(
      {.sequence = header->nlmsg_seq,
       .port = header->nlmsg_pid,
       .interrupted = (header->nlmsg_flags & NLM_F_DUMP_INTR) != 0,
       .body = std::move(body)});
}

// `removal`: the type that says that the thing is gone.
template <typename T>
void Append(const nlmsghdr* header, const std::optional<T>& parsed,
            uint16_t removal, std::vector<NetlinkMessage>& messages) {
  if (!parsed) return;
  if (header->nlmsg_type == removal) {
    Append(header, Gone<T>{*parsed}, messages);
  } else {
    Append(header, *parsed, messages);
  }
}

std::optional<NetlinkError> ParseError(const nlmsghdr* header) {
  const nlmsgerr* body = BodyOf<nlmsgerr>(header);
  // The kernel says 0 or a negative errno.
  if (body == nullptr || body->error > 0 || body->error < -kMaxErrno)
    return std::nullopt;
  return NetlinkError{.code = -body->error};
}

std::optional<GenericFamily> ParseFamily(const nlmsghdr* header) {
  if (BodyOf<genlmsghdr>(header) == nullptr) return std::nullopt;
  const Attributes attributes = Attributes::Of<genlmsghdr>(header);
  const auto id = attributes.U16(CTRL_ATTR_FAMILY_ID);
  if (!id) return std::nullopt;
  return GenericFamily{.id = *id};
}

std::optional<XdpAbility> ParseXdpAbility(const nlmsghdr* header) {
  if (BodyOf<genlmsghdr>(header) == nullptr) return std::nullopt;
  const Attributes attributes = Attributes::Of<genlmsghdr>(header);
  const auto interface = attributes.U32(kNetdevIfindex);
  // Of 64 bits, in the order of this host.
  const auto abilities = attributes.U32(kNetdevXdpFeatures);
  if (!interface || !abilities) return std::nullopt;
  return XdpAbility{.interface = *interface,
                    .takes_redirects = (*abilities & kNetdevNdoXmit) != 0};
}

void ParseMessage(const nlmsghdr* header,
                  std::vector<NetlinkMessage>& messages) {
  switch (header->nlmsg_type) {
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return Append(header, ParseRoute(header), RTM_DELROUTE, messages);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return Append(header, ParseNeighbour(header), RTM_DELNEIGH, messages);
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return Append(header, ParseLink(header), RTM_DELLINK, messages);
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return Append(header, ParseAddress(header), RTM_DELADDR, messages);
    case NLMSG_ERROR:
      if (const auto error = ParseError(header)) {
        Append(header, *error, messages);
      }
      return;
    case NLMSG_DONE:
      return Append(header, DumpDone(), messages);
    default:
      return;
  }
}

void ParseGenericMessage(const nlmsghdr* header, uint16_t family,
                         std::vector<NetlinkMessage>& messages) {
  if (header->nlmsg_type == GENL_ID_CTRL) {
    if (const auto found = ParseFamily(header))
      Append(header, *found, messages);
  } else if (family != 0 && header->nlmsg_type == family) {
    if (const auto ability = ParseXdpAbility(header))
      Append(header, *ability, messages);
  } else if (header->nlmsg_type < NLMSG_MIN_TYPE) {
    ParseMessage(header, messages);
  }
}

// Calls `parse` for each message of the datagram.
template <typename Parse>
absl::StatusOr<std::vector<NetlinkMessage>> ParseAll(
    std::span<const uint8_t> datagram, const Parse& parse) {
  std::vector<NetlinkMessage> messages;
  // mnl_nlmsg_ok() takes a length above 2^31 for a small one. The kernel pads
  // each message, the last one too; libmnl counts on that.
  while (datagram.size() >= sizeof(nlmsghdr)) {
    const auto* header = reinterpret_cast<const nlmsghdr*>(datagram.data());
    const size_t length = MNL_ALIGN(size_t{header->nlmsg_len});
    if (header->nlmsg_len < sizeof(nlmsghdr) || length > datagram.size()) break;
    parse(header, messages);
    datagram = datagram.subspan(length);
  }
  if (!datagram.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "netlink: the last ", datagram.size(), " bytes are no message"));
  }
  return messages;
}

}  // namespace

uint32_t NextHopGroups() {
  return RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
         RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
}

std::vector<uint8_t> RouteRequest(const base::IpAddress& destination,
                                  uint32_t sequence) {
  Request request(RTM_GETROUTE, 0, sequence);
  rtmsg& body = request.Put<rtmsg>();
  body.rtm_family = FamilyOf(destination);
  body.rtm_dst_len = destination.is_ipv4() ? 32 : 128;
  request.PutAddress(RTA_DST, destination);
  return std::move(request).Take();
}

std::vector<uint8_t> NeighbourDumpRequest(uint32_t sequence) {
  Request request(RTM_GETNEIGH, NLM_F_DUMP, sequence);
  request.Put<ndmsg>().ndm_family = AF_UNSPEC;
  return std::move(request).Take();
}

std::vector<uint8_t> LinkDumpRequest(uint32_t sequence) {
  Request request(RTM_GETLINK, NLM_F_DUMP, sequence);
  request.Put<ifinfomsg>().ifi_family = AF_UNSPEC;
  return std::move(request).Take();
}

std::vector<uint8_t> AddressDumpRequest(uint32_t sequence) {
  Request request(RTM_GETADDR, NLM_F_DUMP, sequence);
  request.Put<ifaddrmsg>().ifa_family = AF_UNSPEC;
  return std::move(request).Take();
}

std::vector<uint8_t> FamilyRequest(const char* name, uint32_t sequence) {
  Request request(GENL_ID_CTRL, 0, sequence);
  request.Put<genlmsghdr>() = {.cmd = CTRL_CMD_GETFAMILY, .version = 1};
  request.PutText(CTRL_ATTR_FAMILY_NAME, name);
  return std::move(request).Take();
}

std::vector<uint8_t> XdpAbilityDumpRequest(uint16_t family, uint32_t sequence) {
  Request request(family, NLM_F_DUMP, sequence);
  request.Put<genlmsghdr>() = {.cmd = kNetdevDevGet, .version = kNetdevVersion};
  return std::move(request).Take();
}

std::vector<uint8_t> ResolveRequest(uint32_t interface,
                                    const base::IpAddress& address,
                                    uint32_t sequence) {
  Request request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, sequence);
  ndmsg& body = request.Put<ndmsg>();
  body.ndm_family = FamilyOf(address);
  body.ndm_ifindex = static_cast<int>(interface);
  body.ndm_state = NUD_NONE;
  body.ndm_flags = NTF_USE;
  request.PutAddress(NDA_DST, address);
  return std::move(request).Take();
}

absl::StatusOr<std::vector<NetlinkMessage>> ParseNetlink(
    std::span<const uint8_t> datagram) {
  return ParseAll(datagram, ParseMessage);
}

absl::StatusOr<std::vector<NetlinkMessage>> ParseGenericNetlink(
    std::span<const uint8_t> datagram, uint16_t family) {
  return ParseAll(datagram, [family](const nlmsghdr* header,
                                     std::vector<NetlinkMessage>& messages) {
    ParseGenericMessage(header, family, messages);
  });
}

}  // namespace fairlead::datapath
