#include "agent/peer_document.h"

#include <catch2/catch.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "fairlead/abi/maps.h"

namespace fairlead::agent {
namespace {

constexpr char kGood[] = R"({"lb_id": 1, "digest": "ab12",
  "vips": [{"vip": "[2001:db8:100::10]:443", "policy": "hash", "rows": 256,
            "hop_lists": true, "table": "aa"},
           {"vip": "198.51.100.10:443", "policy": "source", "rows": 1024,
            "hop_lists": false, "table": "bb"}],
  "peers": [{"id": 2, "address": "2001:db8::2"},
            {"id": 1, "address": "192.0.2.1"}]})";

std::string Problem(absl::string_view json) {
  const absl::StatusOr<PeerDocument> document = ParsePeerDocument(json);
  REQUIRE_FALSE(document.ok());
  CHECK(document.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(document.status().message());
}

// kGood with `from` replaced.
std::string With(const std::string& from, const std::string& to) {
  std::string text = kGood;
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

TEST_CASE("a peer document is read and sorted", "[agent][document]") {
  const absl::StatusOr<PeerDocument> document = ParsePeerDocument(kGood);
  REQUIRE(document.ok());
  CHECK(document->lb_id == 1);
  CHECK(document->digest == "ab12");
  REQUIRE(document->vips.size() == 2);
  REQUIRE(document->peers.size() == 2);
  CHECK(document->peers[0].id == 1);
  CHECK(document->peers[0].address.ToString() == "192.0.2.1");
  CHECK(document->vips[0].vip.ToString() == "198.51.100.10:443");
  CHECK(document->vips[0].policy == core::Policy::kSource);
  CHECK(document->vips[0].rows == 1024);
  CHECK_FALSE(document->vips[0].hop_lists);
  CHECK(document->vips[1].rows == 256);
  CHECK(document->vips[1].hop_lists);
  CHECK(document->vips[1].table == "aa");
}

TEST_CASE("a peer document survives being written and read again",
          "[agent][document]") {
  const absl::StatusOr<PeerDocument> document = ParsePeerDocument(kGood);
  REQUIRE(document.ok());
  const absl::StatusOr<PeerDocument> again =
      ParsePeerDocument(SerializePeerDocument(*document));
  REQUIRE(again.ok());
  CHECK(*again == *document);
}

TEST_CASE("an empty document of an LB host without services is fine",
          "[agent][document]") {
  const auto document = ParsePeerDocument(
      R"({"lb_id": 65535, "digest": "0", "vips": [], "peers": []})");
  REQUIRE(document.ok());
  CHECK(document->peers.empty());
}

TEST_CASE("what is wrong with a document is named with field and value",
          "[agent][document]") {
  CHECK(Problem("{") == "the body is not JSON");
  CHECK(Problem("[1]") == "body: [1] is not an object");
  CHECK(Problem(With("\"lb_id\": 1", "\"lb_id\": 0")) ==
        "lb_id: 0 is not an integer from 1 to 65535");
  CHECK(Problem(With("\"lb_id\": 1", "\"lb_id\": \"1\"")) ==
        "lb_id: \"1\" is not an integer from 1 to 65535");
  CHECK(Problem(With("\"lb_id\": 1", "\"lb_id\": 65536")) ==
        "lb_id: 65536 is not an integer from 1 to 65535");
  CHECK(Problem(With("ab12", "AB")) ==
        "digest: \"AB\" is not 1 to 128 lower-case hexadecimal digits");
  CHECK(Problem(With("ab12", "")) ==
        "digest: \"\" is not 1 to 128 lower-case hexadecimal digits");
  CHECK(Problem(With("\"ab12\"", "7")) == "digest: 7 is not a string");
  CHECK(Problem(With("198.51.100.10:443", "198.51.100.10")) ==
        "vips[1].vip: \"198.51.100.10\" is not ADDRESS:PORT of a service");
  CHECK(Problem(With("198.51.100.10:443", "0.0.0.0:443")) ==
        "vips[1].vip: \"0.0.0.0:443\" is not ADDRESS:PORT of a service");
  CHECK(Problem(With("\"source\"", "\"sauce\"")) ==
        "vips[1].policy: \"sauce\" is none of hash, source, least-conn");
  for (const char* const rows : {"1023", "128", "131072", "-1", "\"256\""}) {
    CHECK(Problem(With("1024", rows)) ==
          absl::StrCat("vips[1].rows: ", rows,
                       " is not a power of two from 256 to 65536"));
  }
  CHECK(Problem(With("192.0.2.1", "192.0.2.1:80")) ==
        "peers[1].address: \"192.0.2.1:80\" is not the IP address of a host");
  CHECK(Problem(With("192.0.2.1", "127.0.0.1")) ==
        "peers[1].address: \"127.0.0.1\" is not the IP address of a host");
  CHECK(Problem(With("\"id\": 2", "\"id\": 70000")) ==
        "peers[0].id: 70000 is not an integer from 1 to 65535");
}

TEST_CASE("unknown, missing and repeated fields are refused",
          "[agent][document]") {
  CHECK(Problem(With("\"lb_id\": 1", "\"lb_id\": 1, \"epoch\": 2")) ==
        "body: unknown field \"epoch\" (have: lb_id, digest, vips, peers)");
  CHECK(Problem(With("\"lb_id\": 1,", "")) ==
        "body: field \"lb_id\" is missing");
  CHECK(Problem(With("\"lb_id\": 1", "\"lb_id\": 1, \"lb_id\": 2")) ==
        "field \"lb_id\" comes twice");
  CHECK(Problem(With("\"id\": 2", "\"id\": 2, \"weight\": 1")) ==
        "peers[0]: unknown field \"weight\" (have: id, address)");
  CHECK(Problem(With("\"id\": 2", "\"id\": 2, \"id\": 3")) ==
        "field \"id\" comes twice");
  CHECK(Problem(With("{\"id\": 2, ", "{")) ==
        "peers[0]: field \"id\" is missing");
}

TEST_CASE("a VIP or an id twice is refused", "[agent][document]") {
  CHECK(Problem(With(R"("rows": 256)", R"("rows": 256, "epoch": 1)")) ==
        "vips[0]: unknown field \"epoch\" (have: vip, policy, rows, "
        "hop_lists, table)");
  CHECK(Problem(With("[2001:db8:100::10]:443", "198.51.100.10:443")) ==
        "vips: 198.51.100.10:443 comes twice");
  CHECK(Problem(With("\"id\": 2", "\"id\": 1")) == "peers: id 1 comes twice");
}

TEST_CASE("more VIPs than the table has are refused", "[agent][document]") {
  std::vector<std::string> vips;
  for (unsigned int i = 0; i <= FL_AGENT_MAX_VIPS; ++i)
    vips.push_back(absl::StrCat("{\"vip\": \"198.51.100.10:", i + 1,
                                "\", \"policy\": \"hash\", \"rows\": 256, "
                                "\"hop_lists\": true, \"table\": \"a\"}"));
  const auto text = [&vips] {
    return absl::StrCat(R"({"lb_id": 1, "digest": "a", "peers": [], "vips": [)",
                        absl::StrJoin(vips, ","), "]}");
  };
  CHECK(ParsePeerDocument(text()).status().code() ==
        absl::StatusCode::kResourceExhausted);
  vips.pop_back();
  CHECK(ParsePeerDocument(text()).ok());
}

}  // namespace
}  // namespace fairlead::agent
