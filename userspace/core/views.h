// What `show` and `list` tell, and the alarms: texts for people, made of what
// the controller knows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/commands.h"
#include "core/controller.h"
#include "core/model.h"
#include "core/runtimes.h"
#include "core/syn_budget.h"

namespace fairlead::core {

// A certificate that expires so soon raises an alarm.
inline constexpr int kCertificateWarningDays = 14;

// `reachable`: the packet path has a next hop for it.
BackendView MakeBackendView(const Service& service, const Backend& backend,
                            const BackendRuntime& runtime,
                            const LoadReport& load, const ToldNextHop& told,
                            bool reachable);

// How many connections it has, and whether that is all that it may have.
void AddLimit(uint64_t connections, BackendView& view);

// Whether it has been given as many new ones of late as it may.
void AddPace(base::MonoTime now, BackendView& view);

// `backends` of `service`, by name.
ServiceView MakeServiceView(const Service& service,
                            std::vector<BackendView> backends,
                            uint64_t rows_overflowed);

// What is wrong with one service. `no_next_hop`: the backends whose addresses
// are known to have none.
std::string SynBudgetAlarm(const Service& service,
                           const SynWatch::Excess& excess, uint64_t budget);
// That it got above its budget, or is within it again.
Event SynBudgetEvent(const Service& service, const SynWatch& watch,
                     uint64_t budget);
std::vector<std::string> ServiceAlarms(
    const ServiceView& view, const std::vector<std::string>& no_next_hop);

}  // namespace fairlead::core
