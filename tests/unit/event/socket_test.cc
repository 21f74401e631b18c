#include "event/socket.h"

#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "tests/unit/event/socket_pair.h"
#include "tests/unit/event/temp_folder.h"

namespace fairlead::event {
namespace {

using base::Endpoint;
using Catch::Matchers::Contains;

TEST_CASE("a socket address prints as it is written", "[event][socket]") {
  for (const char* text : {"192.0.2.1:443", "[2001:db8::1]:80"}) {
    absl::StatusOr<Endpoint> endpoint = Endpoint::Parse(text);
    REQUIRE(endpoint.ok());
    CHECK(SocketAddress(*endpoint).ToString() == text);
  }
  CHECK(SocketAddress(Endpoint::Parse("192.0.2.1:443")->address).family() ==
        AF_INET);
  CHECK(SocketAddress::FromUnixPath("/run/x.sock")->ToString() ==
        "/run/x.sock");
}

TEST_CASE("a path that fits no socket address is refused", "[event][socket]") {
  CHECK(SocketAddress::FromUnixPath(std::string(107, 'a')).ok());
  CHECK(absl::IsInvalidArgument(
      SocketAddress::FromUnixPath(std::string(108, 'a')).status()));
  CHECK(absl::IsInvalidArgument(SocketAddress::FromUnixPath("").status()));
  CHECK(absl::IsInvalidArgument(
      SocketAddress::FromUnixPath(absl::string_view("a\0b", 3)).status()));
}

TEST_CASE("the socket file of a dead process is replaced", "[event][socket]") {
  const TempFolder folder;
  const std::string path = folder.File("control.sock");
  {
    absl::StatusOr<base::UniqueFd> first = ListenUnix(path, 0600);
    REQUIRE(first.ok());
  }
  REQUIRE(access(path.c_str(), F_OK) == 0);
  absl::StatusOr<base::UniqueFd> second = ListenUnix(path, 0660);
  REQUIRE(second.ok());
  struct stat info = {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0660);
}

TEST_CASE("the socket of a living process is left alone", "[event][socket]") {
  const TempFolder folder;
  const std::string path = folder.File("control.sock");
  absl::StatusOr<base::UniqueFd> first = ListenUnix(path, 0600);
  REQUIRE(first.ok());
  absl::StatusOr<base::UniqueFd> second = ListenUnix(path, 0600);
  CHECK(absl::IsFailedPrecondition(second.status()));
  CHECK_THAT(std::string(second.status().message()),
             Contains("another process is listening on " + path));

  absl::StatusOr<SocketAddress> address = SocketAddress::FromUnixPath(path);
  REQUIRE(address.ok());
  absl::StatusOr<base::UniqueFd> client = UnixSocket();
  REQUIRE(client.ok());
  CHECK(connect(client->get(), address->data(), address->size()) == 0);
}

TEST_CASE("a file that is no socket is left alone", "[event][socket]") {
  const TempFolder folder;
  const std::string path = folder.File("precious");
  std::ofstream(path) << "content";
  absl::StatusOr<base::UniqueFd> fd = ListenUnix(path, 0600);
  CHECK(absl::IsFailedPrecondition(fd.status()));
  CHECK_THAT(std::string(fd.status().message()), Contains("not a socket"));
  CHECK(access(path.c_str(), F_OK) == 0);
}

TEST_CASE("the peer of a unix socket is known", "[event][socket]") {
  SocketPair pair;
  absl::StatusOr<PeerCredentials> peer = ReadPeerCredentials(pair.near.get());
  REQUIRE(peer.ok());
  CHECK(peer->pid == getpid());
  CHECK(peer->uid == getuid());
  CHECK(peer->gid == getgid());
  CHECK(peer->groups.size() == static_cast<size_t>(getgroups(0, nullptr)));
}

TEST_CASE("both ends of a tcp connection are known", "[event][socket]") {
  const Endpoint any_port = {base::IpAddress::FromIpv4(INADDR_LOOPBACK), 0};
  absl::StatusOr<base::UniqueFd> listener = ListenTcp(any_port);
  REQUIRE(listener.ok());
  absl::StatusOr<Endpoint> bound = LocalEndpoint(listener->get());
  REQUIRE(bound.ok());
  CHECK(bound->address == any_port.address);
  CHECK(bound->port != 0);

  const SocketAddress address(*bound);
  absl::StatusOr<base::UniqueFd> client = SocketFor(address);
  REQUIRE(client.ok());
  REQUIRE(connect(client->get(), address.data(), address.size()) == 0);
  CHECK(PeerEndpoint(client->get()).value() == *bound);
  SocketPair pair;
  CHECK_FALSE(PeerEndpoint(pair.near.get()).ok());
}

TEST_CASE("a bind that fails names the address", "[event][socket]") {
  absl::StatusOr<base::UniqueFd> fd =
      ListenTcp(Endpoint::Parse("192.0.2.1:80").value());
  CHECK_THAT(std::string(fd.status().message()), Contains("192.0.2.1:80"));
}

}  // namespace
}  // namespace fairlead::event
