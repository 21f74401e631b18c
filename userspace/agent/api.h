// The agent's HTTP interface for the LB hosts: GET /v1/state, PUT /v1/peers,
// and GET /v1/status for `fairlead-agent status`.
//
// Whoever is neither an LB host of the config nor this host gets 403, and
// whoever does not sign with the tier's secret gets 401. All answers are
// signed.
#pragma once

#include <cstddef>
#include <string>

#include "absl/container/btree_set.h"
#include "agent/fleet.h"
#include "agent/host_state.h"
#include "agent/learned.h"
#include "agent/scanner.h"
#include "base/ip_address.h"
#include "event/loop.h"
#include "event/task.h"
#include "http/message.h"
#include "http/server.h"
#include "routes/route_watcher.h"
#include "tier/keys.h"
#include "tier/message_auth.h"

namespace fairlead::agent {

// A document of kMaxPeersPerDocument peers fits.
inline constexpr size_t kMaxPeersBody = size_t{8} << 20;
inline constexpr size_t kMaxApiConnections = 32;

// Limits for the http::Server that Api::Handle() is the handler of.
http::ServerLimits ApiLimits();

struct ApiOptions {
  tier::MacKey mac_key;
  std::string boot_id;
  std::string interface;
  // Of this host: who asks from there may say what the host wants.
  absl::btree_set<base::IpAddress> own;
  // Those who are answered, besides this host.
  absl::btree_set<base::IpAddress> lbs;
};

class Api {
 public:
  // All outlive it.
  Api(event::Loop& loop, Fleet& fleet, Scanner& scanner,
      const LearnedFlows& learned, HostState& state,
      routes::RouteWatcher& routes, ApiOptions options);
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  event::Task<http::Response> Handle(http::Request request);

 private:
  bool IsLocal(const http::Request& request) const;
  bool Allowed(const http::Request& request) const;
  event::Task<http::Response> Answer(const http::Request& request);
  event::Task<http::Response> State(const http::Request& request);
  event::Task<http::Response> Status();
  http::Response Socket(const http::Request& request) const;
  event::Task<http::Response> PutPeers(const http::Request& request);
  event::Task<http::Response> SetDraining(const http::Request& request,
                                          bool draining);

  event::Loop& loop_;
  Fleet& fleet_;
  Scanner& scanner_;
  const LearnedFlows& learned_;
  HostState& state_;
  routes::RouteWatcher& routes_;
  const ApiOptions options_;
  tier::Guard guard_;
};

}  // namespace fairlead::agent
