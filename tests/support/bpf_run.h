// One run of a loaded XDP program by BPF_PROG_TEST_RUN, and the memory of a
// map. No state and no assertions: threads may use it side by side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "tests/support/packet.h"

namespace fairlead::test {

struct TestRunOptions {
  uint32_t repeat = 1;
  // A program that runs first and goes on to the one under test by a tail call;
  // -1: none.
  int through_fd = -1;
};

struct TestRunResult {
  int error = 0;  // errno of the call, 0 when it ran
  uint32_t action = 0;
  uint32_t nanoseconds = 0;  // mean of the repeats
  Bytes frame;
};

// The kernel refuses frames below 14 bytes with EINVAL.
TestRunResult TestRun(int program_fd, std::span<const uint8_t> frame,
                      const TestRunOptions& options = {});

// Empty if BPF programs can be loaded here, else why not.
std::string WhyNoBpf();

// Maps an mmapable array map. Owns the mapping, not the map.
class SharedMemory {
 public:
  SharedMemory() = default;
  SharedMemory(int map_fd, size_t bytes);
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory();

  template <typename T>
  std::span<T> as() const {
    return {static_cast<T*>(address_), bytes_ / sizeof(T)};
  }

 private:
  void* address_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace fairlead::test
