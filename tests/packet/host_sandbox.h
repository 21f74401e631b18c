// A network namespace and a BPF file system of a test's own: what it attaches
// and pins is gone afterwards, however the test ends.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace fairlead::test {

// An empty BPF file system at /sys/fs/bpf, seen by this process alone.
class BpfFsSandbox {
 public:
  BpfFsSandbox();
  BpfFsSandbox(const BpfFsSandbox&) = delete;
  BpfFsSandbox& operator=(const BpfFsSandbox&) = delete;
  ~BpfFsSandbox();
};

// The calling thread lives in a new network namespace until destruction.
class NetnsSandbox {
 public:
  NetnsSandbox();
  NetnsSandbox(const NetnsSandbox&) = delete;
  NetnsSandbox& operator=(const NetnsSandbox&) = delete;
  ~NetnsSandbox();

 private:
  base::UniqueFd before_;
  base::UniqueFd own_;  // keeps the namespace while another one is entered
};

// A pair of interfaces that are up; returns the index of `name`.
uint32_t AddVeth(absl::string_view name, absl::string_view peer);
// Runs a command; it must succeed.
void RunCommand(const std::string& command);
// The id of the XDP program on the interface, 0 if there is none.
uint32_t XdpProgramOn(uint32_t interface);
// Loads an XDP program that passes everything.
base::UniqueFd LoadPassProgram(const char* name);

}  // namespace fairlead::test
