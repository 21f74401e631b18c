// How many health checks the daemon makes on one CPU, how punctually, in how
// much memory; and HAProxy, if it is installed, doing the same.
//
//   checks_bench [--quick] [--only TEXT]
//
// The real controller, its tables in plain memory, with the daemon's probes on
// the daemon's loop, on CPU 0; the server is a process on CPU 1. Both are in a
// network namespace of their own, whose loopback has the backends' addresses,
// those of benchmarks (198.18.0.0/15); it needs root. What the namespace opened
// is what counts. All backends are known to be up when it begins, as after a
// restart of the daemon, so that their checks are spread over an interval. The
// floor is a bare loop of connects, or requests, to the same server, on CPU 0
// as well.
#include <arpa/inet.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "core/controller.h"
#include "daemon/probe_roads.h"
#include "event/loop.h"
#include "event/scope.h"
#include "event/sync.h"
#include "fairlead/abi/maps.h"
#include "tests/bench/check_server.h"
#include "tests/bench/report.h"
#include "tests/support/fake_datapath.h"

namespace fairlead::test {
namespace {

constexpr int kOurCpu = 0;
constexpr uint32_t kBackendsOfService = 100;
constexpr uint32_t kRows = 8192;
constexpr uint32_t kBackendNet = 0xc6120000;
constexpr char kHaproxy[] = "/usr/sbin/haproxy";
// Until everything that is done once has been done.
constexpr absl::Duration kSettling = absl::Seconds(2);

struct Case {
  std::string name;
  core::CheckKind kind;
  uint32_t backends;
  absl::Duration interval;
};

double Now() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) +
         static_cast<double>(now.tv_nsec) / 1e9;
}

double OwnCpuSeconds() {
  timespec now = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) +
         static_cast<double>(now.tv_nsec) / 1e9;
}

void WaitFor(absl::Duration duration) {
  (void)poll(nullptr, 0, static_cast<int>(absl::ToInt64Milliseconds(duration)));
}

uint64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// Connections that anybody in this network namespace has opened so far. The
// server knows less: HAProxy resets a connection before its handshake is over.
uint64_t Opened() {
  std::ifstream file("/proc/net/snmp");
  std::string line;
  while (std::getline(file, line)) {
    uint64_t opened = 0;
    if (std::sscanf(line.c_str(), "Tcp: %*d %*d %*d %*d %lu", &opened) == 1)
      return opened;
  }
  FL_CHECK(false);
  return 0;
}

base::IpAddress BackendAddress(uint32_t index) {
  return base::IpAddress::FromIpv4(kBackendNet + 1 + index);
}

Speech SpeechOf(core::CheckKind kind) {
  return kind == core::CheckKind::kHttp ? Speech::kHttp : Speech::kNone;
}

core::DesiredState MakeDesired(const Case& c, uint16_t port) {
  core::DesiredState desired;
  for (uint32_t i = 0; i < c.backends; ++i) {
    const uint32_t number = i / kBackendsOfService;
    const std::string name = absl::StrCat("s", number);
    core::Service& service = desired.services[name];
    if (service.backends.empty()) {
      service.id = static_cast<core::ServiceId>(number + 1);
      service.name = name;
      service.vip = {base::IpAddress::FromIpv4(0xc6336400 + number), port};
      service.rows = kRows;
      service.rows_base = number * kRows;
      service.guarantee = core::Guarantee::kFlowTable;
      service.check.kind = c.kind;
      service.check.interval = c.interval;
      service.check.timeout = std::min(c.interval, absl::Seconds(1));
    }
    const std::string backend = absl::StrCat("b", i);
    service.backends[backend] = {.id = static_cast<core::BackendId>(i + 1),
                                 .name = backend,
                                 .address = BackendAddress(i)};
  }
  return desired;
}

core::TableSizes SizesOf(uint32_t backends) {
  const uint32_t services = backends / kBackendsOfService + 1;
  return {.services = services + 1,
          .backends = backends + 1,
          .rows = services * kRows};
}

// What HealthRunner does, with a look at the clock when each check begins.
class Checking {
 public:
  Checking(const Case& c, uint16_t port)
      : loop_(event::Loop::Create().value()),
        tables_(SizesOf(c.backends)),
        controller_(SizesOf(c.backends), tables_,
                    [generator = std::mt19937_64(1)]() mutable {
                      return std::uniform_real_distribution<double>(
                          0.0, 1.0)(generator);
                    }),
        roads_({*loop_, addresses_, local_, nullptr, absl::OkStatus()}),
        kick_(*loop_) {
    for (uint32_t i = 0; i < c.backends; ++i) {
      tables_.PutBackend(static_cast<core::BackendId>(i + 1),
                         {.state = FL_BACKEND_USED | FL_BACKEND_ELIGIBLE,
                          .address = BackendAddress(i),
                          .service = static_cast<core::ServiceId>(
                              i / kBackendsOfService + 1)});
    }
    const absl::Status adopted =
        controller_.Adopt(MakeDesired(c, port), loop_->Now());
    if (!adopted.ok()) {
      std::fprintf(stderr, "checks_bench: %s\n", adopted.ToString().c_str());
      std::exit(1);
    }
  }

  void RunFor(absl::Duration duration) {
    loop_->root().Spawn(Main(loop_->Now() + duration));
    loop_->Run();
    // Events of a fleet that is well are few; but nobody reads them here.
    (void)controller_.TakeEvents();
  }

  // Ends each part of a case: what follows is of the next.
  void Reset() {
    delays_.clear();
    failures_ = 0;
  }
  std::vector<absl::Duration>& delays() { return delays_; }
  uint64_t failures() const { return failures_; }
  core::Controller& controller() { return controller_; }

 private:
  event::Task<void> Main(base::MonoTime end) {
    event::Scope probes(co_await event::CurrentScope());
    while (loop_->Now() < end) {
      for (core::ProbeRequest& request : controller_.DueProbes(loop_->Now()))
        probes.Spawn(RunOne(std::move(request)));
      const base::MonoTime next =
          controller_.NextDeadline().value_or(base::MonoTime::InfiniteFuture());
      (void)co_await kick_.Wait(std::min(next, end));
    }
    co_await probes.Join();
  }

  event::Task<void> RunOne(core::ProbeRequest request) {
    delays_.push_back(loop_->Now() - request.due);
    const core::ProbeResult result = co_await roads_.Probe(request);
    if (result.outcome != core::ProbeOutcome::kSuccess) ++failures_;
    controller_.OnProbeResult(request, result, loop_->Now());
    kick_.NotifyAll();
  }

  const config::HostAddresses addresses_ = {};
  const std::set<base::IpAddress> local_ = {};
  std::unique_ptr<event::Loop> loop_;
  testing::FakeDatapath tables_;
  core::Controller controller_;
  daemon::ProbeRoads roads_;
  event::Event kick_;
  std::vector<absl::Duration> delays_;
  uint64_t failures_ = 0;
};

// A connection that is dropped by a reset, as a probe's.
int Connect(uint32_t index, uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const linger on = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &on, sizeof(on));
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(BackendAddress(index).ipv4());
  FL_CHECK(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0);
  return fd;
}

// A bare loop: 64 at a time, so that the server's CPU works meanwhile.
uint64_t BareRound(const CheckServer& server, Speech speech, uint32_t first) {
  constexpr char kRequest[] =
      "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
  std::array<int, 64> fds;
  uint32_t index = first;
  for (int& fd : fds) {
    fd = Connect(index++ % 10'000, server.port());
    if (speech == Speech::kHttp)
      FL_CHECK(send(fd, kRequest, sizeof(kRequest) - 1, 0) > 0);
  }
  std::array<char, 256> answer;
  for (const int fd : fds) {
    if (speech == Speech::kHttp)
      FL_CHECK(recv(fd, answer.data(), answer.size(), 0) > 0);
    close(fd);
  }
  return fds.size();
}

double FloorRate(core::CheckKind kind, double seconds) {
  const CheckServer server(SpeechOf(kind));
  uint64_t made = 0;
  const double begin = Now();
  const double cpu = OwnCpuSeconds();
  while (Now() - begin < seconds)
    made += BareRound(server, SpeechOf(kind), static_cast<uint32_t>(made));
  return static_cast<double>(made) / (OwnCpuSeconds() - cpu);
}

// Per second of the clock, and per second of the CPU that made them, which
// tells more on a machine that others use too.
void Tell(JsonLine& line, const Case& c, double served, double seconds,
          double cpu, double server_cpu) {
  line.Count("checks", c.backends)
      .Number("interval_ms", absl::ToDoubleMilliseconds(c.interval))
      .Number("checks_per_second", served / seconds)
      .Number("checks_per_cpu_second", served / cpu)
      .Number("cpu_share", cpu / seconds)
      .Number("server_cpu_share", server_cpu / seconds);
}

void Ours(const Case& c, absl::Duration duration) {
  const CheckServer server(SpeechOf(c.kind));
  PinTo(kOurCpu);
  const double floor = FloorRate(c.kind, 1.0);
  Checking checking(c, server.port());
  checking.RunFor(kSettling);
  checking.Reset();
  const double begin = Now(), cpu = OwnCpuSeconds();
  const double server_cpu = server.CpuSeconds();
  const uint64_t before = Opened();
  checking.RunFor(duration);
  const double seconds = Now() - begin;
  const double used = OwnCpuSeconds() - cpu;
  std::vector<absl::Duration>& delays = checking.delays();
  std::sort(delays.begin(), delays.end());
  JsonLine line("checks", c.name);
  Tell(line, c, static_cast<double>(Opened() - before), seconds, used,
       server.CpuSeconds() - server_cpu);
  line.Number("floor_per_cpu_second", floor)
      .Number("start_delay_p50_ms",
              absl::ToDoubleMilliseconds(delays[delays.size() / 2]))
      .Number("start_delay_p99_ms",
              absl::ToDoubleMilliseconds(delays[delays.size() * 99 / 100]))
      .Count("failures", checking.failures());
}

// In a process of its own, whose memory nothing else has used.
uint64_t ResidentWith(core::CheckKind kind, absl::Duration duration) {
  constexpr uint32_t kChecks = 10'000;
  const CheckServer server(Speech::kNone);
  int ends[2];
  FL_CHECK(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    PinTo(kOurCpu);
    Checking checking({.name = "",
                       .kind = kind,
                       .backends = kChecks,
                       .interval = absl::Milliseconds(500)},
                      server.port());
    checking.delays().reserve(1);
    checking.RunFor(duration);
    checking.delays() = {};
    malloc_trim(0);
    const uint64_t bytes = ResidentBytes();
    FL_CHECK(write(ends[1], &bytes, sizeof(bytes)) == sizeof(bytes));
    _exit(0);
  }
  close(ends[1]);
  uint64_t bytes = 0;
  FL_CHECK(read(ends[0], &bytes, sizeof(bytes)) == sizeof(bytes));
  waitpid(child, nullptr, 0);
  close(ends[0]);
  return bytes;
}

void Memory(absl::Duration duration) {
  const uint64_t without = ResidentWith(core::CheckKind::kNone, duration);
  const uint64_t with = ResidentWith(core::CheckKind::kTcp, duration);
  JsonLine line("checks", "memory of an idle check");
  line.Count("checks", 10'000)
      .Count("resident_without", without)
      .Count("resident_with", with)
      .Number(
          "bytes_per_check",
          (static_cast<double>(with) - static_cast<double>(without)) / 10'000);
}

std::string HaproxyConfig(const Case& c, uint16_t port) {
  const bool http = c.kind == core::CheckKind::kHttp;
  std::string text = absl::StrCat(
      "global\n  nbthread 1\n  maxconn 100\ndefaults\n  mode ",
      http ? "http" : "tcp",
      "\n  timeout connect 1s\n  timeout check 1s\n  timeout client 1s\n"
      "  timeout server 1s\nfrontend f\n  bind abns@fairlead-checks-bench\n"
      "  default_backend s0\n");
  for (uint32_t i = 0; i < c.backends; ++i) {
    if (i % kBackendsOfService == 0) {
      absl::StrAppend(&text, "backend s", i / kBackendsOfService, "\n");
      if (http) absl::StrAppend(&text, "  option httpchk GET /\n");
    }
    absl::StrAppend(&text, "  server b", i, " ", BackendAddress(i).ToString(),
                    ":", port, " check inter ",
                    absl::ToInt64Milliseconds(c.interval), "ms\n");
  }
  return text;
}

void Haproxy(const Case& c, absl::Duration duration) {
  const CheckServer server(SpeechOf(c.kind));
  const uint64_t idle = Opened();
  const std::filesystem::path config =
      std::filesystem::temp_directory_path() /
      absl::StrCat("checks_bench.", getpid(), ".cfg");
  std::ofstream(config) << HaproxyConfig(c, server.port());
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    PinTo(kOurCpu);
    execl(kHaproxy, kHaproxy, "-db", "-q", "-f", config.c_str(), nullptr);
    _exit(1);
  }
  // It reads its configuration, then spreads its first checks over an interval.
  for (int i = 0; i < 30 && Opened() - idle < c.backends; ++i)
    WaitFor(absl::Seconds(1));
  WaitFor(kSettling);
  const double begin = Now(), cpu = CpuSecondsOf(child);
  const double server_cpu = server.CpuSeconds();
  const uint64_t before = Opened();
  WaitFor(duration);
  const double seconds = Now() - begin;
  const double used = CpuSecondsOf(child) - cpu;
  {
    JsonLine line("checks", absl::StrCat("HAProxy: ", c.name));
    Tell(line, c, static_cast<double>(Opened() - before), seconds, used,
         server.CpuSeconds() - server_cpu);
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  std::filesystem::remove(config);
}

void EnterOwnNetwork() {
  const std::string net = base::IpAddress::FromIpv4(kBackendNet).ToString();
  const std::string command = absl::StrCat(
      "ip link set lo up && ip route add local ", net, "/15 dev lo");
  if (unshare(CLONE_NEWNET) == 0 && std::system(command.c_str()) == 0) return;
  std::perror("checks_bench: a network namespace of its own (needs root)");
  std::exit(1);
}

void RaiseLimits() {
  rlimit limit = {};
  FL_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = limit.rlim_max;
  FL_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

int Main(int argc, char** argv) {
  const BenchOptions options = ParseBenchOptions(argc, argv);
  using core::CheckKind;
  RaiseLimits();
  EnterOwnNetwork();
  const absl::Duration duration = absl::Seconds(options.quick ? 2 : 10);
  // More than one CPU can do: what comes of it is what it can.
  const std::vector<Case> cases = {
      {"tcp, all it can", CheckKind::kTcp, 10'000, absl::Milliseconds(100)},
      {"tcp, 25,000/s", CheckKind::kTcp, 2'500, absl::Milliseconds(100)},
      {"http, all it can", CheckKind::kHttp, 5'000, absl::Milliseconds(100)},
      {"http, 10,000/s", CheckKind::kHttp, 1'000, absl::Milliseconds(100)},
      {"tcp, 10,000 x 2 s", CheckKind::kTcp, 10'000, absl::Seconds(2)},
      {"http, 10,000 x 2 s", CheckKind::kHttp, 10'000, absl::Seconds(2)}};
  if (options.Wants("memory")) Memory(absl::Seconds(options.quick ? 2 : 14));
  for (const Case& c : cases) {
    if (!options.Wants(c.name)) continue;
    Ours(c, duration);
    if (access(kHaproxy, X_OK) == 0) Haproxy(c, duration);
  }
  return 0;
}

}  // namespace
}  // namespace fairlead::test

int main(int argc, char** argv) { return fairlead::test::Main(argc, argv); }
