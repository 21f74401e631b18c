#include "datapath/egress_hooks.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "datapath/libbpf_log.h"
#include "datapath/pin_folder.h"

namespace fairlead::datapath {
namespace {

constexpr absl::string_view kPrefix = "link_";
constexpr mode_t kFolderMode = 0700;
// Of the kernel's interface since 6.6; Debian 12's headers are older.
constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);
// A filter in front of all others lets pass what is not ours, so nobody minds.
constexpr __u32 kPriority = 1;
constexpr __u32 kHandle = 0xf1ea;

struct FoundLink {
  base::UniqueFd fd;
  uint32_t interface = 0;  // 0: it is gone
};

absl::StatusOr<std::optional<FoundLink>> OpenLink(const std::string& path) {
  FoundLink link;
  link.fd.reset(bpf_obj_get(path.c_str()));
  if (!link.fd && errno == ENOENT) return std::nullopt;
  if (!link.fd) return base::SyscallError(absl::StrCat("open ", path));
  bpf_link_info info = {};
  __u32 size = sizeof(info);
  const int result = bpf_obj_get_info_by_fd(link.fd.get(), &info, &size);
  if (result != 0) return base::BpfError(result, absl::StrCat("read ", path));
  // Every link of an interface begins with its index.
  link.interface = info.xdp.ifindex;
  return link;
}

bpf_tc_hook HookOf(uint32_t interface) {
  bpf_tc_hook hook = {};
  hook.sz = sizeof(hook);
  hook.ifindex = static_cast<int>(interface);
  hook.attach_point = BPF_TC_EGRESS;
  return hook;
}

bpf_tc_opts OurFilter() {
  bpf_tc_opts filter = {};
  filter.sz = sizeof(filter);
  filter.handle = kHandle;
  filter.priority = kPriority;
  return filter;
}

std::vector<uint32_t> AllInterfaces() {
  const std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex*)>
      list(if_nameindex(), if_freenameindex);
  std::vector<uint32_t> indices;
  for (const struct if_nameindex* at = list.get();
       at != nullptr && at->if_index != 0; ++at)
    indices.push_back(at->if_index);
  return indices;
}

}  // namespace

std::string EgressHooks::PathOf(uint32_t interface) const {
  return absl::StrCat(folder_, "/", kPrefix, interface);
}

absl::Status EgressHooks::DropStale(const std::string& path) const {
  FL_ASSIGN_OR_RETURN(const std::optional<FoundLink> link, OpenLink(path));
  if (link.has_value() && link->interface == 0) return RemoveFile(path);
  return absl::OkStatus();
}

absl::StatusOr<std::set<uint32_t>> EgressHooks::Find() const {
  std::set<uint32_t> found;
  FL_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                      ListFolder(folder_));
  for (const std::string& name : names) {
    uint32_t interface = 0;
    if (!absl::StartsWith(name, kPrefix) ||
        !absl::SimpleAtoi(name.substr(kPrefix.size()), &interface))
      continue;
    FL_RETURN_IF_ERROR(DropStale(PathOf(interface)));
    FL_ASSIGN_OR_RETURN(const std::optional<FoundLink> link,
                        OpenLink(PathOf(interface)));
    if (link.has_value()) found.insert(interface);
  }
  // Where there is no clsact, libbpf says so.
  const LibbpfLog unheard;
  for (const uint32_t interface : AllInterfaces())
    if (HasFilter(interface)) found.insert(interface);
  return found;
}

bool EgressHooks::HasFilter(uint32_t interface) const {
  const bpf_tc_hook hook = HookOf(interface);
  bpf_tc_opts filter = OurFilter();
  return bpf_tc_query(&hook, &filter) == 0 &&
         ProgramName(filter.prog_id) == program_;
}

absl::Status EgressHooks::Put(const Interface& interface, int program) const {
  const std::string what = absl::StrCat("attach the program of health checks ",
                                        "to the way out of ", interface.name);
  const std::string path = PathOf(interface.index);
  FL_RETURN_IF_ERROR(DropStale(path));
  FL_ASSIGN_OR_RETURN(const std::optional<FoundLink> present, OpenLink(path));
  if (present.has_value()) {
    const int result = bpf_link_update(present->fd.get(), program, nullptr);
    return result == 0 ? absl::OkStatus() : base::BpfError(result, what);
  }
  if (kind_ == Kind::kFilter) return PutFilter(interface, program);
  const int link = bpf_link_create(program, static_cast<int>(interface.index),
                                   kTcxEgress, nullptr);
  // The kernel does not know this kind of link.
  if (link == -EINVAL) return PutFilter(interface, program);
  if (link < 0) return base::BpfError(link, what);
  const base::UniqueFd fd(link);
  if (mkdir(folder_.c_str(), kFolderMode) != 0 && errno != EEXIST)
    return base::SyscallError(absl::StrCat("mkdir ", folder_));
  const int pinned = bpf_obj_pin(fd.get(), path.c_str());
  if (pinned == 0) return absl::OkStatus();
  return base::BpfError(pinned, absl::StrCat("pin ", path));
}

absl::Status EgressHooks::PutFilter(const Interface& interface,
                                    int program) const {
  const LibbpfLog log;
  const std::string what = absl::StrCat("attach the program of health checks ",
                                        "to clsact of ", interface.name);
  bpf_tc_hook hook = HookOf(interface.index);
  const int created = bpf_tc_hook_create(&hook);
  if (created != 0 && created != -EEXIST)
    return base::BpfError(created, absl::StrCat(what, ": ", log.Tail(1)));
  bpf_tc_opts filter = OurFilter();
  filter.prog_fd = program;
  filter.flags = BPF_TC_F_REPLACE;
  const int result = bpf_tc_attach(&hook, &filter);
  if (result == 0) return absl::OkStatus();
  return base::BpfError(result, absl::StrCat(what, ": ", log.Tail(1)));
}

absl::Status EgressHooks::Remove(uint32_t interface) const {
  const std::string path = PathOf(interface);
  FL_ASSIGN_OR_RETURN(const std::optional<FoundLink> link, OpenLink(path));
  if (link.has_value()) {
    // To remove the pin alone would detach as well, but some time later.
    const int result = bpf_link_detach(link->fd.get());
    if (result != 0 && link->interface != 0)
      return base::BpfError(result, absl::StrCat("detach ", path));
    FL_RETURN_IF_ERROR(RemoveFile(path));
  }
  const LibbpfLog unheard;
  if (!HasFilter(interface)) return absl::OkStatus();
  const bpf_tc_hook hook = HookOf(interface);
  const bpf_tc_opts filter = OurFilter();
  const int result = bpf_tc_detach(&hook, &filter);
  if (result == 0) return absl::OkStatus();
  return base::BpfError(
      result, absl::StrCat("remove the filter of ", InterfaceName(interface)));
}

absl::Status EgressHooks::RemoveAll() const {
  FL_ASSIGN_OR_RETURN(const std::set<uint32_t> interfaces, Find());
  for (const uint32_t interface : interfaces)
    FL_RETURN_IF_ERROR(Remove(interface));
  return absl::OkStatus();
}

}  // namespace fairlead::datapath
