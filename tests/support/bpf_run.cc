#include "tests/support/bpf_run.h"

#include <bpf/bpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/unique_fd.h"

namespace fairlead::test {
namespace {

// What a program may put in front of a frame or behind it.
constexpr size_t kGrowth = 512;

}  // namespace

TestRunResult TestRun(int program_fd, std::span<const uint8_t> frame,
                      const TestRunOptions& options) {
  TestRunResult result;
  result.frame.resize(frame.size() + kGrowth);

  bpf_test_run_opts run = {};
  run.sz = sizeof(run);
  run.data_in = frame.data();
  run.data_size_in = static_cast<uint32_t>(frame.size());
  run.data_out = result.frame.data();
  run.data_size_out = static_cast<uint32_t>(result.frame.size());
  run.repeat = static_cast<int>(options.repeat);
  const int entry_fd =
      options.through_fd >= 0 ? options.through_fd : program_fd;
  const int error = bpf_prog_test_run_opts(entry_fd, &run);
  result.error = error < 0 ? -error : 0;
  result.action = run.retval;
  result.nanoseconds = run.duration;
  result.frame.resize(result.error == 0 ? run.data_size_out : 0);
  return result;
}

std::string WhyNoBpf() {
  const base::UniqueFd fd(
      bpf_map_create(BPF_MAP_TYPE_ARRAY, "fl_test_probe", 4, 8, 1, nullptr));
  if (fd.valid()) return "";
  return absl::StrCat("no BPF maps here: ", std::strerror(errno));
}

SharedMemory::SharedMemory(int map_fd, size_t bytes) : bytes_(bytes) {
  address_ =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
  FL_CHECK(address_ != MAP_FAILED);
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : address_(std::exchange(other.address_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(address_, other.address_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (address_ != nullptr) munmap(address_, bytes_);
}

}  // namespace fairlead::test
