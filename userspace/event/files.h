// Whole files on the ring, with the durability that the daemon promises before
// it acknowledges a change.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "event/loop.h"
#include "event/task.h"

namespace fairlead::event {

// Larger files are refused by ReadFile with RESOURCE_EXHAUSTED.
inline constexpr size_t kMaxReadFileBytes = size_t{256} << 20;

// Replaces `path` as a whole: a new file beside it (`path`.tmp), fsync, rename,
// fsync of the folder. After OK the new content survives a power cut; after an
// error or a crash the file has the old or the new content, never a mixture.
// One writer of a path at a time.
Task<absl::Status> WriteFileDurably(Loop& loop, std::string path,
                                    absl::string_view data, mode_t mode);

// Appends and waits until it is on the disk; creates the file if there is none.
// After an error the file has its old length again, unless that failed too.
// One writer of a path at a time.
Task<absl::Status> AppendDurably(Loop& loop, std::string path,
                                 absl::string_view data, mode_t mode);

// NOT_FOUND if there is no file.
Task<absl::StatusOr<std::string>> ReadFile(Loop& loop, std::string path);

}  // namespace fairlead::event
