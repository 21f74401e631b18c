#include "agent/peer_store.h"

#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "event/files.h"

namespace fairlead::agent {
namespace {

constexpr absl::string_view kPrefix = "peers-";
constexpr absl::string_view kSuffix = ".json";
constexpr mode_t kFileMode = 0600;

struct FolderCloser {
  void operator()(DIR* folder) const { closedir(folder); }
};

std::string PathOf(const std::string& folder, uint16_t lb_id) {
  return absl::StrCat(folder, "/", kPrefix, lb_id, kSuffix);
}

absl::StatusOr<std::vector<uint16_t>> ListIds(const std::string& folder) {
  std::vector<uint16_t> ids;
  const std::unique_ptr<DIR, FolderCloser> open(opendir(folder.c_str()));
  if (open == nullptr && errno == ENOENT) return ids;
  if (open == nullptr) return base::SyscallError(absl::StrCat("list ", folder));
  while (const dirent* entry = readdir(open.get())) {
    absl::string_view name = entry->d_name;
    uint32_t id = 0;
    if (absl::ConsumePrefix(&name, kPrefix) &&
        absl::ConsumeSuffix(&name, kSuffix) && absl::SimpleAtoi(name, &id) &&
        id >= 1 && id <= UINT16_MAX) {
      ids.push_back(static_cast<uint16_t>(id));
    }
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

absl::StatusOr<PeerDocument> LoadDocument(const std::string& path,
                                          uint16_t lb_id) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.is_open() || file.bad())
    return absl::DataLossError("cannot be read");
  FL_ASSIGN_OR_RETURN(PeerDocument document, ParsePeerDocument(text));
  if (document.lb_id == lb_id) return document;
  return absl::DataLossError(
      absl::StrCat("holds the document of LB host ", document.lb_id));
}

}  // namespace

absl::StatusOr<StoredDocuments> LoadDocuments(const std::string& folder) {
  StoredDocuments stored;
  FL_ASSIGN_OR_RETURN(const std::vector<uint16_t> ids, ListIds(folder));
  for (const uint16_t id : ids) {
    const std::string path = PathOf(folder, id);
    absl::StatusOr<PeerDocument> document = LoadDocument(path, id);
    if (!document.ok()) {
      stored.problems.push_back(
          absl::StrCat(path, ": ", document.status().message()));
      continue;
    }
    stored.documents[id] = *std::move(document);
  }
  return stored;
}

event::Task<absl::Status> SaveDocument(event::Loop& loop, std::string folder,
                                       const PeerDocument& document) {
  const std::string text = SerializePeerDocument(document);
  co_return co_await event::WriteFileDurably(
      loop, PathOf(folder, document.lb_id), text, kFileMode);
}

}  // namespace fairlead::agent
