// FL_RETURN_IF_ERROR and FL_ASSIGN_OR_RETURN: pass a Status on, adding what
// this layer was doing, so that a message reads outside-in:
//   "add backend 192.0.2.7 to web: write fl_backends: map is full (4096)".
//
// Not a StatusBuilder (this Abseil has none): the optional second part is any
// list of StrCat arguments that is put in front of the message.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace fairlead::base {

// `status` with "context: " in front of its message; its code stays.
inline absl::Status Annotate(const absl::Status& status) { return status; }

template <typename... Context>
absl::Status Annotate(const absl::Status& status, const Context&... context) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(context..., ": ", status.message()));
}

}  // namespace fairlead::base

#define FL_STATUS_CONCAT_INNER(a, b) a##b
#define FL_STATUS_CONCAT(a, b) FL_STATUS_CONCAT_INNER(a, b)

#define FL_RETURN_IF_ERROR(expr, ...)                                          \
  do {                                                                         \
    if (absl::Status fl_status = (expr); !fl_status.ok())                      \
      return ::fairlead::base::Annotate(fl_status __VA_OPT__(, ) __VA_ARGS__); \
  } while (false)

#define FL_ASSIGN_OR_RETURN(lhs, expr, ...)                               \
  FL_ASSIGN_OR_RETURN_IMPL(FL_STATUS_CONCAT(fl_or_, __LINE__), lhs, expr, \
                           __VA_ARGS__)
#define FL_ASSIGN_OR_RETURN_IMPL(var, lhs, expr, ...)             \
  auto var = (expr);                                              \
  if (!var.ok())                                                  \
    return ::fairlead::base::Annotate(var.status() __VA_OPT__(, ) \
                                          __VA_ARGS__);           \
  lhs = std::move(var).value()

// The same inside a coroutine.
#define FL_CO_RETURN_IF_ERROR(expr, ...)                            \
  do {                                                              \
    if (absl::Status fl_status = (expr); !fl_status.ok())           \
      co_return ::fairlead::base::Annotate(fl_status __VA_OPT__(, ) \
                                               __VA_ARGS__);        \
  } while (false)

#define FL_CO_ASSIGN_OR_RETURN(lhs, expr, ...)                               \
  FL_CO_ASSIGN_OR_RETURN_IMPL(FL_STATUS_CONCAT(fl_or_, __LINE__), lhs, expr, \
                              __VA_ARGS__)
#define FL_CO_ASSIGN_OR_RETURN_IMPL(var, lhs, expr, ...)             \
  auto var = (expr);                                                 \
  if (!var.ok())                                                     \
    co_return ::fairlead::base::Annotate(var.status() __VA_OPT__(, ) \
                                             __VA_ARGS__);           \
  lhs = std::move(var).value()
