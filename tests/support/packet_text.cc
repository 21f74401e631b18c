#include "tests/support/packet_text.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/ip_address.h"
#include "tests/support/checksum.h"

namespace fairlead::test {
namespace {

constexpr uint16_t kGuePort = 6080;

class Reader {
 public:
  explicit Reader(std::span<const uint8_t> frame) : rest_(frame) {}

  std::string Describe() {
    const std::span<const uint8_t> frame = rest_;
    Ethernet();
    if (!rest_.empty()) Line("%d bytes of data", rest_.size());
    Dump(frame);
    return text_;
  }

 private:
  template <typename... Args>
  void Line(const absl::FormatSpec<Args...>& format, const Args&... args) {
    absl::StrAppend(&text_, "  ", absl::StrFormat(format, args...), "\n");
  }

  bool Has(size_t bytes, absl::string_view what) {
    if (rest_.size() >= bytes) return true;
    Line("%s: cut off after %d bytes", what, rest_.size());
    rest_ = {};
    return false;
  }

  unsigned int U8(size_t at) const { return rest_[at]; }
  unsigned int U16(size_t at) const {
    return static_cast<unsigned int>(rest_[at] << 8 | rest_[at + 1]);
  }
  uint32_t U32(size_t at) const { return U16(at) << 16 | U16(at + 2); }

  base::IpAddress Address(size_t at, bool is_ipv4) const {
    if (is_ipv4) return base::IpAddress::FromIpv4(U32(at));
    std::array<uint8_t, 16> bytes = {};
    std::copy_n(rest_.begin() + static_cast<std::ptrdiff_t>(at), 16,
                bytes.begin());
    return base::IpAddress(bytes);
  }

  std::string MacAt(size_t at) const {
    return absl::StrFormat("%02x:%02x:%02x:%02x:%02x:%02x", U8(at), U8(at + 1),
                           U8(at + 2), U8(at + 3), U8(at + 4), U8(at + 5));
  }

  static absl::string_view Verdict(uint16_t checksum) {
    return checksum == 0 ? "checksum ok" : "CHECKSUM WRONG";
  }

  // Of `proto` with everything that is left, over the last IP header.
  absl::string_view TransportVerdict(uint8_t proto) const {
    return Verdict(InternetChecksum(
        rest_, PseudoHeaderSum(src_, dst_, proto, rest_.size())));
  }

  // The IP header may promise more or less than is there.
  void CutTo(size_t length) {
    if (rest_.size() > length)
      Line("(%d bytes of padding)", rest_.size() - length);
    rest_ = rest_.first(std::min(rest_.size(), length));
  }

  void Ethernet() {
    if (!Has(14, "ethernet")) return;
    const unsigned int type = U16(12);
    Line("ethernet %s > %s type %04x", MacAt(6), MacAt(0), type);
    rest_ = rest_.subspan(14);
    Network(type);
  }

  void Network(unsigned int type) {
    if (type == 0x8100) Vlan();
    if (type == 0x0800) Ipv4();
    if (type == 0x86dd) Ipv6();
  }

  void Vlan() {
    if (!Has(4, "vlan")) return;
    const unsigned int control = U16(0), type = U16(2);
    Line("vlan %d priority %d%s type %04x", control & 0xfff, control >> 13,
         control & 0x1000 ? " drop eligible" : "", type);
    rest_ = rest_.subspan(4);
    Network(type);
  }

  void Ipv4() {
    if (!Has(20, "ipv4")) return;
    const size_t header = (U8(0) & 15) * 4;
    const unsigned int length = U16(2), fragment = U16(6), proto = U8(9);
    src_ = Address(12, true);
    dst_ = Address(16, true);
    const uint16_t check = InternetChecksum(
        rest_.first(std::min(std::max<size_t>(header, 20), rest_.size())));
    Line(
        "ipv4 %s > %s version %d header %d length %d id %d%s%s offset %d "
        "tos %02x ttl %d proto %d %s",
        src_.ToString(), dst_.ToString(), U8(0) >> 4, header, length, U16(4),
        fragment & 0x4000 ? " DF" : "", fragment & 0x2000 ? " MF" : "",
        (fragment & 0x1fff) * 8, U8(1), U8(8), proto, Verdict(check));
    if (header < 20 || header > rest_.size()) return;
    CutTo(std::max<size_t>(length, header));
    rest_ = rest_.subspan(header);
    Transport(proto);
  }

  void Ipv6() {
    if (!Has(40, "ipv6")) return;
    const unsigned int length = U16(4), next = U8(6);
    src_ = Address(8, false);
    dst_ = Address(24, false);
    Line(
        "ipv6 %s > %s version %d class %02x label %05x length %d hops %d "
        "next %d",
        src_.ToString(), dst_.ToString(), U8(0) >> 4, U16(0) >> 4 & 0xff,
        U32(0) & 0xfffff, length, U8(7), next);
    rest_ = rest_.subspan(40);
    CutTo(length);
    Transport(next);
  }

  void Transport(unsigned int proto) {
    if (proto == 4) Ipv4();
    if (proto == 6) Tcp();
    if (proto == 17) Udp();
    if (proto == 41) Ipv6();
    if (proto == 1 || proto == 58) Icmp(static_cast<uint8_t>(proto));
  }

  void Tcp() {
    if (!Has(20, "tcp")) return;
    std::string flags;
    for (size_t i = 0; i < 6; i++) {
      if (U8(13) & 1u << i) flags += "FSRPAU"[i];
    }
    Line("tcp %d > %d flags [%s] seq %d ack %d offset %d window %d %s", U16(0),
         U16(2), flags, U32(4), U32(8), (U8(12) >> 4) * 4, U16(14),
         TransportVerdict(6));
    rest_ = rest_.subspan(std::min<size_t>(
        rest_.size(), std::max<size_t>(20, (U8(12) >> 4) * 4)));
  }

  void Udp() {
    if (!Has(8, "udp")) return;
    const bool gue = U16(2) == kGuePort;
    Line("udp %d > %d length %d %s", U16(0), U16(2), U16(4),
         U16(6) == 0 ? "no checksum" : TransportVerdict(17));
    rest_ = rest_.subspan(8);
    if (gue) Gue();
  }

  void Gue() {
    if (!Has(4, "gue")) return;
    const size_t private_bytes = (U8(0) & 31) * 4;
    const unsigned int proto = U8(1);
    Line("gue version %d control %d private %d proto %d flags %04x", U8(0) >> 6,
         U8(0) >> 5 & 1, private_bytes, proto, U16(2));
    rest_ = rest_.subspan(4);
    if (private_bytes == 32) HopList();
    Transport(proto);
  }

  void HopList() {
    if (!Has(32, "hop list")) return;
    std::string ids;
    for (size_t i = 0; i < 8; i++) absl::StrAppend(&ids, " ", U16(16 + 2 * i));
    Line(
        "hops version %d flags %02x index %d count %d acceptors %02x weak "
        "%02x key %d lb %d row %d epoch %d ids%s",
        U8(0), U8(1), U8(2), U8(3), U8(4), U8(5), U8(6), U16(8), U16(10),
        U32(12), ids);
    rest_ = rest_.subspan(32);
  }

  void Icmp(uint8_t proto) {
    if (!Has(8, "icmp")) return;
    const uint16_t check =
        proto == 1 ? InternetChecksum(rest_)
                   : InternetChecksum(rest_, PseudoHeaderSum(src_, dst_, proto,
                                                             rest_.size()));
    Line("icmp type %d code %d rest %d %s", U8(0), U8(1), U32(4),
         Verdict(check));
    rest_ = rest_.subspan(8);
  }

  void Dump(std::span<const uint8_t> frame) {
    for (size_t at = 0; at < frame.size(); at += 16) {
      std::string line = absl::StrFormat("%04x:", at);
      for (size_t i = at; i < std::min(at + 16, frame.size()); i++)
        absl::StrAppend(&line, absl::StrFormat(" %02x", frame[i]));
      Line("%s", line);
    }
  }

  std::span<const uint8_t> rest_;
  base::IpAddress src_, dst_;  // of the last IP header read
  std::string text_;
};

}  // namespace

std::string DescribeFrame(std::span<const uint8_t> frame) {
  return Reader(frame).Describe();
}

std::string DifferenceOf(std::span<const uint8_t> expected,
                         std::span<const uint8_t> actual) {
  if (std::ranges::equal(expected, actual)) return "";
  size_t at = 0;
  while (at < std::min(expected.size(), actual.size()) &&
         expected[at] == actual[at])
    at++;
  return absl::StrCat("they part at byte ", at, "\nexpected, ", expected.size(),
                      " bytes:\n", DescribeFrame(expected), "actual, ",
                      actual.size(), " bytes:\n", DescribeFrame(actual));
}

}  // namespace fairlead::test
