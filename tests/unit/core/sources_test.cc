#include "core/sources.h"

#include <catch2/catch.hpp>
#include <string>

#include "core/allocation.h"
#include "core/registry.h"
#include "fairlead/abi/maps.h"

namespace fairlead::core {
namespace {

using Catch::Matchers::Contains;

constexpr TableSizes kSizes = {.services = 16,
                               .backends = 64,
                               .rows = 1u << 17,
                               .flow_buckets = 1,
                               .prefixes = 5};

base::IpPrefix Prefix(const std::string& text) {
  return base::IpPrefix::Parse(text).value();
}
std::vector<base::IpPrefix> Prefixes(const std::vector<std::string>& texts) {
  std::vector<base::IpPrefix> prefixes;
  for (const std::string& text : texts) prefixes.push_back(Prefix(text));
  return prefixes;
}

// Services "web" at an IPv4 and "web6" at an IPv6 address.
class Lists {
 public:
  Lists() {
    Do(AddService{.name = "web",
                  .vip = base::Endpoint::Parse("198.51.100.10:443").value()});
    Do(AddService{.name = "web6",
                  .vip = base::Endpoint::Parse("[2001:db8::10]:443").value()});
  }
  absl::StatusOr<Change> Ask(const Command& command) const {
    return PlanChange(state_, sizes, command, absl::UnixEpoch(),
                      [](const Backend&) { return BackendFacts(); });
  }
  Change Do(const Command& command) {
    const absl::StatusOr<Change> change = Ask(command);
    INFO(change.status());
    REQUIRE(change.ok());
    state_ = change->next;
    return *change;
  }
  Change List(SourceRule rule, const std::vector<std::string>& prefixes) {
    return Do(ListSources{
        .service = "web", .rule = rule, .prefixes = Prefixes(prefixes)});
  }
  std::string Refused(absl::StatusCode code, const Command& command) const {
    const absl::StatusOr<Change> change = Ask(command);
    CHECK(change.status().code() == code);
    return std::string(change.status().message());
  }
  TableSizes sizes = kSizes;
  const SourceList& web() const { return state_.services.at("web").sources; }

 private:
  DesiredState state_;
};

ListSources Deny(const std::vector<std::string>& prefixes,
                 const std::string& service = "web") {
  return {.service = service,
          .rule = SourceRule::kDeny,
          .prefixes = Prefixes(prefixes)};
}

TEST_CASE("prefixes are listed and unlisted", "[core][sources]") {
  Lists lists;
  Change change =
      lists.List(SourceRule::kDeny, {"203.0.113.0/24", "192.0.2.7"});
  REQUIRE(change.events.size() == 1);
  CHECK(change.events[0].type == "service.deny");
  CHECK(change.events[0].service == "web");
  CHECK(change.events[0].after == "203.0.113.0/24, 192.0.2.7/32");
  CHECK(change.plan ==
        std::vector<std::string>{
            "fl_prefixes: service 1 (web): deny 2, allow 0: all others are "
            "admitted"});
  change = lists.List(SourceRule::kAllow, {"203.0.113.64/26"});
  CHECK(change.events[0].type == "service.allow");
  CHECK_THAT(change.plan[0], Contains("all others are refused"));
  CHECK(lists.web().size() == 3);
  change = lists.Do(UnlistSources{.service = "web",
                                  .prefixes = Prefixes({"203.0.113.0/24"})});
  CHECK(change.events[0].type == "service.unlist");
  CHECK(change.events[0].before == "203.0.113.0/24");
  CHECK(lists.web().size() == 2);
  lists.Do(UnlistSources{.service = "web", .prefixes = {}, .all = true});
  CHECK(lists.web().empty());
  // Is so already.
  change =
      lists.Do(UnlistSources{.service = "web", .prefixes = {}, .all = true});
  CHECK(change.events.empty());
}

TEST_CASE("a list is refused whole, with the prefix and the remedy",
          "[core][sources]") {
  using enum absl::StatusCode;
  Lists lists;
  lists.List(SourceRule::kDeny, {"203.0.113.0/24"});
  CHECK(
      lists.Refused(kAlreadyExists, Deny({"192.0.2.0/24", "203.0.113.0/24"})) ==
      "service \"web\": prefix 203.0.113.0/24 is on the deny list already; "
      "leave it out");
  CHECK(lists.Refused(kAlreadyExists,
                      ListSources{.service = "web",
                                  .rule = SourceRule::kAllow,
                                  .prefixes = Prefixes({"203.0.113.0/24"})}) ==
        "service \"web\": prefix 203.0.113.0/24 is on the deny list; unlist it "
        "first, or list a longer prefix of it");
  CHECK(
      lists.Refused(kInvalidArgument, Deny({"192.0.2.0/24", "192.0.2.0/24"})) ==
      "service \"web\": prefix 192.0.2.0/24 is given twice; leave one of them "
      "out");
  CHECK(lists.Refused(kInvalidArgument, Deny({"2001:db8::/32"})) ==
        "service \"web\": prefix 2001:db8::/32: the service is at "
        "198.51.100.10:443, whose clients have IPv4 addresses; list it for the "
        "service at an IPv6 address");
  CHECK_THAT(lists.Refused(kInvalidArgument, Deny({"192.0.2.0/24"}, "web6")),
             Contains("whose clients have IPv6 addresses"));
  CHECK_THAT(lists.Refused(kInvalidArgument, Deny({})),
             Contains("no prefix is given"));
  CHECK_THAT(lists.Refused(kNotFound, Deny({"192.0.2.0/24"}, "wep")),
             Contains("did you mean \"web\""));
  CHECK_THAT(
      lists.Refused(kNotFound,
                    UnlistSources{.service = "web",
                                  .prefixes = Prefixes({"203.0.113.0/25"})}),
      Contains("prefix 203.0.113.0/25 is on no list") &&
          Contains("203.0.113.0/24"));
  CHECK_THAT(
      lists.Refused(kInvalidArgument,
                    UnlistSources{.service = "web",
                                  .prefixes = Prefixes({"203.0.113.0/24"}),
                                  .all = true}),
      Contains("not both"));
  CHECK(lists.web().size() == 1);
}

TEST_CASE("the table of prefixes is one for all services", "[core][sources]") {
  Lists lists;
  lists.List(SourceRule::kDeny,
             {"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"});
  CHECK(lists.Refused(
            absl::StatusCode::kResourceExhausted,
            Deny({"2001:db8::/33", "2001:db8:8000::/33", "2001:db8:9::/48"},
                 "web6")) ==
        "service \"web6\": the table of prefixes is too small for 6: it has "
        "room for 5, and 3 are taken; unlist some, or raise prefixes in the "
        "node config");
  lists.Do(Deny({"2001:db8::/33", "2001:db8:8000::/33"}, "web6"));
}

TEST_CASE("the longest prefix decides, then whether any is allowed",
          "[core][sources]") {
  const auto judge = [](const SourceList& list, const std::string& source) {
    return JudgeSource(list, base::IpAddress::Parse(source).value());
  };
  CHECK(judge({}, "203.0.113.7").admitted);
  SourceList list = {{Prefix("203.0.113.0/24"), SourceRule::kDeny},
                     {Prefix("203.0.113.64/26"), SourceRule::kAllow},
                     {Prefix("203.0.113.66/32"), SourceRule::kDeny}};
  CHECK_FALSE(judge(list, "203.0.113.1").admitted);
  CHECK(judge(list, "203.0.113.65").admitted);
  CHECK_FALSE(judge(list, "203.0.113.66").admitted);
  CHECK(judge(list, "203.0.113.66").by->ToString() == "203.0.113.66/32");
  CHECK_FALSE(judge(list, "192.0.2.1").admitted);
  CHECK(judge(list, "192.0.2.1").by == nullptr);
  list.erase(Prefix("203.0.113.64/26"));
  CHECK(judge(list, "192.0.2.1").admitted);
}

TEST_CASE("a source's rate is checked and described", "[core][sources]") {
  Lists lists;
  const auto set = [](std::optional<uint32_t> rate,
                      std::optional<uint32_t> burst) {
    SetService command = {.name = "web", .settings = {}};
    command.settings.source_rate = rate;
    command.settings.source_burst = burst;
    return command;
  };
  Change change = lists.Do(set(100, std::nullopt));
  CHECK(change.events[0].before == "source-rate 0");
  CHECK(change.events[0].after == "source-rate 100");
  CHECK_THAT(change.plan[0],
             Contains("100 new connections a second, 100 at once, from each "
                      "/32"));
  change = lists.Do(set(std::nullopt, 7));
  CHECK_THAT(change.plan[0], Contains("100 new connections a second, 7 at "));
  CHECK(lists.Refused(absl::StatusCode::kInvalidArgument,
                      set(1000, std::nullopt)) ==
        "service \"web\": source burst 7: must be 10 at least for a rate of "
        "1000, or 0: as the rate");
  CHECK_THAT(lists.Refused(absl::StatusCode::kInvalidArgument, set(100001, 0)),
             Contains("source rate 100001: must be 0 to 100000"));
  SetService lengths = {.name = "web", .settings = {}};
  lengths.settings.source_length4 = 33;
  CHECK_THAT(lists.Refused(absl::StatusCode::kInvalidArgument, lengths),
             Contains("source prefix4 33: must be 1 to 32"));
  lists.Do(set(0, std::nullopt));
}

TEST_CASE("a source's connections are limited where they are counted",
          "[core][sources]") {
  Lists lists;
  SetService set = {.name = "web", .settings = {}};
  set.settings.source_conns = 20;
  const std::string refused =
      lists.Refused(absl::StatusCode::kFailedPrecondition, set);
  CHECK_THAT(refused, Contains("service \"web\": source conns 20: this host "
                               "counts no connections of sources; set "
                               "counted_sources in section [tables]"));
  set.settings.source_conns = FL_MAX_SOURCE_CONNS + 1;
  CHECK_THAT(lists.Refused(absl::StatusCode::kInvalidArgument, set),
             Contains("source conns 1000001: must be 0 to 1000000"));
  set.settings.source_conns = 20;
  lists.sizes.conn_sets = 8;
  const Change change = lists.Do(set);
  CHECK(change.events[0].before == "source-conns 0");
  CHECK(change.events[0].after == "source-conns 20");
  CHECK_THAT(change.plan[0], Contains(", 20 connections of each /32"));
  CHECK(CheckFits(change.next, lists.sizes).ok());
  // A daemon that starts without counting says what to do.
  const absl::Status fits = CheckFits(change.next, TableSizes());
  CHECK_THAT(std::string(fits.message()),
             Contains("counted_sources in section [tables]"));
  AddService add = {.name = "api",
                    .vip = {base::IpAddress::FromIpv4(0xc633640b), 443},
                    .settings = {.source_conns = 1}};
  lists.sizes.conn_sets = 1;
  CHECK_THAT(lists.Refused(absl::StatusCode::kFailedPrecondition, add),
             Contains("counted_sources"));
}

TEST_CASE("many prefixes are told by the first of them", "[core][sources]") {
  std::vector<std::string> texts;
  for (int i = 0; i < 6; ++i) texts.push_back("192.0.2." + std::to_string(i));
  CHECK(DescribePrefixes(Prefixes(texts)) ==
        "192.0.2.0/32, 192.0.2.1/32, 192.0.2.2/32, 192.0.2.3/32 and 2 more");
}

}  // namespace
}  // namespace fairlead::core
