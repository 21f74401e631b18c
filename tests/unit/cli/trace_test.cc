#include <catch2/catch.hpp>
#include <cstring>
#include <string>

#include "tests/unit/cli/fake_api.h"

namespace fairlead::cli {
namespace {

// "AAEC" is the bytes 0, 1, 2.
constexpr char kPacket[] =
    R"({"time":"2026-11-20T12:00:00.123456789Z","verdict":"TX_HIT",)"
    R"("service":"web","in":{"interface":"eth0","length":74,)"
    R"("text":"203.0.113.7:40000 > 198.51.100.10:443 TCP ACK",)"
    R"("bytes":"AAEC"},"out":{"interface":"eth1","length":146,)"
    R"("text":"192.0.2.1 > 192.0.2.7 GUE hops web2,web1",)"
    R"("bytes":"AAECAw=="}})";
constexpr char kDropped[] =
    R"({"time":"2026-11-20T12:00:01Z","verdict":"PASS_NOT_IP",)"
    R"("service":null,"in":{"interface":"eth0","length":60,)"
    R"("text":"ethertype 0x0806","bytes":"AAEC"},"out":null})";

constexpr char kBegun[] = "{\"missed\":0}\n";

std::string Line(const char* json) { return std::string(json) + "\n"; }

TEST_CASE("trace prints packets in and out", "[cli][trace]") {
  FakeApi api;
  api.OnStream("GET /v1/trace", {kBegun, Line(kPacket), Line(kDropped)});
  REQUIRE(api.Run("trace --src 203.0.113.0/24 --dst 198.51.100.10:443 "
                  "--service web --verdict TX_HIT --count 2") == 0);
  CHECK(api.out() ==
        R"(TIME (UTC)       VERDICT           SERVICE     PACKET
12:00:00.123456  TX_HIT            web         203.0.113.7:40000 > 198.51.100.10:443 TCP ACK, 74 bytes, eth0
                                               -> 192.0.2.1 > 192.0.2.7 GUE hops web2,web1, 146 bytes, eth1
12:00:01.000000  PASS_NOT_IP       -           ethertype 0x0806, 60 bytes, eth0
)");
  REQUIRE(api.sent().size() == 1);
  CHECK(api.sent()[0].query == http::StringMap{{"src", "203.0.113.0/24"},
                                               {"dst", "198.51.100.10:443"},
                                               {"service", "web"},
                                               {"verdict", "TX_HIT"},
                                               {"count", "2"}});
}

TEST_CASE("trace says what came too fast", "[cli][trace]") {
  FakeApi api;
  api.OnStream("GET /v1/trace",
               {kBegun, "{\"missed\":1234}\n", Line(kDropped)});
  REQUIRE(api.Run("trace -o json --count 1") == 0);
  CHECK(api.out() == Line(kDropped));
  CHECK(api.err() ==
        "fairlead: tracing; Ctrl-C ends it\n"
        "fairlead: 1,234 matching packets came too fast to be told so far\n");
}

TEST_CASE("a trace that ends too early is an error", "[cli][trace]") {
  FakeApi api;
  api.OnStream("GET /v1/trace", {kBegun, Line(kDropped)});
  CHECK(api.Run("trace --count 2") == 3);
  CHECK(api.Run("trace --count 0") == 2);
}

template <typename T>
T TakeNumber(std::string& from) {
  T value = {};
  REQUIRE(from.size() >= sizeof(value));
  std::memcpy(&value, from.data(), sizeof(value));
  from.erase(0, sizeof(value));
  return value;
}

struct Block {
  uint32_t type;
  std::string body;
};

std::vector<Block> Blocks(std::string file) {
  std::vector<Block> blocks;
  while (!file.empty()) {
    const auto type = TakeNumber<uint32_t>(file);
    const auto length = TakeNumber<uint32_t>(file);
    REQUIRE(length % 4 == 0);
    REQUIRE(file.size() >= length - 8);
    blocks.push_back({type, file.substr(0, length - 12)});
    file.erase(0, length - 12);
    CHECK(TakeNumber<uint32_t>(file) == length);
  }
  return blocks;
}

// By the format's description; that tcpdump reads it, a netns test shows.
TEST_CASE("trace writes pcapng", "[cli][trace]") {
  FakeApi api;
  api.OnStream("GET /v1/trace", {kBegun, Line(kPacket), Line(kDropped)});
  REQUIRE(api.Run("trace -w web.pcapng --count 2") == 0);
  CHECK(api.out().empty());
  const std::vector<Block> blocks = Blocks(api.file("web.pcapng"));
  std::vector<uint32_t> types;
  for (const Block& block : blocks) types.push_back(block.type);
  // Section; eth0 and its packet; eth1 and its packet; eth0's second.
  REQUIRE(types == std::vector<uint32_t>{0x0a0d0d0a, 1, 6, 1, 6, 6});
  CHECK_THAT(blocks[1].body, Catch::Contains("eth0"));
  CHECK_THAT(blocks[3].body, Catch::Contains("eth1"));

  std::string out = blocks[4].body;
  CHECK(TakeNumber<uint32_t>(out) == 1);  // of the second interface
  const uint64_t high = TakeNumber<uint32_t>(out);
  const uint64_t time = high << 32 | TakeNumber<uint32_t>(out);
  CHECK(time == 1795176000123456789);
  CHECK(TakeNumber<uint32_t>(out) == 4);
  CHECK(TakeNumber<uint32_t>(out) == 146);
  CHECK(out.substr(0, 4) == std::string("\0\1\2\3", 4));
  CHECK_THAT(out, Catch::Contains("TX_HIT service web"));
}

}  // namespace
}  // namespace fairlead::cli
