// Answers of the daemon as docs/API.md describes them.
#pragma once

namespace fairlead::cli {

inline constexpr char kWebService[] = R"j({"generation": 7, "service": {
  "name": "web", "vip": "198.51.100.10:443", "id": 1, "policy": "least-conn",
  "choices": 2, "encap": "gue", "need": 1, "rows": 16384, "agent_port": 6082,
  "syn_budget": "default", "syn_budget_per_second": 30517,
  "slow_start": "30s", "panic": "40%",
  "assume_up": true, "flap_damping": false,
  "shed": "reset",
  "check": {"type": "http", "port": 0, "path": "/health", "host": "",
            "status": "200-299", "interval": "2s", "timeout": "1s", "rise": 2,
            "fall": 3},
  "sources": {"allow": 1, "deny": 2}, "denied": 3100,
  "source_rate": 100, "source_burst": 0, "source_prefix4": 32,
  "source_prefix6": 64, "over_rate": 17, "source_conns": 20,
  "over_source_conns": 5, "uncounted": 1,
  "available": 1, "guarantee": "sockets (1/2 agents)", "fail_open": false,
  "rows_overflowed": 0, "active": 41207, "new_flows": 5012, "packets": 1234567,
  "bytes": 7654321, "misses": 3, "fail_open_flows": 0, "too_big": 0,
  "over_budget_flows": 12,
  "backends": [
   {"name": "web2", "address": "192.0.2.12", "id": 2, "weight": 100,
    "admin": "drain", "health": "down", "signal": "none", "state": "draining",
    "state_text": "draining 37%", "reason": "admin.drain", "eligible": false,
    "active": 7551, "pending": 0, "new_flows": 1200, "packets": 1, "bytes": 1,
    "syn_again": 2,
    "check": {"outcome": "status-mismatch", "http_status": 500,
              "duration_ms": 3, "detail": "", "age_seconds": 1},
    "agent": {"presence": "absent", "live_sockets": 0}, "next_hop": null,
    "drain": {"since": "2026-11-20T12:00:00Z", "elapsed_seconds": 3720,
              "connections_at_start": 12000, "connections": 7551,
              "basis": "flow-table"}},
   {"name": "web1", "address": "192.0.2.11", "id": 1, "weight": 100,
    "admin": "ready", "health": "up", "signal": "none", "state": "up",
    "state_text": "up", "reason": "-", "eligible": true, "active": 10402,
    "pending": 3, "new_flows": 512, "packets": 1, "bytes": 1, "syn_again": 0,
    "check": {"outcome": "success", "http_status": 200, "duration_ms": 3,
              "detail": "", "age_seconds": 1},
    "agent": {"presence": "present", "live_sockets": 10399},
    "next_hop": {"interface": "eth0", "mac": "02:00:00:00:00:01",
                 "path_mtu": 1500, "gateway": null},
    "drain": null}]}})j";

}  // namespace fairlead::cli
