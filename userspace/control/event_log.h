// EventLog: what happened on this host, numbered without gaps: who asked, what
// changed, before and after. The newest are in memory for readers; all are in
// events.jsonl of the state folder, one JSON document a line, with its
// predecessor kept as events.jsonl.1.
//
// Append() returns when its records are on the disk. Numbers go on after a
// restart; a line that a crash has cut short is dropped then, since nobody was
// told of it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/json.h"
#include "core/commands.h"
#include "event/loop.h"
#include "event/sync.h"
#include "event/task.h"

namespace fairlead::control {

inline constexpr size_t kEventsInMemory = 10'000;
inline constexpr size_t kMaxEventFileBytes = size_t{16} << 20;
inline constexpr absl::string_view kEventFile = "events.jsonl";

struct EventRecord {
  uint64_t seq = 0;
  absl::Time time;
  std::optional<uid_t> uid;  // who asked; nullopt: it followed from the world
  core::Event event;
};

Json EncodeEvent(const EventRecord& record);
// One line of events.jsonl, and of the API's stream.
std::string EncodeEventLine(const EventRecord& record);
absl::StatusOr<EventRecord> DecodeEventLine(absl::string_view line);

struct EventLogLimits {
  size_t in_memory = kEventsInMemory;
  size_t file_bytes = kMaxEventFileBytes;
};

class EventLog {
 public:
  EventLog(event::Loop& loop, const std::string& state_dir,
           const EventLogLimits& limits = {});
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  // Reads what is there. Must end before the first Append().
  event::Task<absl::Status> Open();

  // After an error the records are in memory all the same, and are written
  // with those of the next Append().
  event::Task<absl::Status> Append(std::vector<core::Event> events,
                                   std::optional<uid_t> uid, absl::Time time);

  // Of the last record; 0 if there has been none.
  uint64_t last_seq() const { return last_seq_; }
  // In order. At most `limit` of what is in memory: the newest, or the oldest
  // after `seq`.
  std::vector<EventRecord> Newest(size_t limit) const;
  std::vector<EventRecord> After(uint64_t seq, size_t limit) const;
  // OK when there is a record newer than `seq`; CANCELLED.
  event::Task<absl::Status> WaitForNewer(uint64_t seq) const;

 private:
  event::Task<absl::Status> ReadOldFile();
  event::Task<absl::Status> ReadFile(const std::string& path,
                                     std::string& content);
  void Take(absl::string_view content, const std::string& path);
  void Keep(EventRecord record);
  event::Task<void> RotateIfFull(size_t more);
  event::Task<absl::Status> Write(absl::string_view lines);

  // Constant after construction.
  event::Loop& loop_;
  std::string path_;
  std::string old_path_;
  EventLogLimits limits_;

  std::deque<EventRecord> records_;
  uint64_t last_seq_ = 0;
  // The newest records_ that could not be written yet.
  size_t outstanding_ = 0;
  size_t file_bytes_ = 0;
  // A failed write may have left half a line behind.
  bool tail_unsure_ = false;
  event::Mutex writing_;
  mutable event::Event appended_;  // waiting changes nothing
};

}  // namespace fairlead::control
