#include "control/event_log.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "event/files.h"

namespace fairlead::control {
namespace {

constexpr mode_t kEventFileMode = 0640;

std::vector<absl::string_view> WholeLines(absl::string_view content) {
  const size_t end = content.rfind('\n');
  if (end == absl::string_view::npos) return {};
  return absl::StrSplit(content.substr(0, end), '\n', absl::SkipEmpty());
}

bool EndsInLine(absl::string_view content) {
  return content.empty() || content.back() == '\n';
}

}  // namespace

Json EncodeEvent(const EventRecord& record) {
  Json json;
  json["seq"] = record.seq;
  json["time"] = FormatTimeMillis(record.time);
  json["uid"] = nullptr;
  if (record.uid.has_value()) json["uid"] = *record.uid;
  json["type"] = record.event.type;
  json["service"] = record.event.service;
  json["backend"] = record.event.backend;
  json["before"] = record.event.before;
  json["after"] = record.event.after;
  json["reason"] = record.event.reason;
  json["lasted_ms"] = nullptr;
  if (record.event.lasted.has_value())
    json["lasted_ms"] = absl::ToInt64Milliseconds(*record.event.lasted);
  return json;
}

std::string EncodeEventLine(const EventRecord& record) {
  return DumpJson(EncodeEvent(record));
}

absl::StatusOr<EventRecord> DecodeEventLine(absl::string_view line) {
  FL_ASSIGN_OR_RETURN(const Json json, ParseJson(line));
  ObjectReader reader(json, "");
  EventRecord record;
  record.seq = reader.RequiredInteger<uint64_t>("seq");
  record.time = reader.RequiredParsed<absl::Time>("time", ParseTime);
  if (!reader.IsNull("uid")) record.uid = reader.RequiredInteger<uid_t>("uid");
  record.event = {.type = reader.RequiredString("type"),
                  .service = reader.RequiredString("service"),
                  .backend = reader.RequiredString("backend"),
                  .before = reader.RequiredString("before"),
                  .after = reader.RequiredString("after"),
                  .reason = reader.RequiredString("reason")};
  // Older daemons did not write it.
  if (!reader.IsNull("lasted_ms"))
    if (const auto lasted = reader.Integer<int64_t>("lasted_ms"))
      record.event.lasted = absl::Milliseconds(*lasted);
  FL_RETURN_IF_ERROR(reader.Finish());
  return record;
}

EventLog::EventLog(event::Loop& loop, const std::string& state_dir,
                   const EventLogLimits& limits)
    : loop_(loop),
      path_(absl::StrCat(state_dir, "/", kEventFile)),
      old_path_(absl::StrCat(path_, ".1")),
      limits_(limits),
      writing_(loop),
      appended_(loop) {}

event::Task<absl::Status> EventLog::Open() {
  std::string content;
  FL_CO_RETURN_IF_ERROR(co_await ReadFile(path_, content));
  const auto lines = std::count(content.begin(), content.end(), '\n');
  if (static_cast<size_t>(lines) < limits_.in_memory)
    FL_CO_RETURN_IF_ERROR(co_await ReadOldFile());
  Take(content, path_);
  if (!EndsInLine(content)) {
    // Behind half a line the next one would be lost as well.
    content.resize(content.rfind('\n') + 1);
    base::LogWarning(path_, ": a crash cut the last record short; dropped");
    FL_CO_RETURN_IF_ERROR(
        co_await event::WriteFileDurably(loop_, path_, content, kEventFileMode),
        "repair ", path_);
  }
  file_bytes_ = content.size();
  co_return absl::OkStatus();
}

event::Task<absl::Status> EventLog::ReadOldFile() {
  std::string content;
  FL_CO_RETURN_IF_ERROR(co_await ReadFile(old_path_, content));
  Take(content, old_path_);
  co_return absl::OkStatus();
}

event::Task<absl::Status> EventLog::ReadFile(const std::string& path,
                                             std::string& content) {
  absl::StatusOr<std::string> read = co_await event::ReadFile(loop_, path);
  if (absl::IsNotFound(read.status())) co_return absl::OkStatus();
  if (!read.ok()) {
    co_return base::Annotate(
        read.status(), "read the events in ", path,
        " (mend its permissions, or move the file away to begin anew)");
  }
  content = *std::move(read);
  co_return absl::OkStatus();
}

void EventLog::Take(absl::string_view content, const std::string& path) {
  std::vector<absl::string_view> lines = WholeLines(content);
  size_t spoilt = 0;
  for (const absl::string_view line : lines) {
    absl::StatusOr<EventRecord> record = DecodeEventLine(line);
    if (!record.ok() || record->seq <= last_seq_) {
      ++spoilt;
      continue;
    }
    Keep(*std::move(record));
  }
  if (spoilt > 0) {
    base::LogWarning(path, ": ", spoilt, " of ", lines.size(),
                     " records are unreadable or out of order; left out");
  }
}

void EventLog::Keep(EventRecord record) {
  last_seq_ = record.seq;
  records_.push_back(std::move(record));
  if (records_.size() > limits_.in_memory) records_.pop_front();
  // One that could not be written in all that time is gone.
  outstanding_ = std::min(outstanding_, limits_.in_memory);
}

event::Task<absl::Status> EventLog::Append(std::vector<core::Event> events,
                                           std::optional<uid_t> uid,
                                           absl::Time time) {
  if (events.empty()) co_return absl::OkStatus();
  const event::MutexLock lock = co_await writing_.Lock();
  std::string lines;
  for (size_t i = records_.size() - outstanding_; i < records_.size(); ++i)
    lines += EncodeEventLine(records_[i]);
  std::vector<EventRecord> fresh;
  for (core::Event& event : events) {
    fresh.push_back({.seq = last_seq_ + 1 + fresh.size(),
                     .time = time,
                     .uid = uid,
                     .event = std::move(event)});
    lines += EncodeEventLine(fresh.back());
  }
  const absl::Status status = co_await Write(lines);
  outstanding_ = status.ok() ? 0 : outstanding_ + fresh.size();
  // Not before: a reader would be told what a crash undoes.
  for (EventRecord& record : fresh) Keep(std::move(record));
  appended_.NotifyAll();
  co_return status;
}

event::Task<absl::Status> EventLog::Write(absl::string_view lines) {
  const std::string bytes = absl::StrCat(tail_unsure_ ? "\n" : "", lines);
  co_await RotateIfFull(bytes.size());
  const absl::Status status =
      co_await event::AppendDurably(loop_, path_, bytes, kEventFileMode);
  tail_unsure_ = !status.ok();
  if (status.ok()) file_bytes_ += bytes.size();
  co_return status;
}

event::Task<void> EventLog::RotateIfFull(size_t more) {
  if (file_bytes_ == 0 || file_bytes_ + more <= limits_.file_bytes) co_return;
  const absl::Status moved = co_await loop_.Rename(path_, old_path_);
  if (moved.ok()) {
    file_bytes_ = 0;
  } else {
    // A file that is too long is better than a record that is missing.
    base::LogWarning("the event log stays in one file: ", moved.message());
  }
}

std::vector<EventRecord> EventLog::Newest(size_t limit) const {
  const size_t count = std::min(limit, records_.size());
  return {records_.end() - static_cast<std::ptrdiff_t>(count), records_.end()};
}

std::vector<EventRecord> EventLog::After(uint64_t seq, size_t limit) const {
  const auto first =
      std::upper_bound(records_.begin(), records_.end(), seq,
                       [](uint64_t value, const EventRecord& record) {
                         return value < record.seq;
                       });
  const auto there = static_cast<size_t>(records_.end() - first);
  return {first, first + static_cast<std::ptrdiff_t>(std::min(limit, there))};
}

event::Task<absl::Status> EventLog::WaitForNewer(uint64_t seq) const {
  while (last_seq_ <= seq) FL_CO_RETURN_IF_ERROR(co_await appended_.Wait());
  co_return absl::OkStatus();
}

}  // namespace fairlead::control
