// The rules of a health check's settings: what may be asked for, for which
// kind, and how it is laid over what is there.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/commands.h"
#include "core/model.h"

namespace fairlead::core {

inline constexpr int kMostInARow = 10;  // rise and fall
inline constexpr absl::Duration kShortestInterval = absl::Milliseconds(100);
inline constexpr absl::Duration kLongestInterval = absl::Hours(1);
inline constexpr absl::Duration kShortestTimeout = absl::Milliseconds(10);
inline constexpr size_t kLongestPath = 1024;
inline constexpr size_t kLongestHost = 255;
inline constexpr size_t kLongestBodyText = 256;
inline constexpr size_t kMostCheckHeaders = 8;
inline constexpr size_t kLongestHeaderName = 64;
inline constexpr size_t kLongestHeaderValue = 512;
inline constexpr size_t kLongestFileName = 1024;

// Each on its own.
absl::Status CheckCheck(const CheckConfig& check);
// What is set must be of use: a path for a check that sends none is a
// misunderstanding.
absl::Status CheckApplies(const CheckConfig& before, const CheckConfig& after);
// What is unset stays.
void LayCheck(const ServiceSettings& settings, CheckConfig& check);

// Setting -> text, in a fixed order.
std::vector<std::pair<std::string, std::string>> DescribeCheck(
    const CheckConfig& check);

}  // namespace fairlead::core
