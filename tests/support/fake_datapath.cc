#include "tests/support/fake_datapath.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "fairlead/abi/maps.h"

namespace fairlead::testing {

using Kind = FakeDatapath::Write::Kind;

FakeDatapath::FakeDatapath(const core::TableSizes& sizes)
    : sizes_(sizes), rows_(sizes.rows) {}

bool FakeDatapath::MayWrite() {
  if (writes_left_ == 0) return false;
  if (writes_left_) --*writes_left_;
  ++writes_;
  return true;
}

void FakeDatapath::Done(const Write& write) {
  if (observer_) observer_(write);
}

absl::Status FakeDatapath::PutService(const base::Endpoint& vip,
                                      const core::ServiceEntry& entry) {
  FL_CHECK(entry.id > 0 && entry.id < sizes_.services);
  FL_CHECK(uint64_t{entry.rows_base} + entry.rows <= sizes_.rows);
  if (failing_puts_ > 0 && !killed()) {
    --failing_puts_;
    return absl::ResourceExhaustedError("fl_services: no memory");
  }
  if (!MayWrite()) return absl::OkStatus();
  services_[vip] = entry;
  Done({.kind = Kind::kPutService, .vip = vip});
  return absl::OkStatus();
}

void FakeDatapath::RemoveService(const base::Endpoint& vip) {
  if (!MayWrite()) return;
  services_.erase(vip);
  Done({.kind = Kind::kRemoveService, .vip = vip});
}

std::vector<base::Endpoint> FakeDatapath::Vips() const {
  std::vector<base::Endpoint> vips;
  for (const auto& [vip, entry] : services_) vips.push_back(vip);
  return vips;
}

void FakeDatapath::PutBackend(core::BackendId id,
                              const core::BackendEntry& entry) {
  FL_CHECK(id > 0 && id < sizes_.backends);
  FL_CHECK((entry.state & FL_BACKEND_USED) != 0);
  if (!MayWrite()) return;
  backends_[id] = entry;
  Done({.kind = Kind::kPutBackend, .id = id});
}

void FakeDatapath::SetBackendState(core::BackendId id, uint64_t state) {
  FL_CHECK((state & FL_BACKEND_USED) != 0);
  if (!MayWrite()) return;
  FL_CHECK(backends_.contains(id));
  backends_[id].state = state;
  Done({.kind = Kind::kState, .id = id});
}

void FakeDatapath::SetBackendWeight(core::BackendId id, int weight) {
  if (!MayWrite()) return;
  FL_CHECK(backends_.contains(id));
  backends_[id].weight = weight;
  Done({.kind = Kind::kWeight, .id = id});
}

void FakeDatapath::RemoveBackend(core::BackendId id) {
  if (!MayWrite()) return;
  backends_.erase(id);
  Done({.kind = Kind::kRemoveBackend, .id = id});
}

uint64_t FakeDatapath::BackendState(core::BackendId id) const {
  FL_CHECK(id > 0 && id < sizes_.backends);
  const auto found = backends_.find(id);
  return found == backends_.end() ? 0 : found->second.state;
}

base::IpAddress FakeDatapath::BackendAddress(core::BackendId id) const {
  const auto found = backends_.find(id);
  return found == backends_.end() ? base::IpAddress() : found->second.address;
}

core::ServiceId FakeDatapath::BackendService(core::BackendId id) const {
  const auto found = backends_.find(id);
  return found == backends_.end() ? core::ServiceId{0} : found->second.service;
}

core::RowWords FakeDatapath::ReadRow(uint32_t row) const {
  FL_CHECK(row < rows_.size());
  return rows_[row];
}

void FakeDatapath::StoreCandidates(uint32_t row, uint64_t word) {
  FL_CHECK(row < rows_.size());
  if (!MayWrite()) return;
  const core::RowWords before = rows_[row];
  rows_[row].candidates = word;
  Done({.kind = Kind::kCandidates, .row = row, .before = before});
}

void FakeDatapath::StoreOwners(uint32_t row, uint64_t word) {
  FL_CHECK(row < rows_.size());
  if (!MayWrite()) return;
  const core::RowWords before = rows_[row];
  rows_[row].owners = word;
  Done({.kind = Kind::kOwners, .row = row, .before = before});
}

core::LoadReport FakeDatapath::Load(core::BackendId id) const {
  FL_CHECK(id < sizes_.backends);
  const auto found = loads_.find(id);
  return found == loads_.end() ? core::LoadReport() : found->second;
}

std::vector<core::BackendId> MembersOf(const core::RowWords& row) {
  std::vector<core::BackendId> members;
  for (const uint64_t word : {row.candidates, row.owners})
    for (const uint16_t id : core::UnpackWord(word))
      if (id != 0) members.push_back(id);
  return members;
}

}  // namespace fairlead::testing
