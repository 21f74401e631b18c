// The checks of a service by their names: the main one, which `service set`
// speaks of, and those that were added to it.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/commands.h"
#include "core/model.h"

namespace fairlead::core {

inline constexpr size_t kMostChecks = 8;  // of a service

struct CheckRef {
  absl::string_view name;
  const CheckConfig* config;
};

// The main one first, unless it checks nothing, then by name. Valid as long as
// the service is unchanged.
std::vector<CheckRef> ChecksOf(const Service& service);
// The error lists what there is.
absl::StatusOr<CheckRef> FindCheck(const Service& service,
                                   const std::string& name);

// All of them, each on its own, and how many there are.
absl::Status CheckChecks(const Service& service);

// On error `service` is spoilt. NOT_FOUND, ALREADY_EXISTS, INVALID_ARGUMENT,
// RESOURCE_EXHAUSTED as named; FAILED_PRECONDITION: it is the last one.
absl::Status AddCheckTo(const AddCheck& command, Service& service);
absl::Status SetCheckOf(const SetCheck& command, Service& service);
absl::Status DeleteCheckOf(const DeleteCheck& command, Service& service);

// What differs between two checks, "interval 2s, fall 3": before and after.
std::pair<std::string, std::string> DescribeDifference(
    const CheckConfig& before, const CheckConfig& after);

}  // namespace fairlead::core
