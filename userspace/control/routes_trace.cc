// What `trace` asks for, and how a traced packet is told.
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "control/routes.h"
#include "control/verdicts.h"

namespace fairlead::control {
namespace {

// "ADDRESS", "ADDRESS/LENGTH" or "ADDRESS:PORT".
absl::StatusOr<AddressMatch> ParseMatch(absl::string_view text) {
  if (const auto endpoint = base::Endpoint::Parse(text); endpoint.ok())
    return AddressMatch{.prefix = {.address = endpoint->address},
                        .port = endpoint->port};
  FL_ASSIGN_OR_RETURN(const base::IpPrefix prefix, base::IpPrefix::Parse(text),
                      "ADDRESS, ADDRESS/LENGTH or ADDRESS:PORT");
  return AddressMatch{.prefix = prefix};
}

absl::StatusOr<core::ServiceId> ServiceNamed(const core::DesiredState& state,
                                             const std::string& name) {
  const auto found = state.services.find(name);
  if (found != state.services.end()) return found->second.id;
  std::vector<std::string> have;
  for (const auto& [other, service] : state.services) have.push_back(other);
  return absl::NotFoundError(
      absl::StrCat("no service ", base::Quoted(name), base::Hint(name, have)));
}

absl::StatusOr<uint16_t> VerdictNamed(const std::string& name) {
  std::vector<std::string> have;
  for (size_t i = 0; i < LbVerdicts().size(); ++i) {
    if (LbVerdicts()[i].name == name) return static_cast<uint16_t>(i);
    have.emplace_back(LbVerdicts()[i].name);
  }
  return absl::NotFoundError(
      absl::StrCat("no verdict ", base::Quoted(name), base::Hint(name, have)));
}

Json EncodeFrame(const TracedFrame& frame) {
  Json json;
  json["interface"] = frame.interface;
  json["length"] = frame.length;
  json["text"] = frame.text;
  json["bytes"] = absl::Base64Escape(frame.bytes);
  return json;
}

}  // namespace

absl::StatusOr<TraceQuery> ReadTraceQuery(const ReadContext& context,
                                          const http::Request& request) {
  FL_RETURN_IF_ERROR(
      CheckQuery(request, {"src", "dst", "service", "verdict", "count"}));
  TraceQuery query;
  for (const auto& [name, text] : request.query) {
    if (name == "src") {
      FL_ASSIGN_OR_RETURN(query.client, ParseMatch(text),
                          "query parameter \"src\"");
    } else if (name == "dst") {
      FL_ASSIGN_OR_RETURN(query.vip, ParseMatch(text),
                          "query parameter \"dst\"");
    } else if (name == "service") {
      FL_ASSIGN_OR_RETURN(query.service,
                          ServiceNamed(context.controller.desired(), text));
    } else if (name == "verdict") {
      FL_ASSIGN_OR_RETURN(query.verdict, VerdictNamed(text));
    } else if (!absl::SimpleAtoi(text, &query.count) || query.count == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("query parameter \"count\": ", base::Quoted(text),
                       " is not a number from 1 on"));
    }
  }
  return query;
}

std::string EncodeMissed(uint64_t missed) {
  return DumpJson({{"missed", missed}});
}

std::string EncodeTraceLines(const core::DesiredState& state,
                             const TraceBatch& batch, uint64_t missed) {
  std::string lines;
  if (batch.missed != missed) lines += EncodeMissed(batch.missed);
  for (const TracedPacket& packet : batch.packets) {
    Json service = nullptr;
    for (const auto& [name, candidate] : state.services)
      if (candidate.id == packet.service) service = name;
    Json json;
    json["time"] = FormatExactTime(packet.time);
    json["verdict"] = std::string(LbVerdicts()[packet.verdict].name);
    json["service"] = std::move(service);
    json["in"] = EncodeFrame(packet.in);
    json["out"] =
        packet.out.has_value() ? EncodeFrame(*packet.out) : Json(nullptr);
    lines += DumpJson(json);
  }
  return lines;
}

}  // namespace fairlead::control
