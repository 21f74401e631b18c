// SimulatedLb: one LB host as its packets and its reports see it. The packet
// path's own code chooses and records (host_route.h), the controller writes the
// tables, the daemon's scan expires flows; only the maps are plain memory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/controller.h"
#include "datapath/flow_scan.h"
#include "tests/sim/host_route.h"
#include "tests/support/fake_datapath.h"

namespace fairlead::testing {

// Tables in the kernel's layout.
class HostTables : public FakeDatapath {
 public:
  explicit HostTables(const core::TableSizes& sizes);

  core::LoadReport Load(core::BackendId id) const override;
  void SetElsewhere(core::BackendId id, int64_t connections) override;

  // What has changed in fl_backends since.
  void CopyLines();
  const fl_host_tables& shared() const { return shared_; }
  std::span<fl_load> load() { return load_; }
  std::span<fl_bucket> flows() { return flows_; }

 private:
  std::vector<fl_backend> lines_;
  std::vector<fl_load> load_;
  std::vector<fl_bucket> flows_;
  fl_service_stats stats_ = {};
  fl_host_tables shared_ = {};
};

// A client's end of a connection to the only service.
struct ClientEnd {
  uint32_t address = 0;
  uint16_t port = 0;
};

class SimulatedLb {
 public:
  // Tables for so many flows at least. `service`: its settings.
  SimulatedLb(uint32_t flows, const core::ServiceSettings& service);
  SimulatedLb(const SimulatedLb&) = delete;
  SimulatedLb& operator=(const SimulatedLb&) = delete;

  // Backends are numbered from 0 in the order in which they were added, on
  // every host.
  void AddBackend(base::MonoTime now);
  void SetAdmin(int backend, core::Admin admin, base::MonoTime now);
  // The backend that gets it. Aborts if there is none.
  int Syn(const ClientEnd& client, base::MonoTime now);
  void Segment(const ClientEnd& client, uint8_t tcp_flags, base::MonoTime now);
  // The agent's answer arrives; it counted when `asked` was taken.
  struct Question {
    base::MonoTime begun;
    uint64_t recorded = 0;
  };
  Question Ask(int backend, base::MonoTime now) const;
  void OnAnswer(int backend, const Question& asked, uint64_t live_sockets,
                base::MonoTime now);
  // Tells that no backend has had a connection yet: rows forget who was a
  // candidate before the others had come.
  void Settle(base::MonoTime now);
  // Expires flows.
  void Sweep(base::MonoTime now);
  // Rows of whose first `choices` candidates the backend is one.
  uint32_t RowsToChoose(int backend, int choices) const;
  uint32_t rows() const;

 private:
  void Do(const core::Command& command, base::MonoTime now);
  fl_host_verdict Route(const ClientEnd& client, uint8_t tcp_flags,
                        base::MonoTime now);

  HostTables tables_;
  core::Controller controller_;
  datapath::FlowScan scan_;
  std::vector<core::BackendId> ids_;
  std::vector<int> backend_of_;  // by id
  fl_service service_ = {};
  uint64_t reports_ = 0;
};

}  // namespace fairlead::testing
