// What every core::Datapath promises, run against the shared tables and against
// the fake alike.
//
// Use: in a TEST_CASE, make a fresh and empty datapath and call
// CheckDatapathConformance(datapath, sizes); it has SECTIONs, so the TEST_CASE
// runs once for each.
#pragma once

#include <catch2/catch.hpp>
#include <cstdint>

#include "base/ip_address.h"
#include "core/ports.h"
#include "fairlead/abi/maps.h"

namespace fairlead::test {

inline void CheckServiceConformance(core::Datapath& datapath) {
  const auto address = base::IpAddress::Parse("198.51.100.10").value();
  const base::Endpoint vip = {.address = address, .port = 443};
  const core::ServiceEntry entry = {.id = 1, .rows_base = 256, .rows = 256};

  SECTION("a service can be put, replaced and removed") {
    CHECK(datapath.PutService(vip, entry).ok());
    core::ServiceEntry tombstone = entry;
    tombstone.tombstone = true;
    CHECK(datapath.PutService(vip, tombstone).ok());
    datapath.RemoveService(vip);
    CHECK(datapath.PutService(vip, entry).ok());
  }
  SECTION("removing a service that is not there does nothing") {
    datapath.RemoveService(vip);
    CHECK(datapath.PutService(vip, entry).ok());
    datapath.RemoveService({.address = address, .port = 444});
    datapath.RemoveService(vip);
    datapath.RemoveService(vip);
  }
}

inline void CheckBackendConformance(core::Datapath& datapath,
                                    const core::TableSizes& sizes) {
  const auto last = static_cast<core::BackendId>(sizes.backends - 1);
  const core::BackendEntry entry = {
      .state = FL_BACKEND_USED | FL_BACKEND_ELIGIBLE,
      .address = base::IpAddress::Parse("192.0.2.7").value(),
      .weight = 100,
      .service = 1};

  SECTION("a line that nobody put is unused and idle") {
    CHECK(datapath.BackendState(1) == 0);
    CHECK(datapath.BackendState(last) == 0);
    CHECK(datapath.Load(last).live == 0);
    CHECK(datapath.Load(last).pending == 0);
  }
  SECTION("a backend has the state that it was put with") {
    datapath.PutBackend(1, entry);
    datapath.PutBackend(last, entry);
    CHECK(datapath.BackendState(1) == entry.state);
    CHECK(datapath.BackendState(last) == entry.state);
    CHECK(datapath.BackendState(2) == 0);
    CHECK(datapath.BackendAddress(1) == entry.address);
    CHECK(datapath.BackendService(1) == entry.service);
    CHECK(datapath.BackendService(2) == 0);
  }
  SECTION("a state is stored alone, and a weight leaves it") {
    datapath.PutBackend(1, entry);
    datapath.PutBackend(2, entry);
    datapath.SetBackendState(1, FL_BACKEND_USED | FL_BACKEND_DEAD);
    datapath.SetBackendWeight(1, 256);
    CHECK(datapath.BackendState(1) == (FL_BACKEND_USED | FL_BACKEND_DEAD));
    CHECK(datapath.BackendState(2) == entry.state);
  }
  SECTION("a backend that is put again has its new state") {
    datapath.PutBackend(1, entry);
    core::BackendEntry again = entry;
    again.state = FL_BACKEND_USED;
    again.address = base::IpAddress::Parse("2001:db8::7").value();
    datapath.PutBackend(1, again);
    CHECK(datapath.BackendState(1) == FL_BACKEND_USED);
  }
  SECTION("a removed backend is unused") {
    datapath.PutBackend(1, entry);
    datapath.RemoveBackend(1);
    CHECK(datapath.BackendState(1) == 0);
    datapath.RemoveBackend(1);
    CHECK(datapath.BackendState(1) == 0);
  }
}

inline void CheckRowConformance(core::Datapath& datapath,
                                const core::TableSizes& sizes) {
  SECTION("a row that nobody stored lists nobody") {
    CHECK(datapath.ReadRow(0) == core::RowWords{});
    CHECK(datapath.ReadRow(sizes.rows - 1) == core::RowWords{});
  }
  SECTION("the words of a row are stored one by one") {
    const uint32_t row = sizes.rows - 1;
    datapath.StoreCandidates(row, 0x0004000300020001);
    CHECK(datapath.ReadRow(row) ==
          core::RowWords{.candidates = 0x0004000300020001, .owners = 0});
    datapath.StoreOwners(row, 0x0000000700060005);
    CHECK(datapath.ReadRow(row) ==
          core::RowWords{.candidates = 0x0004000300020001,
                         .owners = 0x0000000700060005});
    datapath.StoreCandidates(row, 0);
    CHECK(datapath.ReadRow(row) ==
          core::RowWords{.candidates = 0, .owners = 0x0000000700060005});
    CHECK(datapath.ReadRow(row - 1) == core::RowWords{});
    CHECK(datapath.ReadRow(0) == core::RowWords{});
  }
}

inline void CheckDatapathConformance(core::Datapath& datapath,
                                     const core::TableSizes& sizes) {
  CheckServiceConformance(datapath);
  CheckBackendConformance(datapath, sizes);
  CheckRowConformance(datapath, sizes);
}

}  // namespace fairlead::test
