#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "datapath/program.h"
#include "datapath/shared_tables.h"
#include "tests/packet/datapath_options.h"
#include "tests/packet/host_sandbox.h"

namespace fairlead::test {
namespace {

using datapath::Program;
using datapath::XdpMode;

constexpr uint64_t kMark = 0x0004000300020001;

struct Host {
  BpfFsSandbox bpffs;
  NetnsSandbox netns;
  uint32_t lb0 = AddVeth("lb0", "rt0");

  static bool HasFolder() { return std::filesystem::exists(kPinPath); }
};

std::string ErrorOf(datapath::ProgramOptions options) {
  const auto program = Program::Open(std::move(options));
  REQUIRE_FALSE(program.ok());
  return std::string(program.status().message());
}

bool Has(const std::string& text, const std::string& part) {
  return absl::StrContains(text, part);
}

}  // namespace

TEST_CASE("a first start attaches to its interfaces and adopts nothing",
          "[datapath][program]") {
  Host host;
  const uint32_t lb1 = AddVeth("lb1", "rt1");
  auto program = MustOpen(Options({"lb0", "lb1"}));
  CHECK_FALSE(program->adopted());
  CHECK(program->notes().empty());
  REQUIRE(program->attachments().size() == 2);
  for (const datapath::Attachment& attachment : program->attachments()) {
    CHECK(attachment.mode == XdpMode::kNative);
    CHECK_FALSE(attachment.taken_over);
  }
  CHECK(XdpProgramOn(host.lb0) != 0);
  CHECK(XdpProgramOn(host.lb0) == XdpProgramOn(lb1));
}

TEST_CASE("the program stays on its interfaces when the daemon is gone",
          "[datapath][program]") {
  Host host;
  MustOpen(Options({"lb0"}));
  CHECK(XdpProgramOn(host.lb0) != 0);
}

TEST_CASE("the next start takes over tables and links, with a new program",
          "[datapath][program]") {
  Host host;
  auto program = MustOpen(Options({"lb0"}));
  TablesOf(*program)->StoreCandidates(7, kMark);
  const uint32_t first = XdpProgramOn(host.lb0);
  program.reset();

  program = MustOpen(Options({"lb0"}));
  CHECK(program->adopted());
  CHECK(program->attachments().at(0).taken_over);
  CHECK(TablesOf(*program)->ReadRow(7).candidates == kMark);
  CHECK(XdpProgramOn(host.lb0) != 0);
  CHECK(XdpProgramOn(host.lb0) != first);
}

TEST_CASE("generic mode is used only if it is asked for",
          "[datapath][program]") {
  Host host;
  auto options = Options({"lb0"});
  options.mode = XdpMode::kGeneric;
  auto program = MustOpen(options);
  CHECK(program->attachments().at(0).mode == XdpMode::kGeneric);
  const auto attached =
      datapath::QueryXdp({.name = "lb0", .index = host.lb0}).value();
  REQUIRE(attached.has_value());
  CHECK(attached->mode == XdpMode::kGeneric);

  SECTION("a link that is there keeps its mode, and that is said") {
    program.reset();
    program = MustOpen(Options({"lb0"}));
    CHECK(program->attachments().at(0).mode == XdpMode::kGeneric);
    REQUIRE(program->notes().size() == 1);
    CHECK(Has(program->notes()[0], "lb0 stays in generic mode"));
  }
}

TEST_CASE("a second daemon is refused and told who holds the pin folder",
          "[datapath][program]") {
  Host host;
  const auto program = MustOpen(Options({"lb0"}));
  CHECK(ErrorOf(Options({"lb0"})) == absl::StrCat("another fairleadd (pid ",
                                                  getpid(), ") holds ",
                                                  kPinPath));
  CHECK_FALSE(Program::DetachFolder(kPinPath).ok());
}

TEST_CASE("another XDP program on the interface is named and left alone",
          "[datapath][program]") {
  Host host;
  const base::UniqueFd other = LoadPassProgram("other_xdp");
  const XdpMode mode = GENERATE(XdpMode::kNative, XdpMode::kGeneric);
  const uint32_t flags =
      mode == XdpMode::kNative ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
  REQUIRE(bpf_xdp_attach(static_cast<int>(host.lb0), other.get(), flags,
                         nullptr) == 0);
  const uint32_t id = XdpProgramOn(host.lb0);
  const std::string error = ErrorOf(Options({"lb0"}));
  CHECK(Has(error, absl::StrCat("id ", id, " name \"other_xdp\"")));
  CHECK(Has(error, "ip link set dev lb0 xdp"));
  CHECK(XdpProgramOn(host.lb0) == id);
  CHECK_FALSE(Host::HasFolder());
}

TEST_CASE("a missing interface is named, with those that exist",
          "[datapath][program]") {
  Host host;
  // A kernel with tunnels has one of each in every namespace.
  CHECK_THAT(ErrorOf(Options({"lb0", "eth7"})),
             Catch::Matchers::Matches("no interface eth7 \\(have: "
                                      "(\\w+, )*lb0, lo, rt0(, \\w+)*\\)"));
  CHECK(XdpProgramOn(host.lb0) == 0);
  CHECK_FALSE(Host::HasFolder());
}

TEST_CASE("a pinned map of another shape is refused, naming both shapes",
          "[datapath][program]") {
  Host host;
  const base::UniqueFd map(
      bpf_map_create(BPF_MAP_TYPE_HASH, "fl_rows", 4, 24, 1024, nullptr));
  REQUIRE(map.valid());
  std::filesystem::create_directories(kLayout);
  const std::string pin = absl::StrCat(kLayout, "/fl_rows");
  REQUIRE(bpf_obj_pin(map.get(), pin.c_str()) == 0);
  const std::string error = ErrorOf(Options({"lb0"}));
  CAPTURE(error);
  CHECK(Has(error, pin));
  CHECK(Has(error, "is a hash map, keys of 4 and values of 24 bytes"));
  CHECK(Has(error, "wanted is a array map, keys of 4 and values of 16 bytes"));
}

TEST_CASE("a folder of another layout version is refused by name",
          "[datapath][program]") {
  Host host;
  const std::string folder = absl::StrCat(kPinPath, "/v1");
  std::filesystem::create_directories(folder);
  SECTION("it holds a map") {
    const base::UniqueFd map(
        bpf_map_create(BPF_MAP_TYPE_ARRAY, "fl_rows", 4, 8, 1, nullptr));
    const std::string pin = absl::StrCat(folder, "/fl_rows");
    REQUIRE(bpf_obj_pin(map.get(), pin.c_str()) == 0);
    const std::string error = ErrorOf(Options({"lb0"}));
    CHECK(Has(error, folder));
    CHECK(Has(error, absl::StrCat("rm -r ", folder)));
    CHECK(XdpProgramOn(host.lb0) == 0);
    CHECK(std::filesystem::exists(pin));
  }
  SECTION("an empty one is in nobody's way") {
    MustOpen(Options({"lb0"}));
    CHECK_FALSE(std::filesystem::exists(folder));
  }
}

TEST_CASE("a pin folder that is on no BPF file system is refused",
          "[datapath][program]") {
  Host host;
  auto options = Options({"lb0"});
  options.pin_path = "/proc/fairlead/pins";
  CHECK(Has(ErrorOf(options), "mount -t bpf bpf /sys/fs/bpf"));
}

TEST_CASE("sizes that no table can have are refused", "[datapath][program]") {
  Host host;
  auto options = Options({"lb0"});
  options.sizes.flow_buckets = 100;
  CHECK(Has(ErrorOf(options), "flow_buckets = 100 is no power of two"));
  options.sizes.flow_buckets = 256;
  options.sizes.backends = 65537;
  CHECK(Has(ErrorOf(options), "backends = 65537 is not in 2..65536"));
  CHECK_FALSE(Host::HasFolder());
}

TEST_CASE("an interface that is configured no more is let go",
          "[datapath][program]") {
  Host host;
  const uint32_t lb1 = AddVeth("lb1", "rt1");
  MustOpen(Options({"lb0", "lb1"}));
  const auto program = MustOpen(Options({"lb0"}));
  CHECK(XdpProgramOn(host.lb0) != 0);
  CHECK(XdpProgramOn(lb1) == 0);
  REQUIRE(program->notes().size() == 1);
  CHECK(program->notes()[0] ==
        "detached from lb1, which is not configured any more");
}

TEST_CASE("an interface that was made anew is attached to again",
          "[datapath][program]") {
  Host host;
  MustOpen(Options({"lb0"}));
  RunCommand("ip link del lb0");
  const uint32_t lb0 = AddVeth("lb0", "rt0");
  const auto program = MustOpen(Options({"lb0"}));
  CHECK(program->adopted());
  CHECK_FALSE(program->attachments().at(0).taken_over);
  CHECK(XdpProgramOn(lb0) != 0);
  REQUIRE(program->notes().size() == 1);
  CHECK(Has(program->notes()[0], "its interface is gone"));
}

TEST_CASE("a link of another network namespace is not taken for one's own",
          "[datapath][program]") {
  Host host;
  MustOpen(Options({"lb0"}));
  const NetnsSandbox elsewhere;
  AddVeth("lb0", "rt0");
  REQUIRE(if_nametoindex("lb0") == host.lb0);
  CHECK(Has(ErrorOf(Options({"lb0"})), "of another network namespace"));
  CHECK(XdpProgramOn(host.lb0) == 0);
}

TEST_CASE("a start that fails half-way takes back what it did",
          "[datapath][program]") {
  Host host;
  AddVeth("lb1", "rt1");
  // Native XDP on a veth needs each frame of the peer in one page.
  RunCommand("ip link set rt1 mtu 9000");
  const std::string error = ErrorOf(Options({"lb0", "lb1"}));
  CAPTURE(error);
  CHECK(Has(error, "attach the XDP program to lb1 in native mode"));
  CHECK(Has(error, "lower the MTU, or choose xdp mode generic"));
  CHECK(XdpProgramOn(host.lb0) == 0);
  CHECK_FALSE(Host::HasFolder());
}

TEST_CASE("a map whose pin was removed begins empty, and that is said",
          "[datapath][program]") {
  Host host;
  MustOpen(Options({"lb0"}));
  REQUIRE(unlink(absl::StrCat(kLayout, "/fl_load").c_str()) == 0);
  const auto program = MustOpen(Options({"lb0"}));
  CHECK(program->adopted());
  REQUIRE(program->notes().size() == 1);
  CHECK(program->notes()[0] ==
        "pinned map fl_load was missing and begins empty");
  CHECK(std::filesystem::exists(absl::StrCat(kLayout, "/fl_load")));
}

TEST_CASE("detach takes the program off and leaves no pin",
          "[datapath][program]") {
  Host host;
  const uint32_t lb1 = AddVeth("lb1", "rt1");
  auto program = MustOpen(Options({"lb0", "lb1"}));
  SECTION("by the daemon") {
    REQUIRE(program->Detach().ok());
    // The tables can still be read.
    TablesOf(*program);
  }
  SECTION("without one") {
    program.reset();
    REQUIRE(Program::DetachFolder(kPinPath).ok());
  }
  CHECK(XdpProgramOn(host.lb0) == 0);
  CHECK(XdpProgramOn(lb1) == 0);
  CHECK_FALSE(Host::HasFolder());
}

// The hook ends Open() after a step and leaves all as it is, as a kill does:
// the kernel closes the file descriptors then, and so do the destructors here.
TEST_CASE("a start killed after any step is made up for by the next",
          "[datapath][program][kill]") {
  Host host;
  const uint32_t lb1 = AddVeth("lb1", "rt1");
  int step = 0;
  for (bool finished = false; !finished; ++step) {
    auto options = Options({"lb0", "lb1"});
    options.stop_after = StopAtStep(step);
    finished = Program::Open(options).ok();
    INFO("killed after step " << step);
    auto program = MustOpen(Options({"lb0", "lb1"}));
    CHECK(XdpProgramOn(host.lb0) != 0);
    CHECK(XdpProgramOn(lb1) == XdpProgramOn(host.lb0));
    TablesOf(*program);
    REQUIRE(program->Detach().ok());
    CHECK_FALSE(Host::HasFolder());
    CHECK(XdpProgramOn(host.lb0) == 0);
  }
  CHECK(step > 12);
}

TEST_CASE("an upgrade killed after any step loses neither tables nor program",
          "[datapath][program][kill]") {
  Host host;
  const uint32_t lb1 = AddVeth("lb1", "rt1");
  const uint32_t lb2 = AddVeth("lb2", "rt2");
  int step = 0;
  for (bool finished = false; !finished; ++step) {
    auto program = MustOpen(Options({"lb0", "lb1"}));
    TablesOf(*program)->StoreCandidates(7, kMark);
    program.reset();
    auto options = Options({"lb0", "lb2"});
    options.stop_after = StopAtStep(step);
    finished = Program::Open(options).ok();
    INFO("killed after step " << step);
    CHECK(XdpProgramOn(host.lb0) != 0);

    program = MustOpen(Options({"lb0", "lb2"}));
    CHECK(program->adopted());
    CHECK(TablesOf(*program)->ReadRow(7).candidates == kMark);
    CHECK(XdpProgramOn(host.lb0) == XdpProgramOn(lb2));
    CHECK(XdpProgramOn(lb1) == 0);
    REQUIRE(program->Detach().ok());
  }
  CHECK(step > 5);
}

TEST_CASE("a detach killed after any step can be repeated or undone",
          "[datapath][program][kill]") {
  Host host;
  AddVeth("lb1", "rt1");
  int step = 0;
  for (bool finished = false; !finished; ++step) {
    auto program = MustOpen(Options({"lb0", "lb1"}));
    finished = program->Detach(StopAtStep(step)).ok();
    program.reset();
    INFO("killed after step " << step);
    if (step % 2 == 0) {
      program = MustOpen(Options({"lb0", "lb1"}));
      CHECK(XdpProgramOn(host.lb0) != 0);
      program.reset();
    }
    REQUIRE(Program::DetachFolder(kPinPath).ok());
    CHECK(XdpProgramOn(host.lb0) == 0);
    CHECK_FALSE(Host::HasFolder());
  }
  CHECK(step > 3);
}

}  // namespace fairlead::test
