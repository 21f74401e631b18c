#include "daemon/daemon.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/sd_notify.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "core/allocation.h"
#include "event/scope.h"
#include "event/socket.h"
#include "tier/key_file.h"
#include "tier/keys.h"

namespace fairlead::daemon {
namespace {

// Without systemd there is nobody to tell, and one that does not listen must
// not stop the daemon.
void TellSystemd(absl::string_view state) {
  const absl::Status told = base::SdNotify(state);
  if (!told.ok()) base::LogWarning("notify systemd: ", told.message());
}

// Records that followed from the world are kept at the latest after this.
constexpr absl::Duration kRecordInterval = absl::Seconds(1);
// A rate is told of this much time.
constexpr absl::Duration kNewFlowsInterval = absl::Seconds(2);

uint32_t Ticks(absl::Duration duration) {
  const int64_t ticks = absl::ToInt64Nanoseconds(duration) >> FL_TICK_SHIFT;
  return static_cast<uint32_t>(ticks < 1 ? 1 : ticks);
}

fl_timeouts TimeoutsOf(const config::FlowTimeouts& timeouts) {
  fl_timeouts ticks = {};
  ticks.by_state[FL_SLOT_EMBRYONIC] = Ticks(timeouts.embryonic);
  ticks.by_state[FL_SLOT_YOUNG] = Ticks(timeouts.young);
  ticks.by_state[FL_SLOT_ESTABLISHED] = Ticks(timeouts.established);
  ticks.by_state[FL_SLOT_CLOSING] = Ticks(timeouts.closing);
  ticks.by_state[FL_SLOT_EXPIRING_PENDING] = Ticks(timeouts.young);
  ticks.by_state[FL_SLOT_EXPIRING_ESTABLISHED] = Ticks(timeouts.established);
  ticks.by_state[FL_SLOT_EXPIRING_CLOSING] = Ticks(timeouts.closing);
  return ticks;
}

void CopyAddress(const std::optional<base::IpAddress>& from, __u32 (&to)[4]) {
  if (from.has_value()) std::memcpy(to, from->bytes().data(), sizeof(to));
}

core::TableSizes SizesOf(const config::NodeTables& tables) {
  return {.services = tables.services,
          .backends = tables.backends,
          .rows = tables.rows,
          .flow_buckets = tables.flow_buckets(),
          .prefixes = tables.prefixes,
          .rate_sets = tables.rate_sets(),
          .conn_sets = tables.conn_sets()};
}

datapath::ProgramOptions ProgramOptionsOf(const config::NodeConfig& config,
                                          const datapath::HashKey& key,
                                          base::MonoTime now) {
  datapath::ProgramOptions options;
  options.pin_path = config.pin_path;
  options.interfaces = config.interfaces;
  options.mode = config.xdp_mode == config::XdpMode::kNative
                     ? datapath::XdpMode::kNative
                     : datapath::XdpMode::kGeneric;
  options.sizes = SizesOf(config.tables);
  options.config.hash_key[0] = key[0];
  options.config.hash_key[1] = key[1];
  CopyAddress(config.addresses.ipv4, options.config.node_address);
  CopyAddress(config.addresses.ipv6, options.config.node_address6);
  options.config.lb_id = config.id;
  options.config.gue_port = htons(config.gue_port);
  options.config.timeouts = TimeoutsOf(config.timeouts);
  options.now_tick = TickOf(now);
  return options;
}

// In generic mode the kernel's own way of sending takes whatever is redirected.
std::set<uint32_t> IngressOf(const datapath::Program& program) {
  std::set<uint32_t> ingress;
  for (const datapath::Attachment& attachment : program.attachments()) {
    if (attachment.mode == datapath::XdpMode::kNative)
      ingress.insert(attachment.interface.index);
  }
  return ingress;
}

absl::AnyInvocable<double()> SystemRandom() {
  return [generator = std::mt19937_64(std::random_device{}())]() mutable {
    return std::uniform_real_distribution<double>(0.0, 1.0)(generator);
  };
}

std::set<base::IpAddress> BackendAddresses(const core::DesiredState& desired) {
  std::set<base::IpAddress> addresses;
  for (const auto& [name, service] : desired.services)
    for (const auto& [backend_name, backend] : service.backends)
      addresses.insert(backend.address);
  return addresses;
}

control::AccessGroups GroupsOf(const config::NodeAccess& access) {
  return {.viewer_group = access.viewer_group,
          .operator_group = access.operator_group,
          .admin_group = access.admin_group};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Create(
    config::NodeConfig config) {
  FL_ASSIGN_OR_RETURN(event::Signals signals,
                      event::Signals::Block({SIGTERM, SIGINT, SIGHUP}));
  FL_ASSIGN_OR_RETURN(std::unique_ptr<event::Loop> loop, event::Loop::Create());
  return std::unique_ptr<Daemon>(
      new Daemon(std::move(config), std::move(signals), std::move(loop)));
}

Daemon::Daemon(config::NodeConfig config, event::Signals signals,
               std::unique_ptr<event::Loop> loop)
    : config_(std::move(config)),
      signals_(std::move(signals)),
      loop_(std::move(loop)) {}

absl::Status Daemon::Open() {
  FL_ASSIGN_OR_RETURN(const std::string secret,
                      tier::ReadKeyFile(config_.key_file));
  hash_key_ = tier::DeriveHashKey(secret);
  const tier::MacKey mac_key = tier::DeriveMacKey(secret);
  FL_ASSIGN_OR_RETURN(
      control::Access access,
      control::Access::Resolve(geteuid(), GroupsOf(config_.access)));
  access_ = std::make_unique<control::Access>(std::move(access));
  const datapath::ProgramOptions options =
      ProgramOptionsOf(config_, hash_key_, loop_->Now());
  FL_ASSIGN_OR_RETURN(program_, datapath::Program::Open(options));
  FL_ASSIGN_OR_RETURN(tables_, datapath::SharedTables::Open(
                                   program_->maps(), SizesOf(config_.tables)));
  // Roles are checked for each request; the socket itself is open to the
  // groups that have one.
  FL_ASSIGN_OR_RETURN(listener_, event::ListenUnix(config_.socket, 0666));
  FL_ASSIGN_OR_RETURN(
      routes_,
      routes::RouteWatcher::Create(
          *loop_,
          [this](const base::IpAddress& address,
                 const std::optional<core::NextHop>& hop,
                 absl::string_view reason) { OnNextHop(address, hop, reason); },
          IngressOf(*program_)));
  controller_ = std::make_unique<core::Controller>(SizesOf(config_.tables),
                                                   *tables_, SystemRandom());
  event_log_ = std::make_unique<control::EventLog>(*loop_, config_.state_dir);
  happened_ = std::make_unique<event::Event>(*loop_);
  sweeper_ = std::make_unique<FlowSweeper>(
      *loop_, *controller_, *tables_, TimeoutsOf(config_.timeouts), *happened_);
  OpenProbeRoads(options.config);
  health_ =
      std::make_unique<HealthRunner>(*loop_, *controller_, *roads_, *happened_);
  agents_ = std::make_unique<AgentPoller>(
      *loop_, *controller_, *sweeper_, *happened_,
      AgentPoller::Options{.lb_id = config_.id, .mac_key = mac_key});
  tier_ = std::make_unique<TierWatch>(
      *loop_, *controller_, *tables_,
      TierWatch::Options{.node = config_.name,
                         .lb_id = config_.id,
                         .mac_key = mac_key,
                         .peers = config_.tier.peers});
  FL_ASSIGN_OR_RETURN(packet_trace_,
                      datapath::PacketTrace::Open(program_->maps()));
  tracer_ = std::make_unique<Tracer>(Tracer::Parts{
      *loop_, *packet_trace_, *controller_, *routes_, config_.gue_port});
  FL_RETURN_IF_ERROR(ListenToPeers());
  host_ = std::make_unique<Host>(Host::Parts{
      *loop_, config_, hash_key_, *program_, *tables_, *controller_, *sweeper_,
      *routes_, *roads_, *tier_, *agents_, *tracer_, *health_});
  changes_ = std::make_unique<event::Scope>(*loop_);
  api_ = std::make_unique<control::Api>(
      control::ApiParts{.loop = *loop_,
                        .changes = *changes_,
                        .controller = *controller_,
                        .host = *host_,
                        .store = *store_,
                        .events = *event_log_,
                        .access = *access_,
                        .on_changed = [this] { OnDesiredChanged(); }});
  server_ =
      std::make_unique<http::Server>(*loop_, [this](http::Request request) {
        return api_->Handle(std::move(request));
      });
  return absl::OkStatus();
}

void Daemon::OpenProbeRoads(const fl_config& config) {
  absl::StatusOr<std::unique_ptr<datapath::ProbePath>> path =
      datapath::ProbePath::Open({.pin_path = config_.pin_path,
                                 .config = config,
                                 .sizes = SizesOf(config_.tables),
                                 .maps = program_->maps()});
  const absl::Status status = path.status();
  roads_ = std::make_unique<ProbeRoads>(
      ProbeRoads::Parts{*loop_, config_.addresses, routes_->local_addresses(),
                        path.ok() ? *std::move(path) : nullptr, status});
}

// Nobody asks a host that names no peers.
absl::Status Daemon::ListenToPeers() {
  peer_server_ =
      std::make_unique<http::Server>(*loop_, [this](http::Request request) {
        return tier_->Handle(std::move(request));
      });
  if (config_.tier.peers.empty()) return absl::OkStatus();
  for (const std::optional<base::IpAddress>& own :
       {config_.addresses.ipv4, config_.addresses.ipv6}) {
    if (!own.has_value()) continue;
    FL_ASSIGN_OR_RETURN(base::UniqueFd listener,
                        event::ListenTcp({*own, config_.tier.port}),
                        "listen to the peers of section [tier]");
    peer_listeners_.push_back(std::move(listener));
  }
  return absl::OkStatus();
}

void Daemon::TakeBack() {
  if (listener_) (void)unlink(config_.socket.c_str());
  if (program_ == nullptr || program_->adopted()) return;
  const absl::Status detached = program_->Detach();
  if (!detached.ok()) base::LogWarning("detach: ", detached.message());
}

absl::Status Daemon::Run() {
  loop_->root().Spawn(Main());
  loop_->Run();
  return result_;
}

event::Task<void> Daemon::Main() {
  result_ = co_await Serve();
  loop_->Stop();
}

event::Task<absl::Status> Daemon::Serve() {
  absl::Status started = co_await Start();
  if (!started.ok()) {
    TakeBack();
    co_return started;
  }
  event::Scope& current = co_await event::CurrentScope();
  event::Scope work(current);
  work.Spawn(routes_->Run());
  work.Spawn(sweeper_->Run());
  work.Spawn(health_->Run());
  work.Spawn(agents_->Run());
  work.Spawn(tier_->Run());
  work.Spawn(KeepRecords());
  work.Spawn(WatchNewFlows());
  work.Spawn(FeedWatchdog());
  event::Scope servers(current);
  servers.Spawn(server_->Serve(std::move(listener_)));
  for (base::UniqueFd& listener : peer_listeners_)
    servers.Spawn(peer_server_->Serve(std::move(listener)));
  TellSystemd(base::kSdReady);
  base::LogInfo("fairleadd ", base::kVersion, " is ready: node ", config_.name,
                ", ", controller_->desired().services.size(), " services, ",
                program_->adopted() ? "tables taken over" : "new tables");
  co_await WaitForSignal();
  co_await Stop(servers, work);
  co_return absl::OkStatus();
}

event::Task<void> Daemon::Stop(event::Scope& servers, event::Scope& work) {
  TellSystemd(base::kSdStopping);
  servers.Cancel();
  co_await servers.Join();
  (void)unlink(config_.socket.c_str());
  co_await changes_->Join();
  work.Cancel();
  co_await work.Join();
}

// Tables of sizes that do not hold what is desired are not even made: there may
// be others, in use.
event::Task<absl::Status> Daemon::Start() {
  store_ = std::make_unique<control::Store>(*loop_, config_.state_dir);
  FL_CO_ASSIGN_OR_RETURN(core::DesiredState desired, co_await store_->Load());
  FL_CO_RETURN_IF_ERROR(core::CheckFits(desired, SizesOf(config_.tables)),
                        "desired state");
  FL_CO_RETURN_IF_ERROR(Open());
  for (const std::string& note : program_->notes()) base::LogWarning(note);
  co_return co_await TakeOver(std::move(desired));
}

// Everything that was durable becomes true in the tables before the first
// probe, poll or command.
event::Task<absl::Status> Daemon::TakeOver(core::DesiredState desired) {
  FL_CO_RETURN_IF_ERROR(co_await event_log_->Open());
  FL_CO_RETURN_IF_ERROR(controller_->Adopt(std::move(desired), loop_->Now()),
                        "apply the desired state");
  routes_->WatchOnly(BackendAddresses(controller_->desired()));
  co_return absl::OkStatus();
}

event::Task<void> Daemon::WaitForSignal() {
  while (true) {
    const absl::StatusOr<int> signal = co_await signals_.Next(*loop_);
    if (!signal.ok()) co_return;
    if (*signal != SIGHUP) {
      base::LogInfo("stopping on ", strsignal(*signal),
                    "; packets flow on without a daemon");
      co_return;
    }
    base::LogInfo("SIGHUP: there is nothing to reload; restart to read ",
                  "another node config");
  }
}

event::Task<void> Daemon::KeepRecords() {
  while (true) {
    const absl::Status kept = co_await RecordOnce();
    if (!kept.ok()) base::LogError("keep records: ", kept.message());
    const absl::Status waited =
        co_await happened_->Wait(loop_->Now() + kRecordInterval);
    if (absl::IsCancelled(waited)) break;
  }
  // What happened last is told as well; the files are written at once.
  (void)co_await RecordOnce();
}

event::Task<absl::Status> Daemon::RecordOnce() {
  std::vector<core::Event> events = controller_->TakeEvents();
  if (!events.empty())
    FL_CO_RETURN_IF_ERROR(co_await event_log_->Append(
        std::move(events), std::nullopt, loop_->WallNow()));
  if (controller_->TakeDirty()) FL_CO_RETURN_IF_ERROR(co_await api_->Persist());
  co_return absl::OkStatus();
}

event::Task<void> Daemon::WatchNewFlows() {
  while (true) {
    const absl::Status slept = co_await loop_->SleepFor(kNewFlowsInterval);
    if (!slept.ok()) co_return;
    for (const auto& [name, service] : controller_->desired().services) {
      const control::ServiceCounters counters = host_->CountersOf(service.id);
      controller_->OnNewFlows(
          name,
          {.all = counters.new_flows, .over_budget = counters.over_budget},
          loop_->Now());
    }
  }
}

event::Task<void> Daemon::FeedWatchdog() {
  while (true) {
    const absl::Status slept = co_await loop_->SleepFor(absl::Seconds(2));
    if (!slept.ok()) co_return;
    TellSystemd(base::kSdWatchdog);
  }
}

void Daemon::OnNextHop(const base::IpAddress& address,
                       const std::optional<core::NextHop>& hop,
                       absl::string_view reason) {
  const absl::Status set = tables_->SetNextHop(address, hop);
  if (!set.ok()) reason = set.message();
  const bool has_hop = set.ok() && hop.has_value();
  if (!has_hop)
    base::LogWarning("backend address ", address.ToString(), ": ", reason);
  roads_->OnNextHop(address, has_hop ? hop : std::nullopt);
  controller_->OnNextHop(address, has_hop ? hop : std::nullopt, reason);
  happened_->NotifyAll();
}

void Daemon::OnDesiredChanged() {
  routes_->WatchOnly(BackendAddresses(controller_->desired()));
  roads_->OnDesiredChanged(controller_->desired());
  health_->Kick();
  agents_->Kick();
  tier_->Recheck();
}

}  // namespace fairlead::daemon
