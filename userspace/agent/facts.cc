#include "agent/facts.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cstring>
#include <fstream>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agent/agent_program.h"
#include "agent/netlink_facts.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace fairlead::agent {
namespace {

// Those that take packets of any origin; others name a peer.
constexpr std::array<const char*, 3> kTunnels = {"tunl0", "ip6tnl0", "sit0"};
constexpr std::array<const char*, 3> kUnitFolders = {
    "/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"};

// --- addresses ---

int PrefixLength(const sockaddr* mask, int family) {
  std::array<uint8_t, 16> bytes = {};
  if (mask == nullptr) return 0;
  if (family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(mask);
    std::memcpy(bytes.data(), &v4->sin_addr, sizeof(v4->sin_addr));
  } else {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(mask);
    std::memcpy(bytes.data(), &v6->sin6_addr, sizeof(v6->sin6_addr));
  }
  int bits = 0;
  for (const uint8_t byte : bytes) bits += std::popcount(byte);
  return bits;
}

base::IpAddress ToAddress(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    return base::IpAddress::FromIpv4(
        ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr));
  }
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(),
              &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr,
              sizeof(bytes));
  return base::IpAddress(bytes);
}

absl::StatusOr<std::vector<LocalAddress>> ReadAddresses() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return base::SyscallError("list addresses");
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owned(list, freeifaddrs);
  std::vector<LocalAddress> addresses;
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr) continue;
    const int family = at->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    // Of an address with a label ("eth0:1") the interface alone.
    std::string interface = at->ifa_name;
    interface = interface.substr(0, interface.find(':'));
    addresses.push_back({.address = ToAddress(at->ifa_addr),
                         .prefix_length = PrefixLength(at->ifa_netmask, family),
                         .interface = std::move(interface)});
  }
  return addresses;
}

// --- interfaces ---

ifreq RequestFor(const std::string& interface) {
  ifreq request = {};
  // The last byte stays 0.
  interface.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
  return request;
}

absl::Status ReadInterface(Facts& facts) {
  const base::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return base::SyscallError("socket");
  ifreq request = RequestFor(facts.interface);
  if (ioctl(fd.get(), SIOCGIFFLAGS, &request) != 0) return absl::OkStatus();
  facts.interface_exists = true;
  facts.interface_up = (request.ifr_flags & IFF_UP) != 0;
  request = RequestFor(facts.interface);
  if (ioctl(fd.get(), SIOCGIFMTU, &request) != 0)
    return base::SyscallError(absl::StrCat("MTU of ", facts.interface));
  facts.mtu = static_cast<uint32_t>(request.ifr_mtu);
  for (const char* const name : kTunnels) {
    request = RequestFor(name);
    if (ioctl(fd.get(), SIOCGIFFLAGS, &request) != 0) continue;
    facts.tunnels.push_back({name, (request.ifr_flags & IFF_UP) != 0});
  }
  return absl::OkStatus();
}

// --- settings ---

absl::StatusOr<int> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  int value = 0;
  if (file >> value) return value;
  return absl::NotFoundError(absl::StrCat("cannot read ", path));
}

absl::StatusOr<PairSetting> ReadPair(const std::string& interface,
                                     absl::string_view setting) {
  constexpr absl::string_view kFolder = "/proc/sys/net/ipv4/conf/";
  PairSetting pair;
  FL_ASSIGN_OR_RETURN(pair.all,
                      ReadNumber(absl::StrCat(kFolder, "all/", setting)));
  FL_ASSIGN_OR_RETURN(pair.interface, ReadNumber(absl::StrCat(
                                          kFolder, interface, "/", setting)));
  return pair;
}

// --- sockets ---

struct FolderCloser {
  void operator()(DIR* folder) const { closedir(folder); }
};
using Folder = std::unique_ptr<DIR, FolderCloser>;

bool HoldsSocket(const std::string& pid, const std::string& link) {
  const std::string path = absl::StrCat("/proc/", pid, "/fd");
  const Folder folder(opendir(path.c_str()));
  if (folder == nullptr) return false;
  while (const dirent* entry = readdir(folder.get())) {
    std::array<char, 64> target = {};
    const ssize_t size = readlinkat(dirfd(folder.get()), entry->d_name,
                                    target.data(), target.size());
    if (size > 0 &&
        link == absl::string_view(target.data(), static_cast<size_t>(size)))
      return true;
  }
  return false;
}

// The first process that has the socket open; none if it is the kernel's.
UdpSocket FindOwner(const UdpSocketInode& socket) {
  UdpSocket found;
  found.ipv4 = socket.ipv4;
  const std::string link = absl::StrCat("socket:[", socket.inode, "]");
  const Folder folder(opendir("/proc"));
  if (folder == nullptr || socket.inode == 0) return found;
  while (const dirent* entry = readdir(folder.get())) {
    uint32_t pid = 0;
    if (!absl::SimpleAtoi(entry->d_name, &pid) ||
        !HoldsSocket(entry->d_name, link))
      continue;
    std::ifstream file(absl::StrCat("/proc/", pid, "/comm"));
    std::string name;
    std::getline(file, name);
    found.pid = pid;
    found.process = absl::StrCat(name, " (pid ", pid, ")");
    return found;
  }
  return found;
}

// --- the program ---

absl::StatusOr<XdpFacts> ReadXdp(const FactsOptions& options) {
  XdpFacts xdp;
  FL_ASSIGN_OR_RETURN(const datapath::Interface interface,
                      datapath::FindInterface(options.interface));
  FL_ASSIGN_OR_RETURN(xdp.attached, datapath::QueryXdp(interface));
  if (!xdp.attached.has_value()) return xdp;
  xdp.attached_name = datapath::ProgramName(xdp.attached->id);
  xdp.attached_tag = ProgramTag(xdp.attached->id);
  FL_ASSIGN_OR_RETURN(
      const std::vector<datapath::PinnedLink> links,
      datapath::FindPinnedLinks(LayoutFolder(options.pin_path)));
  for (const datapath::PinnedLink& link : links)
    if (link.interface == interface.index) xdp.linked_program = link.program;
  FL_ASSIGN_OR_RETURN(xdp.own_tag, OwnProgramTag());
  return xdp;
}

bool HasUnit() {
  if (access("/run/systemd/system", F_OK) != 0) return false;
  for (const char* const folder : kUnitFolders)
    if (access(absl::StrCat(folder, "/fairlead-agent.service").c_str(), F_OK) ==
        0)
      return true;
  return false;
}

}  // namespace

absl::StatusOr<Facts> GatherFacts(const FactsOptions& options) {
  Facts facts;
  facts.interface = options.interface;
  facts.has_unit = HasUnit();
  FL_RETURN_IF_ERROR(ReadInterface(facts));
  if (!facts.interface_exists) return facts;
  FL_ASSIGN_OR_RETURN(facts.addresses, ReadAddresses());
  FL_ASSIGN_OR_RETURN(facts.arp_ignore,
                      ReadPair(options.interface, "arp_ignore"));
  FL_ASSIGN_OR_RETURN(facts.arp_announce,
                      ReadPair(options.interface, "arp_announce"));
  FL_ASSIGN_OR_RETURN(facts.rp_filter,
                      ReadPair(options.interface, "rp_filter"));
  FL_ASSIGN_OR_RETURN(facts.default_routes, ReadDefaultRoutes());
  FL_ASSIGN_OR_RETURN(facts.listeners, ReadTcpListeners());
  FL_ASSIGN_OR_RETURN(const std::vector<UdpSocketInode> sockets,
                      ReadUdpSockets(options.gue_port));
  for (const UdpSocketInode& socket : sockets)
    facts.gue_sockets.push_back(FindOwner(socket));
  FL_ASSIGN_OR_RETURN(facts.xdp, ReadXdp(options));
  return facts;
}

}  // namespace fairlead::agent
