absl::Status SyscallError(absl::string_view what) {
  return absl::ErrnoToStatus(errno, what);
}
