// From a command and the desired state to the next desired state: all the rules
// of what an operator may ask for. Pure: nothing is changed, nothing is
// written.
#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "core/commands.h"
#include "core/model.h"

namespace fairlead::core {

// What the rules need to know of the world.
struct BackendFacts {
  uint64_t connections = 0;  // as CountConnections() says
  // Flows that would lose their backend with it. A report is always a little
  // old and this host's table still counts flows that just ended, so the higher
  // one of both; only a drained backend surely has none.
  uint64_t flows_at_stake = 0;
  bool available = false;      // may take new flows now
  bool has_agent = false;      // which tells when the last connection has ended
  bool agent_answers = false;  // and has this host's peers
  bool drained = false;        // it has
};
using FactsOf = absl::FunctionRef<BackendFacts(const Backend& backend)>;

// A command that asks for what is already so is accepted: `next` equals
// `desired`, without events. Errors:
// INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, RESOURCE_EXHAUSTED as named, and
// FAILED_PRECONDITION for what `force` would override.
absl::StatusOr<Change> PlanChange(const DesiredState& desired,
                                  const TableSizes& sizes,
                                  const Command& command, absl::Time wall,
                                  FactsOf facts);

// The error lists what there is. A backend is found by name or by address.
absl::StatusOr<const Service*> FindService(const DesiredState& desired,
                                           const std::string& name);
absl::StatusOr<const Backend*> FindBackend(const Service& service,
                                           const std::string& name);

}  // namespace fairlead::core
