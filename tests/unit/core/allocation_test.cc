#include "core/allocation.h"

#include <catch2/catch.hpp>

namespace fairlead::core {
namespace {

constexpr TableSizes kSizes = {
    .services = 4, .backends = 5, .rows = 2048, .flow_buckets = 1};

void AddRegion(DesiredState& desired, const std::string& name, uint32_t base,
               uint32_t rows) {
  Service service;
  service.id = static_cast<ServiceId>(desired.services.size() + 1);
  service.name = name;
  service.rows_base = base;
  service.rows = rows;
  desired.services[name] = service;
}

TEST_CASE("an id is the lowest that no service and no tombstone has",
          "[core][allocation]") {
  DesiredState desired;
  CHECK(*AllocateServiceId(desired, kSizes) == 1);
  AddRegion(desired, "a", 0, 256);
  desired.tombstones[base::Endpoint{}] = {.id = 3, .name = "b", .since = {}};
  CHECK(*AllocateServiceId(desired, kSizes) == 2);
  AddRegion(desired, "c", 256, 256);
  const auto full = AllocateServiceId(desired, kSizes);
  CHECK(full.status().code() == absl::StatusCode::kResourceExhausted);
  CHECK(
      full.status().message() ==
      "the table of services is full: of 3 ids services have 2 and tombstones "
      "1; clear a tombstone or raise services in the node config");
}

TEST_CASE("an id in quarantine is not given away", "[core][allocation]") {
  DesiredState desired;
  AddRegion(desired, "a", 0, 256);
  desired.services["a"].backends["x"].id = 2;
  desired.quarantine[1] = absl::UnixEpoch();
  CHECK(*AllocateBackendId(desired, kSizes) == 3);
  desired.quarantine[3] = absl::UnixEpoch();
  desired.quarantine[4] = absl::UnixEpoch();
  CHECK(AllocateBackendId(desired, kSizes).status().code() ==
        absl::StatusCode::kResourceExhausted);
}

TEST_CASE("rows are the first free region at a multiple of its size",
          "[core][allocation]") {
  DesiredState desired;
  CHECK(*AllocateRows(desired, kSizes, 2048) == 0);
  AddRegion(desired, "a", 0, 256);
  AddRegion(desired, "b", 512, 512);
  CHECK(*AllocateRows(desired, kSizes, 256) == 256);
  CHECK(*AllocateRows(desired, kSizes, 512) == 1024);
  CHECK(*AllocateRows(desired, kSizes, 1024) == 1024);
  CHECK(AllocateRows(desired, kSizes, 2048).status().message() ==
        "no room for 2048 rows: 768 of 2048 rows are taken; ask for fewer or "
        "raise rows in the node config");
}

TEST_CASE("a desired state that does not fit these tables says what is needed",
          "[core][allocation]") {
  DesiredState desired;
  AddRegion(desired, "a", 1024, 1024);
  desired.services["a"].backends["x"].id = 4;
  REQUIRE(CheckFits(desired, kSizes).ok());
  const auto message = [&](const TableSizes& sizes) {
    return std::string(CheckFits(desired, sizes).message());
  };
  TableSizes sizes = kSizes;
  sizes.rows = 1024;
  CHECK(message(sizes) ==
        "service \"a\" needs a rows table of at least 2048, the node config "
        "says 1024");
  sizes = kSizes;
  sizes.backends = 4;
  CHECK(message(sizes) ==
        "backend \"x\" of service \"a\" needs a backends table of at least 5, "
        "the node config says 4");
}

TEST_CASE("two users of one id or one row are refused", "[core][allocation]") {
  DesiredState desired;
  AddRegion(desired, "a", 0, 512);
  AddRegion(desired, "b", 256, 256);
  CHECK(CheckFits(desired, kSizes).message() ==
        "service \"b\": row 256 is used twice");
  desired.services["b"].rows_base = 512;
  desired.services["b"].id = 1;
  CHECK(CheckFits(desired, kSizes).message() ==
        "service \"b\": service id 1 is used twice");
  desired.services["b"].id = 2;
  desired.services["b"].backends["x"].id = 1;
  desired.quarantine[1] = absl::UnixEpoch();
  CHECK(CheckFits(desired, kSizes).message() ==
        "deleted backend 1: backend id 1 is used twice");
}

}  // namespace
}  // namespace fairlead::core
