#include "cli/backend_commands.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/duration.h"
#include "base/ip_address.h"
#include "base/status_macros.h"
#include "cli/drain_wait.h"
#include "cli/exit_code.h"
#include "cli/table.h"
#include "cli/views.h"

namespace fairlead::cli {
namespace {

// "200/s" or "200".
CLI::Validator PerSecond() {
  const CLI::Validator number = WholeNumber(1, 1'000'000);
  return CLI::Validator(
      [number](std::string& text) -> std::string {
        std::string digits(absl::StripSuffix(text, "/s"));
        return number(digits);
      },
      "", "");
}

constexpr absl::string_view kServiceHelp = "The service's name";
constexpr absl::string_view kBackendHelp = "The backend's name or address";
constexpr char kAcceptRateExample[] =
    "fairlead backend set web web1 --accept-rate 200/s";

void AddServiceArgument(CLI::App& app, std::string& service) {
  app.add_option("SERVICE", service, std::string(kServiceHelp))->required();
}

}  // namespace

BackendCommands::BackendCommands(CommandLine& line) {
  CLI::App& noun = line.AddNoun(
      line.root(),
      {.name = "backend",
       .aliases = {"server", "real", "target"},
       .description = "A server behind a service",
       .examples = {
           "fairlead backend add web 192.0.2.11 --name web1",
           "fairlead backend add web 2001:db8::12 --name web2 --weight 50",
           "fairlead backend list web",
           "fairlead backend drain web web1 --wait --timeout 2h",
           "fairlead backend ready web web1",
           "fairlead backend delete web web1", "",
           "A backend has the VIP on its loopback, and the service's port;",
           "fairlead-agent check, run there, says what it lacks."}});
  DeclareReads(line, noun);
  DeclareChanges(line, noun);
  DeclareAdmin(line, noun);
}

void BackendCommands::DeclareReads(CommandLine& line, CLI::App& noun) {
  CLI::App& list = line.AddVerb(
      noun,
      {.command = {.name = "list",
                   .aliases = {"ls"},
                   .description = "The backends of one service, or of all",
                   .examples = {"fairlead backend list",
                                "fairlead backend list web",
                                "fairlead backend list web -o json"}}},
      [this](Session& session) { return List(session); });
  list.add_option("SERVICE", service_, std::string(kServiceHelp));
  CLI::App& show = line.AddVerb(
      noun,
      {.command = {.name = "show",
                   .description = "All about one backend",
                   .examples = {"fairlead backend show web web1"}}},
      [this](Session& session) { return Show(session); });
  AddServiceArgument(show, service_);
  show.add_option("BACKEND", backend_, std::string(kBackendHelp))->required();
}

void BackendCommands::DeclareChanges(CommandLine& line, CLI::App& noun) {
  CLI::App& add = line.AddVerb(
      noun,
      {.command = {.name = "add",
                   .description = "Put a server behind a service",
                   .examples = {"fairlead backend add web 192.0.2.11",
                                "fairlead backend add web 192.0.2.11 --name "
                                "web1 --weight 200",
                                "",
                                "It takes new connections after its first "
                                "good health check."}}},
      [this](Session& session) { return Add(session); });
  AddServiceArgument(add, service_);
  add.add_option("ADDRESS", address_,
                 "Its IPv4 or IPv6 address, without a port")
      ->required();
  add.add_option("--name", name_, "Its name (default: the address)")
      ->type_name("NAME");
  add.add_option("--weight", weight_, "Its share, 1 to 256 (default 100)")
      ->type_name("N")
      ->check(WholeNumber(1, 256));
  AddMaxConn(add);
  AddChangeOptions(add, Force::kNone, change_);

  CLI::App& set = line.AddVerb(
      noun,
      {.command = {.name = "set",
                   .description = "Change its weight, or how much it takes",
                   .examples = {"fairlead backend set web web1 --weight 50",
                                "fairlead backend set web web1 --max-conn 100",
                                "fairlead backend set web web1 --max-conn off",
                                kAcceptRateExample, "",
                                "No connection that it has is touched."}}},
      [this](Session& session) { return Set(session); });
  AddServiceArgument(set, service_);
  set.add_option("BACKEND", backend_, std::string(kBackendHelp))->required();
  set.add_option("--weight", weight_, "Its share, 1 to 256")
      ->type_name("N")
      ->check(WholeNumber(1, 256));
  AddMaxConn(set);
  AddChangeOptions(set, Force::kNone, change_);

  CLI::App& remove = line.AddVerb(
      noun,
      {.command = {.name = "delete",
                   .aliases = {"rm"},
                   .description = "Take it out as soon as its connections "
                                  "have ended",
                   .examples = {"fairlead backend drain web web1",
                                "fairlead backend delete web web1",
                                "fairlead backend list web   # leaving 37%",
                                "fairlead backend ready web web1   # not so"}}},
      [this](Session& session) { return Delete(session); });
  AddServiceArgument(remove, service_);
  remove.add_option("BACKEND", backend_, std::string(kBackendHelp))->required();
  AddChangeOptions(remove, Force::kOffered, change_);
}

void BackendCommands::AddMaxConn(CLI::App& app) {
  app.add_option("--max-conn", max_conn_,
                 "Connections at most, of all LB hosts (default off)")
      ->type_name("N|off")
      ->check(OneOf({"off"}) | WholeNumber(1, 100'000'000));
  app.add_option("--accept-rate", accept_rate_,
                 "New connections a second at most, of all LB hosts\n"
                 "(default off)")
      ->type_name("N/s|off")
      ->check(OneOf({"off"}) | PerSecond());
}

void BackendCommands::PutSettings(Json& body) const {
  if (weight_.has_value()) body["weight"] = *weight_;
  // What is no number is "off".
  uint64_t number = 0;
  if (max_conn_.has_value())
    body["max_conn"] = absl::SimpleAtoi(*max_conn_, &number) ? number : 0;
  if (accept_rate_.has_value())
    body["accept_rate"] =
        absl::SimpleAtoi(absl::StripSuffix(*accept_rate_, "/s"), &number)
            ? number
            : 0;
}

void BackendCommands::DeclareAdmin(CommandLine& line, CLI::App& noun) {
  const auto arguments = [this](CLI::App& app) {
    AddServiceArgument(app, service_);
    app.add_option("BACKEND", backends_, std::string(kBackendHelp))->required();
    AddChangeOptions(app, Force::kOffered, change_);
  };
  CLI::App& drain = line.AddVerb(
      noun,
      {.command = {.name = "drain",
                   .aliases = {"deregister"},
                   .description = "No new connections; those it has live on",
                   .examples = {"fairlead backend drain web web1",
                                ("fairlead backend drain web web1 web2 --wait "
                                 "--timeout 2h"),
                                "fairlead backend drain web web1 --dry-run", "",
                                ("Nothing is closed, and there is no deadline; "
                                 "`backend ready` undoes it.")}},
       .timeout = TimeoutOption::kOwn},
      [this](Session& session) { return Drain(session); });
  arguments(drain);
  drain.add_flag("--wait", wait_,
                 "Return when all are drained; exit code 6 if that takes too "
                 "long or cannot be known");
  drain
      .add_option("--timeout", wait_limit_,
                  "With --wait: how long to wait (default: no limit)")
      ->type_name("DURATION")
      ->check(DurationValue());

  arguments(line.AddVerb(
      noun,
      {.command = {.name = "ready",
                   .aliases = {"undrain", "enable"},
                   .description = "New connections again, as its checks allow",
                   .examples = {"fairlead backend ready web web1"}}},
      [this](Session& session) { return SetAdmin(session, "ready"); }));
  arguments(line.AddVerb(
      noun,
      {.command = {.name = "maint",
                   .aliases = {"disable"},
                   .description = "As drain, and no more health checks",
                   .examples = {"fairlead backend maint web web1",
                                "fairlead backend ready web web1"}}},
      [this](Session& session) { return SetAdmin(session, "maint"); }));
}

absl::Status BackendCommands::Add(Session& session) const {
  FL_ASSIGN_OR_RETURN(const std::string path,
                      PathOf({"services", service_, "backends"}));
  const absl::StatusOr<base::Endpoint> endpoint =
      base::Endpoint::Parse(address_);
  if (endpoint.ok()) {
    return Failed(absl::StrCat(
        "\"", address_,
        "\" has a port, and a backend has none of its own: it "
        "answers clients directly, from the service's VIP and port; give ",
        endpoint->address.ToString()));
  }
  Json body = BodyOf(change_);
  body["address"] = address_;
  if (name_.has_value()) body["name"] = *name_;
  PutSettings(body);
  FL_ASSIGN_OR_RETURN(const Json answer, session.Change("POST", path, body));
  PrintChange(session, change_, answer);
  return absl::OkStatus();
}

absl::Status BackendCommands::List(Session& session) const {
  if (service_.empty()) {
    FL_ASSIGN_OR_RETURN(const Json answer, session.Get("/v1/services"));
    if (session.json()) {
      session.out() << Pretty(answer) << '\n';
      return absl::OkStatus();
    }
    bool first = true;
    for (const Json& service : Sorted(Array(answer, "services"), "name")) {
      if (!first) session.out() << '\n';
      first = false;
      PrintBackends(service, session.out());
    }
    return absl::OkStatus();
  }
  if (session.json()) {
    FL_ASSIGN_OR_RETURN(const std::string path,
                        PathOf({"services", service_, "backends"}));
    FL_ASSIGN_OR_RETURN(const Json answer, session.Get(path));
    session.out() << Pretty(answer) << '\n';
    return absl::OkStatus();
  }
  FL_ASSIGN_OR_RETURN(const std::string path, PathOf({"services", service_}));
  FL_ASSIGN_OR_RETURN(const Json answer, session.Get(path));
  PrintBackends(Field(answer, "service"), session.out());
  return absl::OkStatus();
}

absl::Status BackendCommands::Show(Session& session) const {
  FL_ASSIGN_OR_RETURN(const std::string path,
                      PathOf({"services", service_, "backends", backend_}));
  FL_ASSIGN_OR_RETURN(const Json answer, session.Get(path));
  if (session.json()) {
    session.out() << Pretty(answer) << '\n';
  } else {
    PrintBackend(Field(answer, "backend"), session.out());
    PrintHistory(Array(answer, "checks"), session.out());
  }
  return absl::OkStatus();
}

absl::Status BackendCommands::Set(Session& session) const {
  FL_ASSIGN_OR_RETURN(const std::string path,
                      PathOf({"services", service_, "backends", backend_}));
  if (!weight_.has_value() && !max_conn_.has_value() &&
      !accept_rate_.has_value())
    return UsageError(
        "nothing to set: give --weight, --max-conn or --accept-rate");
  Json body = BodyOf(change_);
  PutSettings(body);
  FL_ASSIGN_OR_RETURN(const Json answer, session.Change("PATCH", path, body));
  PrintChange(session, change_, answer);
  return absl::OkStatus();
}

absl::Status BackendCommands::Delete(Session& session) const {
  FL_ASSIGN_OR_RETURN(const std::string path,
                      PathOf({"services", service_, "backends", backend_}));
  const absl::StatusOr<Json> answer =
      session.Change("DELETE", path, BodyOf(change_));
  if (!answer.ok()) return ExplainForce(change_, answer.status());
  PrintChange(session, change_, *answer);
  return absl::OkStatus();
}

absl::Status BackendCommands::Drain(Session& session) const {
  DrainWait wait = {.service = service_, .backends = backends_};
  if (!wait_limit_.empty()) {
    if (!wait_) return UsageError("--timeout needs --wait here");
    FL_ASSIGN_OR_RETURN(wait.limit, base::ParseDuration(wait_limit_));
  }
  if (wait_ && change_.dry_run)
    return UsageError("--wait and --dry-run exclude each other");
  FL_RETURN_IF_ERROR(SetAdmin(session, "drain"));
  return wait_ ? WaitForDrain(session, wait) : absl::OkStatus();
}

// A mistyped name among several must not leave the others changed.
absl::Status BackendCommands::PrecheckAll(Session& session,
                                          const std::string& verb) const {
  ChangeOptions options = change_;
  options.dry_run = true;
  for (const std::string& backend : backends_) {
    FL_ASSIGN_OR_RETURN(
        const std::string path,
        PathOf({"services", service_, "backends", backend, verb}));
    const absl::Status status =
        session.Change("POST", path, BodyOf(options)).status();
    if (!status.ok())
      return base::Annotate(ExplainForce(change_, status), backend,
                            ": nothing was changed");
  }
  return absl::OkStatus();
}

absl::Status BackendCommands::SetAdmin(Session& session,
                                       const std::string& verb) const {
  if (backends_.size() > 1) FL_RETURN_IF_ERROR(PrecheckAll(session, verb));
  std::vector<std::string> done;
  ChangeOptions options = change_;
  for (const std::string& backend : backends_) {
    FL_ASSIGN_OR_RETURN(
        const std::string path,
        PathOf({"services", service_, "backends", backend, verb}));
    const absl::StatusOr<Json> answer =
        session.Change("POST", path, BodyOf(options));
    if (!answer.ok()) {
      absl::Status status = ExplainForce(options, answer.status());
      if (done.empty()) return status;
      return base::Annotate(status, backend, ": done for ",
                            absl::StrJoin(done, ", "), " only");
    }
    PrintChange(session, options, *answer);
    done.push_back(backend);
    // What the next one must find is what this one has left.
    if (options.if_generation.has_value() && !options.dry_run)
      options.if_generation = Number(*answer, "generation");
  }
  return absl::OkStatus();
}

}  // namespace fairlead::cli
