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
  Bytes in(options.metadata);
  in.insert(in.end(), frame.begin(), frame.end());
  result.frame.resize(in.size() + kGrowth);

  xdp_md context = {};
  context.data = options.metadata;
  context.data_end = static_cast<uint32_t>(in.size());
  bpf_test_run_opts run = {};
  run.sz = sizeof(run);
  run.data_in = in.data();
  run.data_size_in = static_cast<uint32_t>(in.size());
  run.data_out = result.frame.data();
  run.data_size_out = static_cast<uint32_t>(result.frame.size());
  run.repeat = static_cast<int>(options.repeat);
  if (options.metadata != 0) {
    run.ctx_in = &context;
    run.ctx_size_in = sizeof(context);
  }
  const int error = bpf_prog_test_run_opts(program_fd, &run);
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
