#include "datapath/libbpf_log.h"

#include <bpf/libbpf.h>

#include <catch2/catch.hpp>
#include <string>

#include "absl/strings/match.h"

namespace fairlead::datapath {

TEST_CASE("what libbpf says is kept instead of printed", "[datapath][log]") {
  const std::string garbage(100, 'x');
  const LibbpfLog log;
  CHECK(log.Tail(3).empty());
  CHECK(bpf_object__open_mem(garbage.data(), garbage.size(), nullptr) ==
        nullptr);
  CHECK(absl::StrContains(log.Tail(3), "elf: "));
  CHECK_FALSE(absl::StrContains(log.Tail(3), "libbpf: "));
  CHECK(log.Tail(0).empty());
}

TEST_CASE("the print function that was set before is put back",
          "[datapath][log]") {
  libbpf_set_print(nullptr);
  { const LibbpfLog log; }
  CHECK(libbpf_set_print(nullptr) == nullptr);
}

}  // namespace fairlead::datapath
