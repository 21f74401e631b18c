#include "agent/peer_store.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <string>

#include "tests/unit/event/run_on_loop.h"
#include "tests/unit/event/temp_folder.h"

namespace fairlead::agent {
namespace {

PeerDocument Sample(uint16_t lb_id) {
  return {.lb_id = lb_id,
          .digest = "c0ffee",
          .vips = {{.vip = *base::Endpoint::Parse("198.51.100.10:443"),
                    .policy = core::Policy::kLeastConn,
                    .rows = 4096,
                    .table = "ab"}},
          .peers = {{3, *base::IpAddress::Parse("192.0.2.3")}}};
}

void Save(const std::string& folder, const PeerDocument& document) {
  const auto loop = event::MakeLoop();
  event::RunOn(*loop, [&]() -> event::Task<void> {
    event::ExpectOk(co_await SaveDocument(*loop, folder, document));
  });
}

TEST_CASE("stored documents are found again", "[agent][store]") {
  const event::TempFolder folder;
  Save(folder.path(), Sample(1));
  Save(folder.path(), Sample(12));
  const auto stored = LoadDocuments(folder.path());
  REQUIRE(stored.ok());
  CHECK(stored->problems.empty());
  REQUIRE(stored->documents.size() == 2);
  CHECK(stored->documents.at(1) == Sample(1));
  CHECK(stored->documents.at(12) == Sample(12));
}

TEST_CASE("a broken or misplaced file is a problem, not an end",
          "[agent][store]") {
  const event::TempFolder folder;
  Save(folder.path(), Sample(1));
  std::ofstream(folder.File("peers-2.json")) << "{";
  std::ofstream(folder.File("peers-3.json"))
      << SerializePeerDocument(Sample(4));
  std::ofstream(folder.File("peers-x.json")) << "not ours";
  const auto stored = LoadDocuments(folder.path());
  REQUIRE(stored.ok());
  CHECK(stored->documents.size() == 1);
  REQUIRE(stored->problems.size() == 2);
  CHECK(stored->problems[0] ==
        folder.File("peers-2.json") + ": the body is not JSON");
  CHECK(stored->problems[1] ==
        folder.File("peers-3.json") + ": holds the document of LB host 4");
}

TEST_CASE("a folder that is not there holds no documents", "[agent][store]") {
  const event::TempFolder folder;
  const auto stored = LoadDocuments(folder.File("missing"));
  REQUIRE(stored.ok());
  CHECK(stored->documents.empty());
}

}  // namespace
}  // namespace fairlead::agent
