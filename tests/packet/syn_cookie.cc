#include "tests/packet/syn_cookie.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <fstream>

#include "base/check.h"
#include "tests/support/live_connection.h"
#include "tests/support/packet.h"

namespace fairlead::test {
namespace {

// Of the packet, without Ethernet.
Bytes SynFor(const base::Endpoint& service, const base::IpAddress& client) {
  const Tcp syn = {.sport = SynCookie::kClientPort,
                   .dport = service.port,
                   .seq = SynCookie::kSequence,
                   .syn = true};
  Bytes frame = (Eth{} /
                 (client.is_ipv4()
                      ? Packet(Ipv4{.src = client, .dst = service.address})
                      : Packet(Ipv6{.src = client, .dst = service.address})) /
                 syn)
                    .Wire();
  frame.erase(frame.begin(), frame.begin() + 14);
  return frame;
}

void SendRaw(const base::IpAddress& to, const Bytes& packet) {
  // IPPROTO_RAW: the headers are ours.
  const base::UniqueFd fd(
      socket(to.is_ipv4() ? AF_INET : AF_INET6, SOCK_RAW, IPPROTO_RAW));
  sockaddr_in ip4 = {};
  ip4.sin_family = AF_INET;
  std::memcpy(&ip4.sin_addr, to.bytes().data() + 12, 4);
  sockaddr_in6 ip6 = {};
  ip6.sin6_family = AF_INET6;
  std::memcpy(&ip6.sin6_addr, to.bytes().data(), 16);
  const auto* address = to.is_ipv4() ? reinterpret_cast<const sockaddr*>(&ip4)
                                     : reinterpret_cast<const sockaddr*>(&ip6);
  FL_CHECK(sendto(fd.get(), packet.data(), packet.size(), 0, address,
                  to.is_ipv4() ? sizeof(ip4) : sizeof(ip6)) ==
           static_cast<ssize_t>(packet.size()));
}

}  // namespace

SynCookie::SynCookie(const base::Endpoint& service,
                     const base::IpAddress& client)
    : listener_(ListenAt(service)) {
  // 2: always. IPv6 has no setting of its own.
  std::ofstream("/proc/sys/net/ipv4/tcp_syncookies") << "2" << std::flush;
  const bool is_ipv4 = client.is_ipv4();
  // Hears every segment to this host's addresses.
  const base::UniqueFd ear(
      socket(is_ipv4 ? AF_INET : AF_INET6, SOCK_RAW, IPPROTO_TCP));
  const timeval patience = {.tv_sec = 10, .tv_usec = 0};
  FL_CHECK(setsockopt(ear.get(), SOL_SOCKET, SO_RCVTIMEO, &patience,
                      sizeof(patience)) == 0);
  SendRaw(service.address, SynFor(service, client));
  std::array<uint8_t, 256> heard;
  while (true) {
    const ssize_t size = recv(ear.get(), heard.data(), heard.size(), 0);
    FL_CHECK(size > 0);
    tcphdr tcp;
    // A raw socket of IPv4 gives the IP header, too.
    const size_t offset = is_ipv4 ? size_t{4} * (heard[0] & 0xf) : 0;
    FL_CHECK(static_cast<size_t>(size) >= offset + sizeof(tcp));
    std::memcpy(&tcp, heard.data() + offset, sizeof(tcp));
    if (!tcp.syn || !tcp.ack || tcp.source != htons(service.port)) continue;
    sequence_ = ntohl(tcp.seq);
    return;
  }
}

}  // namespace fairlead::test
