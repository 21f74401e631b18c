#include "datapath/xdp_link.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "datapath/pin_folder.h"

namespace fairlead::datapath {
namespace {

constexpr absl::string_view kLinkPrefix = "link_";

std::vector<std::string> InterfaceNames() {
  const std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex*)>
      list(if_nameindex(), if_freenameindex);
  std::vector<std::string> names;
  for (const struct if_nameindex* at = list.get();
       at != nullptr && at->if_index != 0; ++at) {
    names.push_back(at->if_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

// What drivers say to frames that would not fit in one page, or to XDP at all.
bool IsDriverRefusal(int error) {
  return error == -EOPNOTSUPP || error == -EINVAL || error == -ERANGE;
}

absl::StatusOr<PinnedLink> OpenPinnedLink(const std::string& path) {
  PinnedLink link;
  link.path = path;
  link.fd.reset(bpf_obj_get(path.c_str()));
  if (!link.fd) return base::SyscallError(absl::StrCat("open ", path));
  bpf_link_info info = {};
  __u32 size = sizeof(info);
  const int result = bpf_obj_get_info_by_fd(link.fd.get(), &info, &size);
  if (result != 0) return base::BpfError(result, absl::StrCat("read ", path));
  if (info.type != BPF_LINK_TYPE_XDP) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is no link of an XDP program; remove it"));
  }
  link.interface = info.xdp.ifindex;
  link.program = info.prog_id;
  return link;
}

}  // namespace

absl::string_view ToString(XdpMode mode) {
  return mode == XdpMode::kNative ? "native" : "generic";
}

absl::StatusOr<Interface> FindInterface(const std::string& name) {
  const unsigned int index = if_nametoindex(name.c_str());
  if (index != 0) return Interface{.name = name, .index = index};
  return absl::NotFoundError(
      absl::StrCat("no interface ", name,
                   " (have: ", absl::StrJoin(InterfaceNames(), ", "), ")"));
}

std::string InterfaceName(uint32_t index) {
  char name[IF_NAMESIZE];
  if (if_indextoname(index, name) != nullptr) return name;
  return absl::StrCat("interface ", index);
}

absl::StatusOr<std::optional<AttachedProgram>> QueryXdp(
    const Interface& interface) {
  bpf_xdp_query_opts found = {};
  found.sz = sizeof(found);
  const int result =
      bpf_xdp_query(static_cast<int>(interface.index), 0, &found);
  if (result != 0) {
    return base::BpfError(
        result, absl::StrCat("query the XDP program of ", interface.name));
  }
  if (found.drv_prog_id != 0 || found.hw_prog_id != 0) {
    return AttachedProgram{
        .id = found.drv_prog_id != 0 ? found.drv_prog_id : found.hw_prog_id,
        .mode = XdpMode::kNative};
  }
  if (found.skb_prog_id != 0) {
    return AttachedProgram{.id = found.skb_prog_id, .mode = XdpMode::kGeneric};
  }
  return std::nullopt;
}

std::string ProgramName(uint32_t id) {
  const base::UniqueFd fd(bpf_prog_get_fd_by_id(id));
  if (!fd) return "";
  bpf_prog_info info = {};
  __u32 size = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return "";
  return info.name;
}

absl::StatusOr<std::vector<PinnedLink>> FindPinnedLinks(
    const std::string& folder) {
  std::vector<PinnedLink> links;
  FL_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(folder));
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, kLinkPrefix)) continue;
    FL_ASSIGN_OR_RETURN(PinnedLink link,
                        OpenPinnedLink(absl::StrCat(folder, "/", name)));
    links.push_back(std::move(link));
  }
  return links;
}

std::string LinkPath(const std::string& folder, uint32_t interface) {
  return absl::StrCat(folder, "/", kLinkPrefix, interface);
}

absl::Status MoveLinks(const std::string& from, const std::string& to) {
  FL_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(from));
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, kLinkPrefix)) continue;
    const std::string old_path = absl::StrCat(from, "/", name);
    const std::string new_path = absl::StrCat(to, "/", name);
    if (rename(old_path.c_str(), new_path.c_str()) != 0) {
      return base::SyscallError(
          absl::StrCat("rename ", old_path, " to ", new_path));
    }
  }
  return absl::OkStatus();
}

absl::Status RemoveLink(const PinnedLink& link) {
  const int result = bpf_link_detach(link.fd.get());
  if (result != 0) {
    return base::BpfError(result, absl::StrCat("detach ", link.path));
  }
  return RemoveFile(link.path);
}

absl::StatusOr<base::UniqueFd> AttachXdp(const Interface& interface,
                                         XdpMode mode, int program) {
  bpf_link_create_opts options = {};
  options.sz = sizeof(options);
  options.flags =
      mode == XdpMode::kNative ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
  const int link = bpf_link_create(program, static_cast<int>(interface.index),
                                   BPF_XDP, &options);
  if (link >= 0) return base::UniqueFd(link);
  const std::string what =
      absl::StrCat("attach the XDP program to ", interface.name, " in ",
                   ToString(mode), " mode");
  if (mode == XdpMode::kNative && IsDriverRefusal(link)) {
    return absl::FailedPreconditionError(absl::StrCat(
        what,
        ": the driver does not take it (MTU too large, or no native XDP); "
        "lower the MTU, or choose xdp mode generic"));
  }
  return base::BpfError(link, what);
}

}  // namespace fairlead::datapath
