// One signed question to another host of the tier, and its checked answer.
#pragma once

#include "absl/status/statusor.h"
#include "base/ip_address.h"
#include "event/loop.h"
#include "event/task.h"
#include "http/client.h"
#include "http/message.h"
#include "tier/message_auth.h"

namespace fairlead::tier {

// Signs `request` for `caller`, and once more if the other side is a new
// process or has lost count. Any status is an answer; errors are those of
// http::Fetch() and of Caller::Check(). `caller` asks nobody else meanwhile.
event::Task<absl::StatusOr<http::Response>> Exchange(
    event::Loop& loop, base::Endpoint endpoint, http::Request request,
    Caller& caller, http::FetchOptions options);

}  // namespace fairlead::tier
