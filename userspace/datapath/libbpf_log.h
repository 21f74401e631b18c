// LibbpfLog: keeps what libbpf would print to stderr, so that it can become
// part of an error: the verifier's reason is found nowhere else.
//
// libbpf has one print function per process, hence at most one LibbpfLog lives
// at a time; the daemon has one thread.
#pragma once

#include <cstddef>
#include <string>

namespace fairlead::datapath {

class LibbpfLog {
 public:
  // From here on warnings are kept; the print function that was set before is
  // put back by the destructor.
  LibbpfLog();
  LibbpfLog(const LibbpfLog&) = delete;
  LibbpfLog& operator=(const LibbpfLog&) = delete;
  ~LibbpfLog();

  // The last `lines` that say something, joined by "; ". Frames and statistics
  // of the verifier's log are left out.
  std::string Tail(size_t lines) const;

 private:
  void* previous_;
};

}  // namespace fairlead::datapath
