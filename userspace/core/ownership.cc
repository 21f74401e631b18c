#include "core/ownership.h"

namespace fairlead::core {

absl::Duration OfferWindow(const AgentReport& report,
                           base::MonoTime last_offer) {
  const bool cookies = report.last_syn_cookie.has_value() &&
                       *report.last_syn_cookie + kCookieWindow > last_offer;
  return cookies ? kCookieWindow : kHandshakeWindow;
}

bool ProvesNoOwner(const AgentReport& report, uint32_t row,
                   base::MonoTime last_offer) {
#ifdef FL_MUTATE_OWNERSHIP
  return true;
#endif
  return report.presence == AgentReport::Presence::kPresent &&
         report.owned.has_value() && report.owned_begun.has_value() &&
         *report.owned_begun > last_offer + OfferWindow(report, last_offer) &&
         !report.owned->Contains(row);
}

}  // namespace fairlead::core
