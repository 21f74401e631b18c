// The lists of who may open connections, in the program's trie: written whole
// before a packet meets them, taken over by the next daemon.
#include <bpf/bpf.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "datapath/loader.h"
#include "datapath/program.h"
#include "datapath/shared_tables.h"
#include "datapath/stats.h"
#include "tests/packet/datapath_options.h"
#include "tests/packet/host_sandbox.h"
#include "tests/support/bpf_run.h"

namespace fairlead::test {
namespace {

using core::SourceList;
using core::SourceRule;
using datapath::Program;
using datapath::SharedTables;

constexpr uint16_t kWebId = 3;
const base::Endpoint kVip = {kVip4, kVipPort};

base::IpPrefix Prefix(const std::string& text) {
  return base::IpPrefix::Parse(text).value();
}

core::TableSizes Sizes(uint32_t prefixes = 16) {
  core::TableSizes sizes = SmallTables();
  sizes.prefixes = prefixes;
  return sizes;
}

core::ServiceEntry Entry(const SourceList& sources, uint16_t id = kWebId) {
  return {.id = id, .rows_base = 256, .rows = 256, .sources = sources};
}

// So many of that rule, from 192.0.2.N on.
SourceList Many(int count, SourceRule rule, int first = 0) {
  SourceList list;
  for (int i = first; i < first + count; ++i)
    list[Prefix(absl::StrCat("192.0.2.", i))] = rule;
  return list;
}

// A host whose tables outlive each daemon.
class Host {
 public:
  explicit Host(const core::TableSizes& sizes = Sizes()) {
    AddVeth("lb0", "rt0");
    Start(sizes);
  }

  // Another daemon, after the one that runs is gone.
  absl::Status TryStart(const core::TableSizes& sizes) {
    tables_.reset();
    program_.reset();
    auto program = Program::Open(Sized(sizes));
    if (program.ok()) program_ = std::move(program).value();
    return program.status();
  }
  void Start(const core::TableSizes& sizes) {
    const absl::Status status = TryStart(sizes);
    INFO(status.ToString());
    REQUIRE(status.ok());
    tables_ = TablesOf(*program_, sizes);
  }

  SharedTables& tables() { return *tables_; }
  Program& program() { return *program_; }
  void Put(const SourceList& sources, uint16_t id = kWebId) {
    const absl::Status status = tables_->PutService(
        {kVip4, static_cast<uint16_t>(kVipPort + id)}, Entry(sources, id));
    INFO(status.ToString());
    REQUIRE(status.ok());
  }
  // Of the service, by a SYN that is run.
  bool Admits(const std::string& source, uint16_t id = kWebId) const {
    const Packet syn = Eth{} / Ipv4{.src = Ip(source)} /
                       Tcp{.sport = 7,
                           .dport = static_cast<uint16_t>(kVipPort + id),
                           .syn = true};
    const uint64_t before = Denied();
    REQUIRE(TestRun(program_->program_fd(), syn.Wire(), {}).error == 0);
    return Denied() == before;
  }
  uint64_t Denied() const {
    return datapath::Stats(program_->maps())
        .Verdicts()
        .value()[FL_LB_DROP_DENIED];
  }
  // Entries in the trie, of all lists.
  int Entries() const {
    int entries = 0;
    fl_prefix_key key = {};
    const int map = program_->maps().prefixes;
    int result = bpf_map_get_next_key(map, nullptr, &key);
    for (; result == 0; result = bpf_map_get_next_key(map, &key, &key))
      ++entries;
    CHECK(result == -ENOENT);
    return entries;
  }

 private:
  BpfFsSandbox bpffs_;
  NetnsSandbox netns_;
  std::unique_ptr<Program> program_;
  std::unique_ptr<SharedTables> tables_;
};

TEST_CASE("a changed list takes the place of the one in force",
          "[datapath][sources]") {
  Host host;
  host.Put({});
  CHECK(host.Admits("192.0.2.0"));
  host.Put({{Prefix("192.0.2.0/24"), SourceRule::kDeny}});
  CHECK_FALSE(host.Admits("192.0.2.0"));
  CHECK(host.Admits("203.0.113.7"));
  host.Put({{Prefix("192.0.2.0/25"), SourceRule::kAllow}});
  CHECK(host.Admits("192.0.2.0"));
  CHECK_FALSE(host.Admits("192.0.2.200"));
  CHECK_FALSE(host.Admits("203.0.113.7"));
  host.Put({});
  CHECK(host.Admits("203.0.113.7"));
  host.Put({{Prefix("0.0.0.0/0"), SourceRule::kDeny}});
  CHECK_FALSE(host.Admits("203.0.113.7"));
  CHECK(host.Entries() == 1);
  CHECK_FALSE(host.Admits("203.0.113.7"));
}

TEST_CASE("a list that does not change is not written", "[datapath][sources]") {
  Host host;
  host.Put(Many(3, SourceRule::kDeny));
  core::ServiceEntry entry = Entry(Many(3, SourceRule::kDeny));
  entry.choices = 2;
  const base::Endpoint vip = {kVip4, kVipPort + kWebId};
  REQUIRE(host.tables().PutService(vip, entry).ok());
  CHECK(host.Entries() == 3);
  CHECK_FALSE(host.Admits("192.0.2.2"));
}

TEST_CASE("a deleted service's lists go, and its id's next owner has its own",
          "[datapath][sources]") {
  Host host;
  host.Put(Many(3, SourceRule::kDeny));
  core::ServiceEntry tombstone = {.id = kWebId, .tombstone = true};
  const base::Endpoint vip = {kVip4, kVipPort + kWebId};
  REQUIRE(host.tables().PutService(vip, tombstone).ok());
  host.tables().RemoveService(vip);
  host.Put({{Prefix("203.0.113.7"), SourceRule::kDeny}});
  CHECK(host.Admits("192.0.2.0"));
  CHECK_FALSE(host.Admits("203.0.113.7"));
  CHECK(host.Entries() == 1);
}

TEST_CASE("the next daemon finds the lists, and removes what nobody uses",
          "[datapath][sources]") {
  Host host;
  host.Put(Many(3, SourceRule::kAllow));
  host.Put(Many(2, SourceRule::kAllow, 1));
  host.Put(Many(4, SourceRule::kDeny), kWebId + 1);
  CHECK(host.Entries() == 6);
  // A daemon was killed before it wrote the entry.
  for (const uint8_t list : {uint8_t{1}, uint8_t{0}, uint8_t{3}}) {
    fl_prefix_key key = {};
    key.bits = 40;
    key.service = kWebId;
    key.list = list;
    key.address[0] = list + 1u;
    const uint32_t allow = FL_PREFIX_ALLOW;
    REQUIRE(bpf_map_update_elem(host.program().maps().prefixes, &key, &allow,
                                BPF_ANY) == 0);
  }
  host.Start(Sizes());
  CHECK(host.Entries() == 6);
  CHECK(host.Admits("192.0.2.1"));
  CHECK_FALSE(host.Admits("192.0.2.0"));
  CHECK_FALSE(host.Admits("192.0.2.0", kWebId + 1));
  // It knows them: the same again writes nothing.
  host.Put(Many(2, SourceRule::kAllow, 1));
  host.Put(Many(4, SourceRule::kDeny), kWebId + 1);
  CHECK(host.Entries() == 6);
  host.Put({});
  CHECK(host.Admits("192.0.2.0"));
}

TEST_CASE("a list that finds no room is refused, and the old one stays",
          "[datapath][sources]") {
  Host host(Sizes(4));
  host.Put(Many(3, SourceRule::kDeny));
  // Eight entries, three of which are in force.
  const base::Endpoint vip = {kVip4, kVipPort + kWebId};
  const absl::Status status =
      host.tables().PutService(vip, Entry(Many(6, SourceRule::kDeny, 10)));
  CHECK(absl::IsResourceExhausted(status));
  CHECK(
      absl::StrContains(status.message(), "into fl_prefixes: the map is full"));
  CHECK(host.Entries() == 3);
  CHECK_FALSE(host.Admits("192.0.2.0"));
  CHECK(host.Admits("192.0.2.11"));
  // What was in force before makes room.
  host.Put(Many(4, SourceRule::kDeny), kWebId + 1);
  host.Put({}, kWebId + 1);
  host.Put(Many(4, SourceRule::kDeny, 20));
  CHECK_FALSE(host.Admits("192.0.2.20"));
}

TEST_CASE("lists move into a trie of another size", "[datapath][sources]") {
  Host host(Sizes(16));
  host.Put(Many(3, SourceRule::kAllow));
  host.Put(Many(5, SourceRule::kAllow));
  SECTION("larger") { host.Start(Sizes(64)); }
  SECTION("smaller") { host.Start(Sizes(5)); }
  CHECK(host.Admits("192.0.2.4"));
  CHECK_FALSE(host.Admits("192.0.2.5"));
  CHECK(host.Entries() == 5);
}

TEST_CASE("a trie that is too small for the lists is refused",
          "[datapath][sources]") {
  Host host(Sizes(16));
  host.Put(Many(9, SourceRule::kDeny));
  const absl::Status status = host.TryStart(Sizes(4));
  CHECK(absl::IsFailedPrecondition(status));
  CHECK(absl::StrContains(status.message(), "prefixes = 4 is too small"));
  CHECK(absl::StrContains(status.message(), "needs 5 at least"));
  host.Start(Sizes(16));
  CHECK_FALSE(host.Admits("192.0.2.8"));
}

// What the old list and the new one both refuse is refused all the while, and
// what both admit is admitted: no packet meets half a list, nor the entry of
// another service in memory that its own had just now.
TEST_CASE("every packet meets a service as it was or as it is",
          "[datapath][sources]") {
  const auto [source, refused] = GENERATE(
      table<std::string, bool>({{"192.0.2.0", true}, {"203.0.113.7", false}}));
  CAPTURE(source);
  Host host(Sizes(512));
  SourceList a = Many(100, SourceRule::kDeny, 100);
  a[Prefix("192.0.2.0/31")] = SourceRule::kDeny;
  SourceList b = Many(80, SourceRule::kAllow, 20);
  b[Prefix("203.0.113.0/24")] = SourceRule::kAllow;
  b[Prefix("192.0.2.0/25")] = SourceRule::kDeny;
  host.Put(a);
  const Packet syn = Eth{} / Ipv4{.src = Ip(source)} /
                     Tcp{.sport = 7, .dport = kVipPort + kWebId, .syn = true};
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> runs = 0;
  std::thread packets([&] {
    constexpr int kRepeat = 10'000;
    while (!stop)
      if (TestRun(host.program().program_fd(), syn.Wire(), {.repeat = kRepeat})
              .error == 0)
        runs += kRepeat;
  });
  // As many changes as there is time for: thousands, if none waits for packets.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  for (int i = 0; std::chrono::steady_clock::now() < end || runs == 0; ++i) {
    host.Put(i % 2 == 0 ? b : a);
    host.Put(i % 2 == 0 ? SourceList() : b, kWebId + 1);
  }
  stop = true;
  packets.join();
  const auto verdicts =
      datapath::Stats(host.program().maps()).Verdicts().value();
  CHECK(verdicts[refused ? FL_LB_DROP_DENIED : FL_LB_DROP_NO_BACKEND] == runs);
}

}  // namespace
}  // namespace fairlead::test
