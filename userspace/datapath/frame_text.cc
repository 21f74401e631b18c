#include "datapath/frame_text.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <array>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/ip_address.h"
#include "fairlead/abi/maps.h"
#include "fairlead/abi/wire.h"

namespace fairlead::datapath {
namespace {

constexpr char kCutShort[] = "cut short";

class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  template <typename T>
  std::optional<T> Take() {
    if (bytes_.size() < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, bytes_.data(), sizeof(value));
    bytes_ = bytes_.subspan(sizeof(T));
    return value;
  }
  void Skip(size_t bytes) {
    bytes_ = bytes_.subspan(std::min(bytes, bytes_.size()));
  }

 private:
  std::span<const uint8_t> bytes_;
};

struct Tag {
  __be16 control;  // priority and VLAN
  __be16 type;     // of what follows
};

struct IpHeader {
  base::IpAddress from, to;
  uint8_t proto = 0;
  bool later_fragment = false;  // no transport header behind it
};

base::IpAddress Address6(const void* bytes) {
  std::array<uint8_t, 16> copy;
  std::memcpy(copy.data(), bytes, copy.size());
  return base::IpAddress(copy);
}

std::optional<IpHeader> TakeIpHeader(Reader& reader, uint16_t ether_type) {
  IpHeader header;
  if (ether_type == ETH_P_IP) {
    const auto ip = reader.Take<iphdr>();
    if (!ip.has_value()) return std::nullopt;
    header.from = base::IpAddress::FromIpv4(ntohl(ip->saddr));
    header.to = base::IpAddress::FromIpv4(ntohl(ip->daddr));
    header.proto = ip->protocol;
    header.later_fragment = (ntohs(ip->frag_off) & 0x1fff) != 0;
    if (ip->ihl > 5) reader.Skip((ip->ihl - size_t{5}) * 4);
    return header;
  }
  const auto ip = reader.Take<ipv6hdr>();
  if (!ip.has_value()) return std::nullopt;
  header.from = Address6(&ip->saddr);
  header.to = Address6(&ip->daddr);
  header.proto = ip->nexthdr;
  return header;
}

std::string WithPort(const base::IpAddress& address, __be16 port) {
  const std::string text = address.ToString();
  return address.is_ipv4() ? absl::StrCat(text, ":", ntohs(port))
                           : absl::StrCat("[", text, "]:", ntohs(port));
}

std::string Ports(const IpHeader& ip, __be16 from, __be16 to) {
  return absl::StrCat(WithPort(ip.from, from), " > ", WithPort(ip.to, to));
}

std::string TcpText(const IpHeader& ip, Reader& reader) {
  const auto tcp = reader.Take<tcphdr>();
  if (!tcp.has_value()) return absl::StrCat("TCP ", kCutShort);
  std::vector<absl::string_view> flags;
  for (const auto& [set, name] :
       {std::pair(tcp->syn, "SYN"), std::pair(tcp->fin, "FIN"),
        std::pair(tcp->rst, "RST"), std::pair(tcp->psh, "PSH"),
        std::pair(tcp->ack, "ACK"), std::pair(tcp->urg, "URG")}) {
    if (set) flags.push_back(name);
  }
  return absl::StrCat(
      Ports(ip, tcp->source, tcp->dest), " TCP ",
      flags.empty() ? "without flags" : absl::StrJoin(flags, "+"));
}

std::string HopsText(const fl_hops& hops, const FrameTextOptions& options) {
  std::vector<std::string> names;
  for (size_t i = 0; i < hops.count && i < FL_WIRE_HOPS; ++i)
    names.push_back(options.backend_name(ntohs(hops.hop[i])));
  return names.empty() ? " without hops"
                       : absl::StrCat(" hops ", absl::StrJoin(names, ","));
}

std::string UdpText(const IpHeader& ip, Reader& reader,
                    const FrameTextOptions& options) {
  const auto udp = reader.Take<udphdr>();
  if (!udp.has_value()) return absl::StrCat("UDP ", kCutShort);
  if (ntohs(udp->dest) != options.gue_port)
    return absl::StrCat(Ports(ip, udp->source, udp->dest), " UDP");
  std::string text =
      absl::StrCat(ip.from.ToString(), " > ", ip.to.ToString(), " GUE");
  const auto gue = reader.Take<fl_gue>();
  if (!gue.has_value() || gue->version_hlen != FL_GUE_HLEN) return text;
  const auto hops = reader.Take<fl_hops>();
  return absl::StrCat(text, hops.has_value() ? HopsText(*hops, options) : "");
}

// What follows Ethernet, or a tag: of `type`.
std::string TypedText(uint16_t type, Reader& reader,
                      const FrameTextOptions& options) {
  if (type != ETH_P_IP && type != ETH_P_IPV6)
    return absl::StrFormat("ethertype 0x%04x", type);
  const std::optional<IpHeader> ip = TakeIpHeader(reader, type);
  if (!ip.has_value()) return absl::StrCat("IP ", kCutShort);
  const std::string ends =
      absl::StrCat(ip->from.ToString(), " > ", ip->to.ToString());
  if (ip->later_fragment) return absl::StrCat(ends, " later fragment");
  switch (ip->proto) {
    case IPPROTO_TCP:
      return TcpText(*ip, reader);
    case IPPROTO_IPIP:
    case IPPROTO_IPV6:
      return absl::StrCat(ends, " IPIP");
    case IPPROTO_UDP:
      return UdpText(*ip, reader, options);
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6: {
      const auto type_code = reader.Take<std::array<uint8_t, 2>>();
      if (!type_code.has_value()) return absl::StrCat(ends, " ICMP cut short");
      return absl::StrCat(ends, " ICMP type ", (*type_code)[0], " code ",
                          (*type_code)[1]);
    }
    default:
      return absl::StrCat(ends, " protocol ", ip->proto);
  }
}

}  // namespace

std::string FrameText(std::span<const uint8_t> frame,
                      const FrameTextOptions& options) {
  Reader reader(frame);
  const auto ethernet = reader.Take<ethhdr>();
  if (!ethernet.has_value()) return absl::StrCat("Ethernet ", kCutShort);
  uint16_t type = ntohs(ethernet->h_proto);
  std::string text;
  while (type == ETH_P_8021Q || type == ETH_P_8021AD) {
    const auto tag = reader.Take<Tag>();
    if (!tag.has_value()) return absl::StrCat(text, "VLAN tag ", kCutShort);
    absl::StrAppend(&text, type == ETH_P_8021AD ? "802.1ad " : "", "VLAN ",
                    ntohs(tag->control) & FL_VLAN_MASK, " ");
    type = ntohs(tag->type);
  }
  return absl::StrCat(text, TypedText(type, reader, options));
}

}  // namespace fairlead::datapath
