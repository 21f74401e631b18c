#include "control/verdicts.h"

namespace fairlead::control {
namespace {

#define FL_VERDICT_INFO(name, action, help) {#name, #action, help},
constexpr VerdictInfo kLbVerdicts[] = {FL_LB_VERDICTS(FL_VERDICT_INFO)};
constexpr VerdictInfo kCheckVerdicts[] = {FL_PROBE_VERDICTS(FL_VERDICT_INFO)};
#undef FL_VERDICT_INFO

}  // namespace

std::span<const VerdictInfo> LbVerdicts() { return kLbVerdicts; }

std::span<const VerdictInfo> CheckVerdicts() { return kCheckVerdicts; }

}  // namespace fairlead::control
