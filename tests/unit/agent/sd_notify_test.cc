#include "base/sd_notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "tests/unit/event/temp_folder.h"

namespace fairlead::base {
namespace {

// A manager's socket; "@name" is abstract.
UniqueFd Manager(const std::string& name) {
  UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path, sizeof(address.sun_path) - 1);
  if (name[0] == '@') address.sun_path[0] = '\0';
  REQUIRE(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
               static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) +
                                      name.size())) == 0);
  return fd;
}

std::string Received(const UniqueFd& fd) {
  std::array<char, 64> buffer = {};
  const ssize_t got =
      recv(fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  return got < 0 ? "" : std::string(buffer.data(), static_cast<size_t>(got));
}

// Sets a variable of the environment for one test.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { unsetenv(name_); }

 private:
  const char* name_;
};

TEST_CASE("a notification arrives at a socket with a path",
          "[base][sd_notify]") {
  const event::TempFolder folder;
  const UniqueFd manager = Manager(folder.File("notify"));
  const Variable variable("NOTIFY_SOCKET", folder.File("notify"));
  REQUIRE(SdNotify(kSdReady).ok());
  CHECK(Received(manager) == "READY=1");
  REQUIRE(SdNotify(kSdStopping).ok());
  CHECK(Received(manager) == "STOPPING=1");
}

TEST_CASE("a notification arrives at an abstract socket", "[base][sd_notify]") {
  const std::string name = absl::StrCat("@fairlead-sd-notify-", getpid());
  const UniqueFd manager = Manager(name);
  REQUIRE(SdNotifyTo(name, kSdWatchdog).ok());
  CHECK(Received(manager) == "WATCHDOG=1");
}

TEST_CASE("without a manager a notification is nothing", "[base][sd_notify]") {
  unsetenv("NOTIFY_SOCKET");
  CHECK(SdNotify(kSdReady).ok());
}

TEST_CASE("a manager that cannot be reached is an error", "[base][sd_notify]") {
  const event::TempFolder folder;
  CHECK_FALSE(SdNotifyTo(folder.File("nobody"), kSdReady).ok());
  CHECK(SdNotifyTo("relative", kSdReady).code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(SdNotifyTo(std::string(200, '/'), kSdReady).code() ==
        absl::StatusCode::kInvalidArgument);
}

TEST_CASE("the watchdog is fed twice in the time that it allows",
          "[base][sd_notify]") {
  CHECK_FALSE(SdWatchdogInterval().has_value());
  const Variable time("WATCHDOG_USEC", "10000000");
  CHECK(SdWatchdogInterval() == absl::Seconds(5));
  {
    const Variable own("WATCHDOG_PID", absl::StrCat(getpid()));
    CHECK(SdWatchdogInterval() == absl::Seconds(5));
  }
  const Variable other("WATCHDOG_PID", "1");
  CHECK_FALSE(SdWatchdogInterval().has_value());
}

}  // namespace
}  // namespace fairlead::base
