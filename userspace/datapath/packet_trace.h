// PacketTrace: the packet path tells of single packets (fairlead/abi/trace.h).
//
// One reader at a time. Nothing waits here: poll fd() for input.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/mono_time.h"
#include "datapath/map_fds.h"
#include "datapath/mapped_array.h"
#include "fairlead/abi/trace.h"

struct ring_buffer;

namespace fairlead::datapath {

class PacketTrace {
 public:
  // Borrows the fds.
  static absl::StatusOr<std::unique_ptr<PacketTrace>> Open(const MapFds& maps);
  PacketTrace(const PacketTrace&) = delete;
  PacketTrace& operator=(const PacketTrace&) = delete;
  ~PacketTrace();

  // Matching packets are told from now on, `filter.left` of them, until
  // `filter.until`. What was told before is forgotten.
  void Start(const fl_trace& filter);
  // Goes on until then, with room for `left` more packets from now.
  void Renew(base::MonoTime until, uint64_t left);
  void Stop();

  // Readable while there are packets.
  int fd() const { return ring_fd_; }
  // Gives the packets told so far, in their order on each CPU.
  void Take(absl::FunctionRef<void(const fl_traced&)> on_packet);
  // Matching packets that were not told, since Start().
  uint64_t missed() const;

 private:
  struct FreeRing {
    void operator()(ring_buffer* ring) const;
  };

  PacketTrace(MappedArray<fl_trace> shared, int ring_fd)
      : shared_(std::move(shared)), ring_fd_(ring_fd) {}
  fl_trace& shared() const { return shared_.elements()[0]; }
  static int OnRecord(void* self, void* record, size_t size);

  const MappedArray<fl_trace> shared_;
  const int ring_fd_;
  std::unique_ptr<ring_buffer, FreeRing> ring_;
  // Valid only during Take().
  const absl::FunctionRef<void(const fl_traced&)>* on_packet_ = nullptr;
};

}  // namespace fairlead::datapath
