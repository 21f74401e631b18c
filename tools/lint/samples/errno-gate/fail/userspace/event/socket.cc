absl::Status Open() {
  return absl::ErrnoToStatus(errno, "socket");  // <- finding
}
