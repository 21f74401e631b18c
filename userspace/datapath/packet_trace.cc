#include "datapath/packet_trace.h"

#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "lib/compat.h"

namespace fairlead::datapath {
namespace {

void CopyAddress(const __u32 (&from)[4], __u32 (&to)[4]) {
  std::memcpy(to, from, sizeof(to));
}

}  // namespace

void PacketTrace::FreeRing::operator()(ring_buffer* ring) const {
  ring_buffer__free(ring);
}

absl::StatusOr<std::unique_ptr<PacketTrace>> PacketTrace::Open(
    const MapFds& maps) {
  FL_ASSIGN_OR_RETURN(auto shared,
                      MappedArray<fl_trace>::Map(maps.trace, 1, "fl_trace"));
  std::unique_ptr<PacketTrace> trace(
      new PacketTrace(std::move(shared), maps.traced));
  trace->ring_.reset(
      ring_buffer__new(maps.traced, OnRecord, trace.get(), nullptr));
  if (trace->ring_ == nullptr)
    return base::BpfError(-errno, "map the ring fl_traced");
  return trace;
}

PacketTrace::~PacketTrace() { Stop(); }

// The packet path may see half of a filter, if it is in the middle of a packet
// as it changes: `until` is 0 meanwhile, so that no later packet does.
void PacketTrace::Start(const fl_trace& filter) {
  Stop();
  Take([](const fl_traced&) {});
  fl_trace& to = shared();
  CopyAddress(filter.client, to.client);
  CopyAddress(filter.client_mask, to.client_mask);
  CopyAddress(filter.address, to.address);
  CopyAddress(filter.address_mask, to.address_mask);
  to.client_port = filter.client_port;
  to.port = filter.port;
  to.service = filter.service;
  to.verdict = filter.verdict;
  fl_store64(&to.missed, 0);
  fl_store64(&to.left, filter.left);
  fl_store64(&to.until, filter.until);
}

void PacketTrace::Renew(base::MonoTime until, uint64_t left) {
  fl_store64(&shared().left, left);
  fl_store64(&shared().until, static_cast<uint64_t>(until.nanoseconds()));
}

void PacketTrace::Stop() { fl_store64(&shared().until, 0); }

uint64_t PacketTrace::missed() const { return fl_load64(&shared().missed); }

int PacketTrace::OnRecord(void* self, void* record, size_t size) {
  const auto* const trace = static_cast<PacketTrace*>(self);
  FL_CHECK(size >= sizeof(fl_traced));
  (*trace->on_packet_)(*static_cast<const fl_traced*>(record));
  return 0;
}

void PacketTrace::Take(absl::FunctionRef<void(const fl_traced&)> on_packet) {
  on_packet_ = &on_packet;
  // Fails only if OnRecord does.
  (void)ring_buffer__consume(ring_.get());
  on_packet_ = nullptr;
}

}  // namespace fairlead::datapath
