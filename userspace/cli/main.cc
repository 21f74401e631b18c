// `fairlead`: the command line of Fairlead. Wires cli::Run to the real world.
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/errors.h"
#include "base/unique_fd.h"
#include "cli/environment.h"
#include "cli/exit_code.h"
#include "cli/run.h"
#include "config/strict_toml.h"
#include "http/blocking_client.h"

namespace {

using fairlead::base::MonoTime;

std::optional<std::string> GetEnv(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return value;
}

// Reads no more than shows that it is too large.
absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const auto error = [&] {
    const absl::Status status = fairlead::base::SyscallError("read " + path);
    return fairlead::cli::Failed(status.message());
  };
  const fairlead::base::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return error();
  std::string text(fairlead::config::kMaxConfigBytes + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(fd.get(), &text[size], text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return error();
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  text.resize(size);
  return text;
}

absl::StatusOr<std::unique_ptr<std::ostream>> CreateFile(
    const std::string& path) {
  auto file =
      std::make_unique<std::ofstream>(path, std::ios::binary | std::ios::trunc);
  if (file->is_open()) return file;
  const absl::Status status = fairlead::base::SyscallError("create " + path);
  return fairlead::cli::Failed(status.message());
}

// The command line has no loop to ask for the time or to wait in.
MonoTime Now() {
  timespec now = {};
  // NOLINTNEXTLINE(clock): see above
  clock_gettime(CLOCK_MONOTONIC, &now);
  return MonoTime::FromNanoseconds(now.tv_sec * 1'000'000'000 + now.tv_nsec);
}

void Wait(absl::Duration duration) {
  timespec left = absl::ToTimespec(duration);
  // NOLINTNEXTLINE(clock): see above
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  fairlead::cli::Environment environment = {
      .out = std::cout,
      .err = std::cerr,
      .getenv = GetEnv,
      .read_file = ReadFile,
      .create_file = CreateFile,
      .call = fairlead::http::Call,
      .stream = fairlead::http::Stream,
      .now = Now,
      .wait = Wait,
  };
  std::vector<std::string> arguments(argv + 1, argv + argc);
  return static_cast<int>(
      fairlead::cli::Run(std::move(arguments), environment));
}
