#include "tier/exchange.h"

#include <utility>

#include "base/status_macros.h"
#include "event/socket.h"

namespace fairlead::tier {

event::Task<absl::StatusOr<http::Response>> Exchange(
    event::Loop& loop, base::Endpoint endpoint, http::Request request,
    Caller& caller, http::FetchOptions options) {
  // The second time the session is known.
  constexpr int kTries = 2;
  request.headers["connection"] = "close";
  absl::Status problem;
  for (int i = 0; i < kTries; ++i) {
    caller.Sign(request);
    FL_CO_ASSIGN_OR_RETURN(
        http::Response response,
        co_await http::Fetch(loop, event::SocketAddress(endpoint), request,
                             options));
    problem = caller.Check(request, response);
    if (problem.ok()) co_return std::move(response);
    if (!absl::IsUnavailable(problem)) break;
  }
  co_return problem;
}

}  // namespace fairlead::tier
