#include "tests/packet/host_sandbox.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "tests/support/skip.h"

namespace fairlead::test {
namespace {

constexpr const char* kBpfFs = "/sys/fs/bpf";

// Mounts of this process are its own from here on.
bool UnshareMounts() {
  static const bool done =
      unshare(CLONE_NEWNS) == 0 &&
      mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  return done;
}

}  // namespace

BpfFsSandbox::BpfFsSandbox() {
  if (!UnshareMounts()) SkipAll("needs root: cannot unshare mounts");
  FL_CHECK(mount("bpf", kBpfFs, "bpf", 0, nullptr) == 0);
}

BpfFsSandbox::~BpfFsSandbox() { umount2(kBpfFs, MNT_DETACH); }

NetnsSandbox::NetnsSandbox()
    : before_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
  FL_CHECK(before_.valid());
  if (unshare(CLONE_NEWNET) != 0) {
    SkipAll("needs root: cannot unshare the network");
  }
  own_.reset(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  FL_CHECK(own_.valid());
}

NetnsSandbox::~NetnsSandbox() {
  FL_CHECK(setns(before_.get(), CLONE_NEWNET) == 0);
}

void RunCommand(const std::string& command) {
  FL_CHECK(std::system(command.c_str()) == 0);
}

uint32_t AddVeth(absl::string_view name, absl::string_view peer) {
  RunCommand(absl::StrCat("ip link add ", name, " type veth peer name ", peer));
  RunCommand(absl::StrCat("ip link set ", name, " up"));
  RunCommand(absl::StrCat("ip link set ", peer, " up"));
  return if_nametoindex(std::string(name).c_str());
}

uint32_t XdpProgramOn(uint32_t interface) {
  __u32 id = 0;
  FL_CHECK(bpf_xdp_query_id(static_cast<int>(interface), 0, &id) == 0);
  return id;
}

base::UniqueFd LoadPassProgram(const char* name) {
  const bpf_insn program[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K,
       .dst_reg = BPF_REG_0,
       .src_reg = 0,
       .off = 0,
       .imm = XDP_PASS},
      {.code = BPF_JMP | BPF_EXIT,
       .dst_reg = 0,
       .src_reg = 0,
       .off = 0,
       .imm = 0},
  };
  base::UniqueFd fd(
      bpf_prog_load(BPF_PROG_TYPE_XDP, name, "GPL", program, 2, nullptr));
  FL_CHECK(fd.valid());
  return fd;
}

}  // namespace fairlead::test
