#include "datapath/table_memory.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace fairlead::datapath {
namespace {

constexpr uint64_t kMiB = 1u << 20;

// A folder of files like those of a host.
class Files {
 public:
  Files() {
    char name[] = "/tmp/fl_table_memory_XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    root_ = name;
    Put("meminfo", "MemTotal: 1000 kB\nMemAvailable:     204800 kB\n");
  }
  ~Files() { std::filesystem::remove_all(root_); }

  void Put(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = root_ + "/" + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  MemoryRoom Room() const {
    auto room = FindMemoryRoom(root_, root_ + "/cg");
    REQUIRE(room.ok());
    return *room;
  }
  const std::string& root() const { return root_; }

 private:
  std::string root_;
};

uint64_t Sum(const std::vector<TableBytes>& tables) {
  uint64_t sum = 0;
  for (const TableBytes& table : tables) sum += table.bytes;
  return sum;
}

}  // namespace

TEST_CASE("a million flows at half load are 32 MiB", "[datapath][memory]") {
  const auto tables =
      BytesOf({.flow_buckets = (1u << 21) / 4}, 2, {"fl_flows"});
  REQUIRE(tables.size() == 1);
  CHECK(tables[0].bytes == 32 * kMiB);
  CHECK(tables[0].arithmetic == "flows = 2097152 slots x 16 bytes = 32.0 MiB");
}

TEST_CASE(
    "all but the flow table of 100 services of 10 backends is below 20 MB",
    "[datapath][memory]") {
  const int cpus = GENERATE(2, 64);
  // A thousand backends, and as many ids that may be in quarantine.
  const core::TableSizes sizes = {
      .services = 128, .backends = 2048, .rows = 100 * 1024, .flow_buckets = 2};
  const uint64_t bytes = Sum(BytesOf(sizes, cpus));
  INFO(cpus << " CPUs: " << bytes << " bytes");
  CHECK(bytes < 20'000'000);
}

TEST_CASE("each table says its arithmetic", "[datapath][memory]") {
  const auto tables = BytesOf({}, 4);
  REQUIRE(tables.size() == 6);
  CHECK(tables[1].arithmetic == "rows = 1048576 x 16 bytes = 16.0 MiB");
  CHECK(tables[2].arithmetic ==
        "backends = 4096 on 4 CPUs x 392 bytes = 1.5 MiB");
  CHECK(tables[3].arithmetic ==
        "services = 512 on 4 CPUs x 952 bytes = 476.0 KiB");
  CHECK(tables[4].arithmetic == "prefixes = 4096 x 384 bytes = 1.5 MiB");
  CHECK(tables[5].arithmetic == "sources = 65536 x 16 bytes = 1.0 MiB");
}

TEST_CASE("connections of sources take memory only where they are counted",
          "[datapath][memory]") {
  core::TableSizes sizes;
  const auto without = BytesOf(sizes, 4);
  sizes.conn_sets = 512;
  const auto with = BytesOf(sizes, 4);
  REQUIRE(with.size() == 7);
  CHECK(with[6].arithmetic == "counted_sources = 4096 x 8 bytes = 32.0 KiB");
  CHECK(without[0].arithmetic == "flows = 1048576 slots x 16 bytes = 16.0 MiB");
  CHECK(with[0].arithmetic == "flows = 1048576 slots x 20 bytes = 20.0 MiB");
}

TEST_CASE("room is what the host has available", "[datapath][memory]") {
  const Files files;
  CHECK(files.Room().bytes == 200 * kMiB);
  CHECK(files.Room().source ==
        absl::StrCat("MemAvailable of ", files.root(), "/meminfo"));
}

TEST_CASE("room is the least that a cgroup leaves", "[datapath][memory]") {
  const Files files;
  SECTION("of version 2") {
    files.Put("self/cgroup", "0::/a.slice/b.service\n");
    files.Put("cg/a.slice/memory.max", "104857600\n");
    files.Put("cg/a.slice/memory.current", "52428800\n");
    files.Put("cg/a.slice/memory.stat", "anon 1\ninactive_file 10485760\n");
    files.Put("cg/a.slice/b.service/memory.max", "max\n");
    files.Put("cg/a.slice/b.service/memory.current", "1\n");
    CHECK(files.Room().source ==
          absl::StrCat(files.root(),
                       "/cg/a.slice/memory.max of 100.0 MiB, of "
                       "which 40.0 MiB are used"));
  }
  SECTION("of version 1") {
    files.Put("self/cgroup", "9:name=systemd:/\n4:memory:/x\n");
    files.Put("cg/memory/x/memory.limit_in_bytes", "104857600\n");
    files.Put("cg/memory/x/memory.usage_in_bytes", "41943040\n");
  }
  CHECK(files.Room().bytes == 60 * kMiB);
}

TEST_CASE("tables that would take all memory are refused with what would fit",
          "[datapath][memory]") {
  const core::TableSizes sizes = {.rows = 1u << 20, .flow_buckets = 1u << 20};
  const auto tables = BytesOf(sizes, 2, {"fl_flows", "fl_rows"});
  CHECK(CheckMemory(tables, {100 * kMiB, "x"}).ok());
  const absl::Status status = CheckMemory(tables, {80 * kMiB, "x"});
  CHECK(absl::IsResourceExhausted(status));
  CHECK(status.message() ==
        "the tables do not fit into memory: flows = 4194304 slots x 16 bytes = "
        "64.0 MiB, rows = 1048576 x 16 bytes = 16.0 MiB; that is 80.0 MiB to "
        "be taken, and of 80.0 MiB (x) seven eighths are for tables, 70.0 MiB; "
        "lower flows in section [tables] of the node config (2097152 would "
        "fit), or give more memory");
}

TEST_CASE("a host that does not tell its memory is an error",
          "[datapath][memory]") {
  CHECK_FALSE(FindMemoryRoom("/nowhere", "/nowhere").ok());
}

}  // namespace fairlead::datapath
