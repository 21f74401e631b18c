#include "agent/run.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/agent_program.h"
#include "agent/api.h"
#include "agent/fleet.h"
#include "agent/host_state.h"
#include "agent/learned.h"
#include "agent/privileges.h"
#include "agent/scanner.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/sd_notify.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "base/version.h"
#include "event/loop.h"
#include "event/signals.h"
#include "event/socket.h"
#include "http/server.h"
#include "routes/route_watcher.h"
#include "tier/key_file.h"
#include "tier/keys.h"

namespace fairlead::agent {
namespace {

absl::StatusOr<std::string> ReadBootId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  if (std::getline(file, id)) return id;
  return absl::NotFoundError("cannot read /proc/sys/kernel/random/boot_id");
}

// Two agents with one state folder would each overwrite what the other was
// told.
absl::StatusOr<base::UniqueFd> LockStateFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    return absl::FailedPreconditionError(
        absl::StrCat("make state_dir ", path, ": ", error.message()));
  }
  base::UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid())
    return base::SyscallError(absl::StrCat("open state_dir ", path));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno != EWOULDBLOCK)
    return base::SyscallError(absl::StrCat("flock ", path));
  return absl::FailedPreconditionError(
      absl::StrCat("another fairlead-agent uses state_dir ", path));
}

std::vector<base::IpAddress> OwnAddresses(const config::AgentConfig& config) {
  std::vector<base::IpAddress> own;
  if (config.addresses.ipv4.has_value()) own.push_back(*config.addresses.ipv4);
  if (config.addresses.ipv6.has_value()) own.push_back(*config.addresses.ipv6);
  return own;
}

fl_agent_config ProgramConfig(const config::AgentConfig& config,
                              const tier::HashKey& hash_key) {
  fl_agent_config program = {};
  if (config.addresses.ipv4.has_value()) {
    std::memcpy(program.node_address, config.addresses.ipv4->bytes().data(),
                sizeof(program.node_address));
  }
  if (config.addresses.ipv6.has_value()) {
    std::memcpy(program.node_address6, config.addresses.ipv6->bytes().data(),
                sizeof(program.node_address6));
  }
  program.gue_port = htons(config.gue_port);
  program.hash_key[0] = hash_key[0];
  program.hash_key[1] = hash_key[1];
  return program;
}

AgentProgramOptions ProgramOptions(const config::AgentConfig& config,
                                   const tier::HashKey& hash_key) {
  return {.pin_path = config.pin_path,
          .interface = config.interface,
          .mode = config.xdp_mode == config::XdpMode::kNative
                      ? datapath::XdpMode::kNative
                      : datapath::XdpMode::kGeneric,
          .config = ProgramConfig(config, hash_key)};
}

std::optional<NextHopLine> ToLine(const std::optional<core::NextHop>& hop) {
  if (!hop.has_value()) return std::nullopt;
  NextHopLine line;
  line.egress = hop->interface;
  if (hop->vlan.has_value()) line.vlan = hop->vlan->id;
  std::memcpy(line.destination_mac.data(), hop->destination_mac,
              sizeof(hop->destination_mac));
  std::memcpy(line.source_mac.data(), hop->source_mac, sizeof(hop->source_mac));
  return line;
}

// Everything that runs, in the order in which it is built.
class Agent {
 public:
  static absl::StatusOr<std::unique_ptr<Agent>> Create(
      const config::AgentConfig& config);
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Until a signal comes.
  void Run();

 private:
  explicit Agent(const config::AgentConfig& config) : config_(config) {}
  absl::Status Build();
  absl::Status BuildFleet();
  absl::Status BuildServer();
  void OnNextHop(const base::IpAddress& address,
                 const std::optional<core::NextHop>& hop,
                 absl::string_view reason);
  event::Task<void> StopAtSignal();
  event::Task<void> FeedWatchdog(absl::Duration interval);

  const config::AgentConfig& config_;
  std::unique_ptr<event::Loop> loop_;
  std::optional<event::Signals> signals_;
  std::string secret_;
  std::unique_ptr<AgentProgram> program_;
  base::UniqueFd state_lock_;
  std::unique_ptr<Fleet> fleet_;
  std::unique_ptr<Scanner> scanner_;
  std::optional<LearnedFlows> learned_;
  std::optional<HostState> state_;
  std::unique_ptr<routes::RouteWatcher> routes_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<http::Server> server_;
  std::vector<base::UniqueFd> listeners_;
};

absl::StatusOr<std::unique_ptr<Agent>> Agent::Create(
    const config::AgentConfig& config) {
  std::unique_ptr<Agent> agent(new Agent(config));
  FL_RETURN_IF_ERROR(agent->Build());
  return agent;
}

// Attaching comes last: whatever fails before it leaves packets alone.
absl::Status Agent::Build() {
  FL_ASSIGN_OR_RETURN(loop_, event::Loop::Create());
  FL_ASSIGN_OR_RETURN(signals_, event::Signals::Block({SIGTERM, SIGINT}));
  FL_ASSIGN_OR_RETURN(secret_, tier::ReadKeyFile(config_.key_file));
  const tier::HashKey hash_key = tier::DeriveHashKey(secret_);
  FL_ASSIGN_OR_RETURN(program_,
                      AgentProgram::Load(ProgramOptions(config_, hash_key)));
  FL_ASSIGN_OR_RETURN(state_lock_, LockStateFolder(config_.state_dir));
  FL_RETURN_IF_ERROR(BuildFleet());
  FL_RETURN_IF_ERROR(BuildServer());
  FL_RETURN_IF_ERROR(program_->Attach());
  for (const std::string& note : program_->notes()) base::LogWarning(note);
  return absl::OkStatus();
}

absl::Status Agent::BuildFleet() {
  const std::vector<base::IpAddress> own = OwnAddresses(config_);
  fleet_ = std::make_unique<Fleet>(
      *loop_,
      FleetOptions{.identity = {.own_addresses = {own.begin(), own.end()},
                                .lbs = config_.lbs},
                   .state_folder = config_.state_dir,
                   .maps = program_->maps()});
  FL_ASSIGN_OR_RETURN(const std::vector<std::string> notes, fleet_->Adopt());
  for (const std::string& note : notes) base::LogWarning(note);
  FL_ASSIGN_OR_RETURN(
      routes_, routes::RouteWatcher::Create(
                   *loop_, [this](const base::IpAddress& address,
                                  const std::optional<core::NextHop>& hop,
                                  absl::string_view reason) {
                     OnNextHop(address, hop, reason);
                   }));
  routes_->WatchOnly(fleet_->PeerAddresses());
  FL_ASSIGN_OR_RETURN(
      scanner_,
      Scanner::Create(*loop_, program_->maps(), tier::DeriveHashKey(secret_),
                      fleet_->tables(), fleet_->mutex()));
  FL_ASSIGN_OR_RETURN(LearnedFlows learned,
                      LearnedFlows::Map(program_->maps().learned));
  learned_.emplace(std::move(learned));
  FL_ASSIGN_OR_RETURN(HostState state, HostState::Open(program_->maps().state,
                                                       config_.state_dir));
  state_.emplace(std::move(state));
  return absl::OkStatus();
}

absl::Status Agent::BuildServer() {
  ApiOptions options;
  options.mac_key = tier::DeriveMacKey(secret_);
  FL_ASSIGN_OR_RETURN(options.boot_id, ReadBootId());
  options.interface = config_.interface;
  options.lbs.insert(config_.lbs.begin(), config_.lbs.end());
  for (const base::IpAddress& own : OwnAddresses(config_))
    options.own.insert(own);
  api_ = std::make_unique<Api>(*loop_, *fleet_, *scanner_, *learned_, *state_,
                               *routes_, std::move(options));
  server_ = std::make_unique<http::Server>(
      *loop_,
      [this](http::Request request) {
        return api_->Handle(std::move(request));
      },
      ApiLimits());
  for (const base::Endpoint& endpoint : config_.listen) {
    FL_ASSIGN_OR_RETURN(base::UniqueFd listener, event::ListenTcp(endpoint));
    listeners_.push_back(std::move(listener));
  }
  return absl::OkStatus();
}

void Agent::OnNextHop(const base::IpAddress& address,
                      const std::optional<core::NextHop>& hop,
                      absl::string_view reason) {
  const absl::Status set = fleet_->SetNextHop(address, ToLine(hop));
  if (!set.ok())
    base::LogError("next hop of ", address.ToString(), ": ", set.message());
  if (!hop.has_value())
    base::LogWarning("no next hop for ", address.ToString(), ": ", reason);
}

event::Task<void> Agent::StopAtSignal() {
  const absl::StatusOr<int> number = co_await signals_->Next(*loop_);
  if (number.ok()) {
    base::LogInfo(
        "stopping; the program stays attached (fairlead-agent detach "
        "removes it)");
  }
  // Nobody but the manager cares, and it sees the end all the same.
  (void)base::SdNotify(base::kSdStopping);
  loop_->Stop();
}

event::Task<void> Agent::FeedWatchdog(absl::Duration interval) {
  while (true) {
    const absl::Status slept = co_await loop_->SleepFor(interval);
    if (!slept.ok()) co_return;
    // A manager that misses it restarts this process, which says why.
    (void)base::SdNotify(base::kSdWatchdog);
  }
}

void Agent::Run() {
  event::Scope& root = loop_->root();
  root.Spawn(StopAtSignal());
  root.Spawn(routes_->Run());
  for (base::UniqueFd& listener : listeners_)
    root.Spawn(server_->Serve(std::move(listener)));
  if (const auto interval = base::SdWatchdogInterval())
    root.Spawn(FeedWatchdog(*interval));
  base::LogInfo("fairlead-agent ", base::kVersion, ": ",
                program_->adopted() ? "took over " : "attached to ",
                config_.interface, ", ", fleet_->tables().vips.size(),
                " VIPs and ", fleet_->tables().peers.size(), " peers of ",
                fleet_->documents().size(), " LB hosts");
  const absl::Status ready = base::SdNotify(base::kSdReady);
  if (!ready.ok()) base::LogWarning(ready.message());
  loop_->Run();
}

}  // namespace

absl::Status RunAgent(const config::AgentConfig& config) {
  FL_RETURN_IF_ERROR(CheckPrivileges());
  FL_ASSIGN_OR_RETURN(const std::unique_ptr<Agent> agent,
                      Agent::Create(config));
  agent->Run();
  return absl::OkStatus();
}

}  // namespace fairlead::agent
