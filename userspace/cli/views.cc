#include "cli/views.h"

#include <algorithm>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "cli/table.h"

namespace fairlead::cli {
namespace {

std::string Seconds(int64_t seconds) {
  return absl::FormatDuration(absl::Seconds(seconds));
}

// "2/3": of all backends, those that may take a new connection.
std::string Available(const Json& service) {
  const Json& backends = Field(service, "backends");
  const int64_t all = backends.is_array()
                          ? static_cast<int64_t>(backends.size())
                          : Number(service, "backends");
  return absl::StrCat(Number(service, "available"), "/", all);
}

// The reason, and which check it is of, if there are several.
std::string NamedReason(const Json& backend) {
  const std::string reason = Text(backend, "reason");
  const std::string check = Text(backend, "reason_check");
  return check.empty() ? reason : absl::StrCat(reason, " [", check, "]");
}

// Of the check whose result a backend's line shows, if its service has several.
std::string TypeOfCheck(const Json& service, const Json& backend) {
  const std::string name = Text(Field(backend, "check"), "check");
  for (const Json& check : Array(service, "checks"))
    if (Text(check, "name") == name) return Text(check, "type");
  return Text(Field(service, "check"), "type");
}

// "http 200 3 ms", "tcp refused", "-" before the first result.
std::string CheckResult(const std::string& type, const Json& check) {
  if (!check.is_object()) return "-";
  std::string text = type;
  const auto add = [&](const std::string& word) {
    absl::StrAppend(&text, text.empty() ? "" : " ", word);
  };
  const std::string outcome = Text(check, "outcome");
  if (outcome != "success" || type.empty()) add(outcome);
  if (Number(check, "http_status") > 0)
    add(absl::StrCat(Number(check, "http_status")));
  if (outcome == "success")
    add(absl::StrCat(Thousands(Number(check, "duration_ms")), " ms"));
  return text;
}

// "present 402": what the agent says lives there.
std::string AgentReport(const Json& backend) {
  const Json& agent = Field(backend, "agent");
  std::string presence = Text(agent, "presence");
  if (presence == "absent" || presence == "unknown" || presence.empty())
    return presence;
  return absl::StrCat(presence, " ", Thousands(Number(agent, "live_sockets")));
}

// Lines "name  value" with the values in one column; empty values are left out.
class Facts {
 public:
  explicit Facts(std::ostream& out) : out_(out) {}

  void Add(const std::string& name, const std::string& value) {
    constexpr size_t kColumn = 18;
    if (value.empty()) return;
    out_ << name
         << std::string(kColumn - std::min(kColumn - 1, name.size()), ' ')
         << Printable(value) << '\n';
  }
  void AddNumber(const std::string& name, const Json& object,
                 const std::string& field) {
    if (Has(object, field)) Add(name, Thousands(Number(object, field)));
  }
  // Only if it is not zero.
  void AddCount(const std::string& name, const Json& object,
                const std::string& field) {
    if (Number(object, field) != 0) AddNumber(name, object, field);
  }

 private:
  std::ostream& out_;
};

// ", GET /health, host web, status 200-299": what a check says and wants.
void AddRequestText(const Json& check, std::string& text) {
  const std::string type = Text(check, "type");
  const bool is_http = type == "http" || type == "https";
  const auto add = [&](absl::string_view what, const std::string& value) {
    if (!value.empty()) absl::StrAppend(&text, ", ", what, " ", value);
  };
  if (type == "tcp") return;
  const std::string method = Text(check, "method");
  add(is_http && !method.empty() ? method : "GET", Text(check, "path"));
  add("host", Text(check, "host"));
  for (const auto& [name, value] : Field(check, "headers").items())
    add(absl::StrCat(name, ":"),
        value.is_string() ? value.get<std::string>() : "?");
  if (is_http) {
    add("status", Text(check, "status"));
    add("body with", Text(check, "body"));
  }
  add("subprotocol", Text(check, "subprotocol"));
  if (type != "https" && type != "wss") return;
  if (Has(check, "verify") && !Flag(check, "verify"))
    absl::StrAppend(&text, ", certificate not verified");
  add("certificate for", Text(check, "server_name"));
  add("CA", Text(check, "ca_file"));
}

// Each with its name, if there are several.
void AddChecks(const Json& service, Facts& facts) {
  const Json& checks = Array(service, "checks");
  if (checks.size() < 2 && Text(Field(service, "check"), "type") != "none")
    return facts.Add("check", CheckText(Field(service, "check")));
  if (checks.empty()) return facts.Add("check", "none");
  for (const Json& check : checks)
    facts.Add(absl::StrCat("check ", Text(check, "name")), CheckText(check));
}

// "deny 3", "allow 2, deny 1, others denied"; empty if everybody may connect.
std::string SourcesText(const Json& sources) {
  const int64_t allowed = Number(sources, "allow");
  const int64_t denied = Number(sources, "deny");
  if (allowed == 0) return denied == 0 ? "" : absl::StrCat("deny ", denied);
  return absl::StrCat("allow ", allowed, ", deny ", denied, " and all others");
}

// "100 a second from each /32"; empty without a limit.
std::string SourceRateText(const Json& service) {
  const int64_t rate = Number(service, "source_rate");
  const int64_t burst = Number(service, "source_burst");
  if (rate == 0) return "";
  const bool is_ipv6 = absl::StartsWith(Text(service, "vip"), "[");
  return absl::StrCat(
      Thousands(rate), " new connections a second, ",
      Thousands(burst == 0 ? rate : burst), " at once, from each /",
      Number(service, is_ipv6 ? "source_prefix6" : "source_prefix4"));
}

// "100 from each /32"; empty without a limit.
std::string SourceConnsText(const Json& service) {
  const int64_t most = Number(service, "source_conns");
  if (most == 0) return "";
  const bool is_ipv6 = absl::StartsWith(Text(service, "vip"), "[");
  return absl::StrCat(
      Thousands(most), " connections from each /",
      Number(service, is_ipv6 ? "source_prefix6" : "source_prefix4"));
}

// "ws  198.51.100.10:443  hash  gue  guarantee ...", the head of the backends.
std::string ServiceLine(const Json& service) {
  const int64_t need = Number(service, "need");
  const bool enough = Number(service, "available") >= need;
  return absl::StrCat(Text(service, "name"), "  ", Text(service, "vip"), "  ",
                      Text(service, "policy"), "  ", Text(service, "encap"),
                      "  guarantee ", Text(service, "guarantee"),
                      "  available ", Available(service), ", need ", need,
                      enough ? " ok" : " NOT MET",
                      Flag(service, "fail_open") ? "  FAIL OPEN" : "",
                      "  active ", Thousands(Number(service, "active")),
                      "  new ", Thousands(Number(service, "new_flows")));
}

void PrintBackendTable(const Json& service, std::ostream& out) {
  Table table({{.title = "BACKEND"},
               {.title = "ADDRESS"},
               {.title = "STATE"},
               {.title = "WEIGHT", .align = Align::kRight},
               {.title = "ACTIVE", .align = Align::kRight},
               {.title = "NEW", .align = Align::kRight},
               {.title = "CHECK"},
               {.title = "AGENT"},
               {.title = "REASON"}});
  for (const Json& backend : Sorted(Array(service, "backends"), "name")) {
    table.Add(
        {Text(backend, "name"), Text(backend, "address"),
         Text(backend, "state_text"), Thousands(Number(backend, "weight")),
         Thousands(Number(backend, "active")),
         Thousands(Number(backend, "new_flows")),
         CheckResult(TypeOfCheck(service, backend), Field(backend, "check")),
         AgentReport(backend), NamedReason(backend)});
  }
  table.Print(out);
}

void AddDrain(const Json& drain, Facts& facts) {
  if (!drain.is_object()) return;
  facts.Add(
      "drain",
      absl::StrCat("since ", Text(drain, "since"), " (",
                   Seconds(Number(drain, "elapsed_seconds")), "), ",
                   Thousands(Number(drain, "connections")), " of ",
                   Count(Number(drain, "connections_at_start"), "connection"),
                   " left, counted by ", Text(drain, "basis")));
}

void AddNextHop(const Json& backend, Facts& facts) {
  const Json& hop = Field(backend, "next_hop");
  if (!hop.is_object()) {
    const std::string why = Text(backend, "no_next_hop");
    facts.Add("next hop", why.empty() ? "none" : absl::StrCat("none: ", why));
    return;
  }
  std::string text = absl::StrCat(Text(hop, "interface"), " ", Text(hop, "mac"),
                                  ", path MTU ", Number(hop, "path_mtu"));
  if (const Json& vlan = Field(hop, "vlan"); vlan.is_object())
    absl::StrAppend(&text, ", VLAN ", Number(vlan, "id"), " on ",
                    Text(vlan, "on"));
  if (!Text(hop, "gateway").empty())
    absl::StrAppend(&text, ", by the gateway ", Text(hop, "gateway"));
  facts.Add("next hop", text);
}

// A reason that has a remedy names it where there is room.
std::string ReasonText(const Json& backend) {
  std::string reason = NamedReason(backend);
  if (absl::StartsWith(reason, "route.gateway"))
    absl::StrAppend(&reason,
                    ": encap l2 reaches only who is on a link of this host; "
                    "put it there, or set --encap ipip or gue");
  return reason;
}

std::string TakesText(const Json& backend) {
  if (Flag(backend, "fails_open")) return "yes, for want of others";
  if (!Flag(backend, "eligible")) return "no";
  return Flag(backend, "full") ? "no, it is full" : "yes";
}

// "1,000, has 950"; empty without one.
std::string MaxConnText(const Json& backend) {
  const int64_t max_conn = Number(backend, "max_conn");
  if (max_conn == 0) return "";
  return absl::StrCat(Thousands(max_conn), ", has ",
                      Thousands(Number(backend, "connections")));
}

// "200/s"; empty without one.
std::string AcceptRateText(const Json& backend) {
  const int64_t rate = Number(backend, "accept_rate");
  return rate == 0 ? "" : absl::StrCat(Thousands(rate), "/s");
}

std::string CertificateText(int64_t days) {
  if (days < 0) return "expired";
  return absl::StrCat("expires in ", Count(days, "day"));
}

void AddLastCheck(const std::string& name, const Json& check, Facts& facts) {
  if (!check.is_object()) return;
  std::string text =
      absl::StrCat(CheckResult("", check), ", ",
                   Seconds(Number(check, "age_seconds")), " ago");
  if (!Text(check, "detail").empty())
    absl::StrAppend(&text, ": ", Text(check, "detail"));
  facts.Add(name, text);
  if (Has(check, "certificate_days"))
    facts.Add("certificate",
              CertificateText(Number(check, "certificate_days")));
  if (!Text(check, "why_direct").empty())
    facts.Add("checked", absl::StrCat("straight, not via the VIP: ",
                                      Text(check, "why_direct")));
}

// What each check says, and its last result; with one check only the result.
void AddCheckStates(const Json& backend, Facts& facts) {
  const Json& checks = Array(backend, "health_checks");
  if (checks.size() < 2)
    return AddLastCheck("last check", Field(backend, "check"), facts);
  for (const Json& check : checks) {
    const std::string name = absl::StrCat("check ", Text(check, "name"));
    std::string text =
        absl::StrCat(Text(check, "type"), ", ", Text(check, "health"));
    if (Text(check, "signal") != "none")
      absl::StrAppend(&text, ", asks for ", Text(check, "signal"));
    if (const std::string failure = Text(check, "last_failure");
        !failure.empty())
      absl::StrAppend(&text, ", last failure ", failure);
    facts.Add(name, text);
    AddLastCheck("  last", Field(check, "last"), facts);
  }
}

}  // namespace

std::string CheckText(const Json& check) {
  std::string type = Text(check, "type");
  if (type.empty() || type == "none") return type;
  std::string text = type;
  const int64_t port = Number(check, "port");
  if (Text(check, "via") == "vip") {
    absl::StrAppend(&text, " via the VIP");
  } else {
    absl::StrAppend(&text, " port ",
                    port == 0 ? "of the service" : absl::StrCat(port));
  }
  AddRequestText(check, text);
  absl::StrAppend(&text, ", every ", Text(check, "interval"), ", timeout ",
                  Text(check, "timeout"), ", rise ", Number(check, "rise"),
                  ", fall ", Number(check, "fall"));
  return text;
}

std::vector<Json> Sorted(const Json& array, const std::string& key) {
  std::vector<Json> objects(array.begin(), array.end());
  std::sort(objects.begin(), objects.end(), [&](const Json& a, const Json& b) {
    return Text(a, key) < Text(b, key);
  });
  return objects;
}

void PrintServices(const Json& services, std::ostream& out) {
  Table table({{.title = "SERVICE"},
               {.title = "VIP"},
               {.title = "POLICY"},
               {.title = "ENCAP"},
               {.title = "AVAILABLE", .align = Align::kRight},
               {.title = "NEED", .align = Align::kRight},
               {.title = "ACTIVE", .align = Align::kRight},
               {.title = "NEW", .align = Align::kRight},
               {.title = "GUARANTEE"}});
  for (const Json& service : Sorted(services, "name")) {
    table.Add({Text(service, "name"), Text(service, "vip"),
               Text(service, "policy"), Text(service, "encap"),
               Available(service), Thousands(Number(service, "need")),
               Thousands(Number(service, "active")),
               Thousands(Number(service, "new_flows")),
               Text(service, "guarantee")});
  }
  table.Print(out);
}

std::string SettledText(const Json& service) {
  const std::string why = Text(service, "unsettled");
  return why.empty() ? "yes" : absl::StrCat("no: ", why);
}

// "30,517/s (default)"
std::string SynBudgetText(const Json& service) {
  std::string setting = Text(service, "syn_budget");
  if (setting == "off") return setting;
  return absl::StrCat(Thousands(Number(service, "syn_budget_per_second")), "/s",
                      setting == "default" ? " (default)" : "");
}

void PrintService(const Json& service, std::ostream& out) {
  Facts facts(out);
  facts.Add("name", Text(service, "name"));
  facts.Add("vip", Text(service, "vip"));
  facts.AddNumber("id", service, "id");
  facts.Add("policy", absl::StrCat(Text(service, "policy"), ", choices ",
                                   Number(service, "choices")));
  facts.Add("encap", Text(service, "encap"));
  facts.Add("guarantee", Text(service, "guarantee"));
  facts.Add("settled", SettledText(service));
  facts.Add("available", Available(service));
  facts.AddNumber("need", service, "need");
  facts.Add("syn budget", SynBudgetText(service));
  if (const std::string over = Text(service, "slow_start"); over != "off")
    facts.Add("slow start", over);
  if (const std::string part = Text(service, "panic"); part != "off")
    facts.Add("panic", part);
  if (Flag(service, "assume_up")) facts.Add("assume up", "on");
  if (Has(service, "flap_damping") && !Flag(service, "flap_damping"))
    facts.Add("flap damping", "off");
  if (Text(service, "shed") == "reset") facts.Add("shed", "reset");
  facts.Add("fail open", Flag(service, "fail_open") ? "yes" : "no");
  facts.AddNumber("rows", service, "rows");
  facts.AddCount("rows overflowed", service, "rows_overflowed");
  const int64_t port = Number(service, "agent_port");
  facts.Add("agent port", port == 0 ? "none" : absl::StrCat(port));
  AddChecks(service, facts);
  facts.Add("sources", SourcesText(Field(service, "sources")));
  facts.Add("source rate", SourceRateText(service));
  facts.Add("source conns", SourceConnsText(service));
  facts.AddNumber("active", service, "active");
  facts.AddNumber("new", service, "new_flows");
  facts.AddNumber("packets", service, "packets");
  facts.AddNumber("bytes", service, "bytes");
  facts.AddCount("denied", service, "denied");
  facts.AddCount("over source rate", service, "over_rate");
  facts.AddCount("over conns", service, "over_source_conns");
  facts.AddCount("uncounted", service, "uncounted");
  facts.AddCount("refused: full", service, "refused_full");
  facts.AddCount("misses", service, "misses");
  facts.AddCount("fail-open flows", service, "fail_open_flows");
  facts.AddCount("too big", service, "too_big");
  facts.AddCount("over budget", service, "over_budget_flows");
  out << '\n';
  PrintBackendTable(service, out);
}

void PrintBackends(const Json& service, std::ostream& out) {
  out << Printable(ServiceLine(service)) << '\n';
  PrintBackendTable(service, out);
}

void PrintBackend(const Json& backend, std::ostream& out) {
  Facts facts(out);
  facts.Add("name", Text(backend, "name"));
  facts.Add("address", Text(backend, "address"));
  facts.AddNumber("id", backend, "id");
  facts.AddNumber("weight", backend, "weight");
  facts.Add("state", Text(backend, "state_text"));
  facts.Add("reason", ReasonText(backend));
  facts.Add("new connections", TakesText(backend));
  facts.Add("max conn", MaxConnText(backend));
  facts.Add("accept rate", AcceptRateText(backend));
  facts.Add("admin", Text(backend, "admin"));
  facts.Add("health", Text(backend, "health"));
  facts.Add("signal", Text(backend, "signal"));
  AddCheckStates(backend, facts);
  AddDrain(Field(backend, "drain"), facts);
  facts.Add("agent", AgentReport(backend));
  AddNextHop(backend, facts);
  facts.AddNumber("active", backend, "active");
  facts.AddNumber("pending", backend, "pending");
  facts.AddNumber("new", backend, "new_flows");
  facts.AddNumber("packets", backend, "packets");
  facts.AddNumber("bytes", backend, "bytes");
  facts.AddCount("repeated SYNs", backend, "syn_again");
}

bool IsFailure(const Json& result) {
  const std::string reason = Text(result, "reason");
  return reason == "late" || absl::StartsWith(reason, "check.");
}

std::string ResultText(const Json& result) {
  int64_t duration = 0;
  for (const Json& step : Array(result, "steps"))
    duration += Number(step, "duration_us");
  const std::string reason = Text(result, "reason");
  std::string text = absl::StrCat(
      reason == "-" ? Text(result, "outcome") : reason, ", ", Millis(duration));
  if (!Text(result, "detail").empty())
    absl::StrAppend(&text, ": ", Text(result, "detail"));
  if (Has(result, "certificate_days"))
    absl::StrAppend(&text, "; certificate ",
                    CertificateText(Number(result, "certificate_days")));
  return text;
}

std::string Millis(int64_t microseconds) {
  return absl::StrFormat("%d.%03d ms", microseconds / 1000,
                         microseconds % 1000);
}

void PrintHistory(const Json& checks, std::ostream& out) {
  // The main one first, then by name.
  absl::btree_map<std::pair<bool, std::string>, std::vector<Json>> by_name;
  for (const Json& check : checks) {
    const std::string name = Text(check, "check");
    by_name[{name != "main", name}].push_back(check);
  }
  for (const auto& [key, results] : by_name) {
    const std::string& name = key.second;
    Table table(
        {{.title = by_name.size() < 2 ? "CHECKED"
                                      : absl::StrCat("CHECKED [", name, "]")},
         {.title = "RESULT"},
         {.title = "TIME", .align = Align::kRight},
         {.title = "HTTP", .align = Align::kRight},
         {.title = "REASON"}});
    for (const Json& check : results) {
      const int64_t status = Number(check, "http_status");
      table.Add({Text(check, "time"), Text(check, "outcome"),
                 Millis(Number(check, "duration_us")),
                 status == 0 ? "-" : absl::StrCat(status),
                 Text(check, "reason")});
    }
    out << '\n';
    table.Print(out);
  }
}

}  // namespace fairlead::cli
