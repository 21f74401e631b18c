// The options that the tests of userspace/datapath open a Program with, a way
// to kill it at a chosen point, and a Program and its tables that must open.
#pragma once

#include <arpa/inet.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "datapath/program.h"
#include "datapath/shared_tables.h"
#include "tests/support/bpf_fixture.h"

namespace fairlead::test {

inline constexpr char kPinPath[] = "/sys/fs/bpf/fairlead";
inline constexpr char kLayout[] = "/sys/fs/bpf/fairlead/v5";

inline core::TableSizes SmallTables() {
  return {.services = 8, .backends = 64, .rows = 1024, .flow_buckets = 256};
}

inline fl_config NodeConfig() {
  fl_config config = {};
  std::memcpy(config.hash_key, kHashKey.data(), sizeof(config.hash_key));
  std::memcpy(config.node_address, kNode4.bytes().data(), 16);
  std::memcpy(config.node_address6, kNode6.bytes().data(), 16);
  config.lb_id = kLbId;
  config.gue_port = htons(6080);
  config.timeouts = kTimeouts;
  return config;
}

inline datapath::ProgramOptions Options(std::vector<std::string> interfaces) {
  return {.pin_path = kPinPath,
          .interfaces = std::move(interfaces),
          .mode = datapath::XdpMode::kNative,
          .sizes = SmallTables(),
          .config = NodeConfig(),
          .now_tick = NowTick(),
          .room = std::nullopt,
          .stop_after = nullptr};
}

inline datapath::ProgramOptions Sized(const core::TableSizes& sizes) {
  auto options = Options({"lb0"});
  options.sizes = sizes;
  return options;
}

// Stops after `step` steps: 0 is the first.
inline datapath::StopAfter StopAtStep(int step) {
  return [step](absl::string_view) mutable { return step-- == 0; };
}

inline std::unique_ptr<datapath::Program> MustOpen(
    datapath::ProgramOptions options) {
  auto program = datapath::Program::Open(std::move(options));
  INFO(program.status().ToString());
  REQUIRE(program.ok());
  return std::move(program).value();
}

inline std::unique_ptr<datapath::SharedTables> TablesOf(
    const datapath::MapFds& maps,
    const core::TableSizes& sizes = SmallTables()) {
  auto tables = datapath::SharedTables::Open(maps, sizes);
  INFO(tables.status().ToString());
  REQUIRE(tables.ok());
  return std::move(tables).value();
}

inline std::unique_ptr<datapath::SharedTables> TablesOf(
    const datapath::Program& program,
    const core::TableSizes& sizes = SmallTables()) {
  return TablesOf(program.maps(), sizes);
}

}  // namespace fairlead::test
