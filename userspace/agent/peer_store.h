// The documents of the LB hosts on disk, one file each in the state folder, so
// that a restarted agent knows what it was told.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/peer_document.h"
#include "agent/tables.h"
#include "event/loop.h"
#include "event/task.h"

namespace fairlead::agent {

struct StoredDocuments {
  Documents documents;
  // Files that could not be used, and why, for people.
  std::vector<std::string> problems;
};

// Blocks: for the start, and for commands without a loop. A file that cannot be
// used is a problem of the answer, not an error: its LB host sends the document
// again. A folder that is not there holds nothing.
absl::StatusOr<StoredDocuments> LoadDocuments(const std::string& folder);

// Durable when it returns OK.
event::Task<absl::Status> SaveDocument(event::Loop& loop, std::string folder,
                                       const PeerDocument& document);

}  // namespace fairlead::agent
