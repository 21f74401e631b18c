// DrainWatch: whether a backend that takes no new flows has lost the old ones,
// and DrainText: how far it is.
//
// "drained" is said only on evidence of the backend itself: two reports of its
// agent in a row, of different scans, both begun after the last flow was
// offered plus a window in which that flow's handshake ends (ownership.h), both
// without a
// live socket. Silence proves nothing, nor does an empty flow table. Once said
// it stays until a report shows a socket: the next thing that happens to a
// drained backend is that it is switched off.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/mono_time.h"
#include "core/model.h"

namespace fairlead::core {

class DrainWatch {
 public:
  // No flows are offered from `now` on. Nothing happens if there are none
  // already.
  void Begin(base::MonoTime now);
  // Flows may be offered again.
  void End();
  void OnReport(const AgentReport& report);

  bool begun() const { return begun_.has_value(); }
  bool drained() const { return drained_; }

 private:
  struct Scan {
    uint64_t number = 0;
    std::string boot_id;
  };

  std::optional<base::MonoTime> begun_;
  std::optional<Scan> empty_;  // the last scan, if it counts and found nothing
  bool drained_ = false;
};

// How many connections the backend has, and who says so.
struct Connections {
  uint64_t count = 0;
  bool by_agent = false;  // else by this host's flow table
};
Connections CountConnections(const AgentReport& agent, const LoadReport& load);

// "draining 37%": the share of the connections at the start that is gone, or
// "draining, no flows seen here" where only the flow table can say. Without a
// record, as for a signal, there is no share.
std::string DrainText(const std::optional<DrainRecord>& record,
                      const Connections& now);

}  // namespace fairlead::core
