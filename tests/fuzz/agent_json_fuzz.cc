// What LB hosts and agents tell each other over HTTP: the peer map in one
// direction, the report in the other. A peer map that was understood is the
// same after it was written and read again.
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "agent/peer_document.h"
#include "base/check.h"
#include "daemon/agent_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view json(reinterpret_cast<const char*>(data), size);
  (void)fairlead::daemon::DecodeAgentState(json);
  const auto document = fairlead::agent::ParsePeerDocument(json);
  if (!document.ok()) return 0;
  const auto again = fairlead::agent::ParsePeerDocument(
      fairlead::agent::SerializePeerDocument(*document));
  FL_CHECK(again.ok() && *again == *document);
  return 0;
}
