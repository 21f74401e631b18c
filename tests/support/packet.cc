#include "tests/support/packet.h"

#include <algorithm>
#include <type_traits>

#include "base/check.h"
#include "tests/support/checksum.h"

namespace fairlead::test {
namespace {

constexpr uint8_t kProtoIpv4 = 4, kProtoTcp = 6, kProtoUdp = 17,
                  kProtoIpv6 = 41, kProtoIcmp = 1, kProtoIcmpv6 = 58,
                  kProtoNone = 59;

void Put8(Bytes& to, unsigned int value) {
  to.push_back(static_cast<uint8_t>(value));
}

void Put16(Bytes& to, uint64_t value) {
  Put8(to, value >> 8 & 0xff);
  Put8(to, value & 0xff);
}

void Put32(Bytes& to, uint32_t value) {
  Put16(to, value >> 16);
  Put16(to, value & 0xffff);
}

void Set16(Bytes& to, size_t at, uint16_t value) {
  to[at] = static_cast<uint8_t>(value >> 8);
  to[at + 1] = static_cast<uint8_t>(value);
}

void PutAll(Bytes& to, std::span<const uint8_t> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

void PutAddress(Bytes& to, const base::IpAddress& address, bool as_ipv4) {
  PutAll(to, std::span(address.bytes()).subspan(as_ipv4 ? 12 : 0));
}

template <typename... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <typename... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

// Writes the layers from the last to the first: each needs to know what is
// behind it, and the checksums which IP header is in front.
class Writer {
 public:
  explicit Writer(std::span<const Layer> layers) : layers_(layers) {}

  Bytes Write() {
    for (at_ = layers_.size(); at_-- > 0;) {
      Bytes front = std::visit(
          [this](const auto& layer) { return Write(layer); }, layers_[at_]);
      behind_.insert(behind_.begin(), front.begin(), front.end());
    }
    PutAll(behind_, padding_);
    return behind_;
  }

 private:
  // The protocol number of the layer behind this one.
  uint8_t NextProto() const {
    if (at_ + 1 == layers_.size()) return kProtoNone;
    const bool is_ipv6 = std::holds_alternative<Ipv6>(layers_[at_]) ||
                         std::holds_alternative<Extension>(layers_[at_]);
    return std::visit(
        Overloaded{
            [](const Tcp&) { return kProtoTcp; },
            [](const Udp&) { return kProtoUdp; },
            [](const Ipv4&) { return kProtoIpv4; },
            [](const Ipv6&) { return kProtoIpv6; },
            [=](const Icmp&) { return is_ipv6 ? kProtoIcmpv6 : kProtoIcmp; },
            [](const Extension& e) { return e.type; },
            [](const auto&) { return kProtoNone; },
        },
        layers_[at_ + 1]);
  }

  // Of `proto` and `length` bytes, over the nearest IP header in front.
  uint64_t PseudoSum(uint8_t proto, size_t length) const {
    for (size_t i = at_; i-- > 0;) {
      if (const auto* ip = std::get_if<Ipv4>(&layers_[i]))
        return PseudoHeaderSum(ip->src, ip->dst, proto, length);
      if (const auto* ip = std::get_if<Ipv6>(&layers_[i]))
        return PseudoHeaderSum(ip->src, ip->dst, proto, length);
    }
    return 0;
  }

  uint16_t ChecksumWithBehind(Bytes front, uint64_t initial) const {
    PutAll(front, behind_);
    return InternetChecksum(front, initial);
  }

  // The Ethernet type of the layer behind this one.
  uint16_t NextType() const {
    if (at_ + 1 < layers_.size() &&
        std::holds_alternative<Vlan>(layers_[at_ + 1]))
      return 0x8100;
    const uint8_t next = NextProto();
    return next == kProtoIpv4 ? 0x0800 : next == kProtoIpv6 ? 0x86dd : 0x88b5;
  }

  Bytes Write(const Eth& eth) {
    Bytes out;
    PutAll(out, eth.dst);
    PutAll(out, eth.src);
    Put16(out, eth.type.value_or(NextType()));
    return out;
  }

  Bytes Write(const Vlan& vlan) {
    Bytes out;
    Put16(out, unsigned{vlan.priority} << 13 |
                   (vlan.drop_eligible ? 0x1000u : 0u) | vlan.id);
    Put16(out, vlan.type.value_or(NextType()));
    return out;
  }

  Bytes Write(const Ipv4& ip) {
    const size_t header = 20 + ip.options.size();
    Bytes out;
    Put8(out, unsigned{ip.version.value_or(4)} << 4 |
                  ip.ihl.value_or(static_cast<uint8_t>(header / 4)));
    Put8(out, ip.tos);
    Put16(out,
          ip.length.value_or(static_cast<uint16_t>(header + behind_.size())));
    Put16(out, ip.id);
    Put16(out, (ip.df ? 0x4000u : 0u) | (ip.more_fragments ? 0x2000u : 0u) |
                   ip.fragment_offset);
    Put8(out, ip.ttl);
    Put8(out, ip.proto.value_or(NextProto()));
    Put16(out, 0);
    PutAddress(out, ip.src, true);
    PutAddress(out, ip.dst, true);
    PutAll(out, ip.options);
    Set16(out, 10, ip.checksum.value_or(InternetChecksum(out)));
    return out;
  }

  Bytes Write(const Ipv6& ip) {
    Bytes out;
    Put32(out, uint32_t{ip.version.value_or(6)} << 28 | uint32_t{ip.tos} << 20);
    Put16(out, ip.length.value_or(static_cast<uint16_t>(behind_.size())));
    Put8(out, ip.next_header.value_or(NextProto()));
    Put8(out, ip.hop_limit);
    PutAddress(out, ip.src, false);
    PutAddress(out, ip.dst, false);
    return out;
  }

  Bytes Write(const Extension& extension) {
    Bytes out = {NextProto(),
                 static_cast<uint8_t>((extension.detail.size() - 6) / 8)};
    PutAll(out, extension.detail);
    return out;
  }

  Bytes Write(const Tcp& tcp) {
    const size_t header = 20 + tcp.options.size();
    Bytes out;
    Put16(out, tcp.sport);
    Put16(out, tcp.dport);
    Put32(out, tcp.seq);
    Put32(out, tcp.ack_number);
    Put8(out,
         unsigned{tcp.doff.value_or(static_cast<uint8_t>(header / 4))} << 4);
    Put8(out, (tcp.fin ? 0x01u : 0u) | (tcp.syn ? 0x02u : 0u) |
                  (tcp.rst ? 0x04u : 0u) | (tcp.psh ? 0x08u : 0u) |
                  (tcp.ack ? 0x10u : 0u));
    Put16(out, tcp.window);
    Put16(out, 0);
    Put16(out, 0);
    PutAll(out, tcp.options);
    const uint64_t pseudo = PseudoSum(kProtoTcp, header + behind_.size());
    Set16(out, 16, tcp.checksum.value_or(ChecksumWithBehind(out, pseudo)));
    return out;
  }

  Bytes Write(const Udp& udp) {
    Bytes out;
    Put16(out, udp.sport);
    Put16(out, udp.dport);
    Put16(out, udp.length.value_or(static_cast<uint16_t>(8 + behind_.size())));
    Put16(out, udp.checksum);
    return out;
  }

  Bytes Write(const Gue& gue) {
    const bool hops = at_ + 1 < layers_.size() &&
                      std::holds_alternative<Hops>(layers_[at_ + 1]);
    if (hops) at_++;  // the inner protocol is of what is behind the hop list
    const uint8_t proto = gue.proto.value_or(NextProto());
    if (hops) at_--;
    Bytes out;
    Put8(out, gue.version_hlen.value_or(hops ? 8 : 0));
    Put8(out, proto);
    Put16(out, gue.flags);
    return out;
  }

  Bytes Write(const Hops& hops) {
    Bytes out;
    Put8(out, hops.version);
    Put8(out, hops.flags);
    Put8(out, hops.index);
    Put8(out, hops.count.value_or(static_cast<uint8_t>(hops.ids.size())));
    Put8(out, hops.acceptors);
    Put8(out, hops.weak);
    Put16(out, 0);
    Put16(out, hops.lb_id);
    Put16(out, hops.row);
    Put32(out, hops.epoch);
    for (size_t i = 0; i < 8; i++)
      Put16(out, i < hops.ids.size() ? hops.ids[i] : 0);
    return out;
  }

  Bytes Write(const Icmp& icmp) {
    Bytes out;
    Put8(out, icmp.type);
    Put8(out, icmp.code);
    Put16(out, 0);
    Put32(out, icmp.rest);
    const bool v6 = at_ > 0 && std::holds_alternative<Ipv6>(layers_[at_ - 1]);
    const uint64_t pseudo =
        v6 ? PseudoSum(kProtoIcmpv6, out.size() + behind_.size()) : 0;
    Set16(out, 2, ChecksumWithBehind(out, pseudo));
    return out;
  }

  Bytes Write(const Raw& raw) { return raw.bytes; }

  Bytes Write(const Padding& padding) {
    padding_.insert(padding_.begin(), padding.bytes.begin(),
                    padding.bytes.end());
    return {};
  }

  std::span<const Layer> layers_;
  size_t at_ = 0;  // the layer that is being written
  Bytes behind_;
  Bytes padding_;
};

}  // namespace

base::IpAddress Ip(absl::string_view text) {
  const auto address = base::IpAddress::Parse(text);
  FL_CHECK(address.ok());
  return *address;
}

Raw Payload(size_t size) {
  Raw raw;
  for (size_t i = 0; i < size; i++)
    raw.bytes.push_back(static_cast<uint8_t>(1 + i % 251));
  return raw;
}

Packet& Packet::operator/=(const Packet& next) {
  layers_.insert(layers_.end(), next.layers_.begin(), next.layers_.end());
  return *this;
}

Bytes Packet::Wire() const { return Writer(layers_).Write(); }

Packet Packet::Inner() const {
  Packet inner = *this;
  FL_CHECK(!inner.layers_.empty());
  do {
    inner.layers_.erase(inner.layers_.begin());
  } while (!inner.layers_.empty() &&
           std::holds_alternative<Vlan>(inner.layers_.front()));
  return inner;
}

}  // namespace fairlead::test
