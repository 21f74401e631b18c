#include "core/check_config.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "core/refusal.h"

namespace fairlead::core {
namespace {

constexpr absl::string_view kMethods[] = {"GET", "HEAD", "OPTIONS", "POST"};
// Those that a probe sends by itself.
constexpr absl::string_view kOwnHeaders[] = {
    "connection", "content-length",         "host",
    "upgrade",    "sec-websocket-key",      "sec-websocket-version",
    "te",         "sec-websocket-protocol", "transfer-encoding"};

bool IsPlain(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c));
  });
}

bool IsText(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return c == ' ' || absl::ascii_isgraph(static_cast<unsigned char>(c));
  });
}

bool IsToken(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::StrContains("!#$%&'*+-.^_`|~", c);
  });
}

template <typename List>
bool IsOneOf(absl::string_view text, const List& list) {
  return std::find(std::begin(list), std::end(list), text) != std::end(list);
}

absl::Status CheckPlain(absl::string_view field, absl::string_view text,
                        size_t longest) {
  if (IsPlain(text) && text.size() <= longest) return absl::OkStatus();
  return Refuse(field, base::Quoted(text),
                absl::StrCat("must have at most ", longest,
                             " printable characters without spaces"));
}

absl::Status CheckTimes(const CheckConfig& check) {
  if (check.interval < kShortestInterval || check.interval > kLongestInterval)
    return Refuse("check interval", absl::FormatDuration(check.interval),
                  "must be 100ms to 1h");
  if (check.timeout < kShortestTimeout)
    return Refuse("check timeout", absl::FormatDuration(check.timeout),
                  "must be at least 10ms");
  if (check.timeout > check.interval)
    return Refuse(
        "check timeout", absl::FormatDuration(check.timeout),
        absl::StrCat("must not be longer than the interval, which is ",
                     absl::FormatDuration(check.interval)));
  return absl::OkStatus();
}

absl::Status CheckHeaders(const CheckConfig& check) {
  if (check.headers.size() > kMostCheckHeaders)
    return Refuse("check headers", absl::StrCat(check.headers.size()),
                  absl::StrCat("at most ", kMostCheckHeaders));
  for (const auto& [name, value] : check.headers) {
    if (!IsToken(name) || name.size() > kLongestHeaderName ||
        name != absl::AsciiStrToLower(name))
      return Refuse("check header", base::Quoted(name),
                    absl::StrCat("a name has 1 to ", kLongestHeaderName,
                                 " lower-case letters, digits or -"));
    if (IsOneOf(name, kOwnHeaders))
      return Refuse(
          "check header", base::Quoted(name),
          name == "host" ? "is set by check host" : "is the check's own");
    if (!IsText(value) || value.size() > kLongestHeaderValue)
      return Refuse(absl::StrCat("check header ", name), base::Quoted(value),
                    absl::StrCat("must have at most ", kLongestHeaderValue,
                                 " printable characters"));
  }
  return absl::OkStatus();
}

absl::Status CheckRequest(const CheckConfig& check) {
  if (check.path.empty() || check.path[0] != '/' || !IsPlain(check.path) ||
      check.path.size() > kLongestPath)
    return Refuse(
        "check path", base::Quoted(check.path),
        absl::StrCat("must begin with / and have at most ", kLongestPath,
                     " printable characters without spaces"));
  FL_RETURN_IF_ERROR(CheckPlain("check host", check.host, kLongestHost));
  FL_RETURN_IF_ERROR(CheckHeaders(check));
  if (!IsOneOf(check.method, kMethods))
    return Refuse(
        "check method", base::Quoted(check.method),
        absl::StrCat("must be one of ", absl::StrJoin(kMethods, ", ")));
  if (check.body.size() > kLongestBodyText || !IsText(check.body))
    return Refuse("check body", base::Quoted(check.body),
                  absl::StrCat("must have at most ", kLongestBodyText,
                               " printable characters"));
  if (!check.body.empty() && check.method == "HEAD")
    return Refuse("check body", base::Quoted(check.body),
                  "the answer to HEAD has none; use method GET");
  if (!check.subprotocol.empty() && !IsToken(check.subprotocol))
    return Refuse("check subprotocol", base::Quoted(check.subprotocol),
                  "must be one word, as Sec-WebSocket-Protocol has it");
  return CheckPlain("check subprotocol", check.subprotocol, kLongestHeaderName);
}

absl::Status CheckTls(const CheckConfig& check) {
  FL_RETURN_IF_ERROR(
      CheckPlain("check server-name", check.server_name, kLongestHost));
  if (check.ca_file.empty()) return absl::OkStatus();
  if (check.ca_file[0] != '/')
    return Refuse("check ca", base::Quoted(check.ca_file),
                  "must be the absolute path of a PEM file on the LB hosts");
  return CheckPlain("check ca", check.ca_file, kLongestFileName);
}

bool SameRequest(const CheckConfig& a, const CheckConfig& b) {
  return a.path == b.path && a.host == b.host && a.headers == b.headers;
}

bool SameJudgement(const CheckConfig& a, const CheckConfig& b) {
  return a.method == b.method && a.status == b.status && a.body == b.body;
}

bool SameTls(const CheckConfig& a, const CheckConfig& b) {
  return a.verify == b.verify && a.server_name == b.server_name &&
         a.ca_file == b.ca_file;
}

std::string OrDash(const std::string& text) {
  return text.empty() ? "-" : text;
}

template <typename T>
void Lay(const std::optional<T>& setting, T& field) {
  if (setting) field = *setting;
}

}  // namespace

absl::Status CheckCheck(const CheckConfig& check) {
  if (check.via == CheckVia::kVip && check.port != 0)
    return Refuse("check-via", "vip",
                  absl::StrCat("the VIP has no port ", check.port,
                               "; use check-port 0, or check-via direct"));
  FL_RETURN_IF_ERROR(CheckTimes(check));
  FL_RETURN_IF_ERROR(CheckRange("check rise", check.rise, 1, kMostInARow));
  FL_RETURN_IF_ERROR(CheckRange("check fall", check.fall, 1, kMostInARow));
  FL_RETURN_IF_ERROR(CheckRequest(check));
  return CheckTls(check);
}

absl::Status CheckApplies(const CheckConfig& before, const CheckConfig& after) {
  const CheckKind kind = after.kind;
  const auto refuse = [&](absl::string_view what) {
    return Refuse("check", ToString(kind), what);
  };
  if (!SameRequest(before, after) && !IsHttp(kind) && !IsWebSocket(kind))
    return refuse("path, host and headers need check http, https, ws or wss");
  if (!SameJudgement(before, after) && !IsHttp(kind))
    return refuse("method, status and body need check http or https");
  if (before.subprotocol != after.subprotocol && !IsWebSocket(kind))
    return refuse("subprotocol needs check ws or wss");
  if (!SameTls(before, after) && !IsTls(kind))
    return refuse("verify, server-name and ca need check https or wss");
  return absl::OkStatus();
}

void LayCheck(const ServiceSettings& settings, CheckConfig& check) {
  Lay(settings.check, check.kind);
  Lay(settings.check_via, check.via);
  Lay(settings.check_port, check.port);
  Lay(settings.check_path, check.path);
  Lay(settings.check_host, check.host);
  Lay(settings.check_headers, check.headers);
  Lay(settings.check_method, check.method);
  Lay(settings.check_status, check.status);
  Lay(settings.check_body, check.body);
  Lay(settings.check_subprotocol, check.subprotocol);
  Lay(settings.check_verify, check.verify);
  Lay(settings.check_server_name, check.server_name);
  Lay(settings.check_ca_file, check.ca_file);
  Lay(settings.check_interval, check.interval);
  Lay(settings.check_timeout, check.timeout);
  Lay(settings.check_rise, check.rise);
  Lay(settings.check_fall, check.fall);
}

std::vector<std::pair<std::string, std::string>> DescribeCheck(
    const CheckConfig& check) {
  return {
      {"check", std::string(ToString(check.kind))},
      {"check-via", std::string(ToString(check.via))},
      {"check-port", absl::StrCat(check.port)},
      {"check-path", check.path},
      {"check-host", OrDash(check.host)},
      {"check-header",
       OrDash(absl::StrJoin(check.headers, ", ", absl::PairFormatter(": ")))},
      {"check-method", check.method},
      {"check-status", check.status.ToString()},
      {"check-body", OrDash(check.body)},
      {"check-subprotocol", OrDash(check.subprotocol)},
      {"check-verify", check.verify ? "on" : "off"},
      {"check-server-name", OrDash(check.server_name)},
      {"check-ca", OrDash(check.ca_file)},
      {"check-interval", absl::FormatDuration(check.interval)},
      {"check-timeout", absl::FormatDuration(check.timeout)},
      {"check-rise", absl::StrCat(check.rise)},
      {"check-fall", absl::StrCat(check.fall)},
  };
}

}  // namespace fairlead::core
