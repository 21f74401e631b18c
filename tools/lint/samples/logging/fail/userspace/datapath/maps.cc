absl::Status Open() {
  LogWarning("no map");                   // <- finding
  base::LogLine(LogLevel::kError, "no");  // <- finding
  return absl::NotFoundError("no map");
}
