#include "cli/check_options.h"

#include "absl/strings/ascii.h"
#include "cli/command_line.h"

namespace fairlead::cli {
namespace {

constexpr char kNoHeaders[] = "none";

template <typename T>
CLI::Option& Add(CLI::App& app, const std::string& name,
                 std::optional<T>& value, const std::string& type,
                 const std::string& description) {
  return *app.add_option(name, value, description)->type_name(type);
}

template <typename T>
void Put(Json& object, const std::string& name, const std::optional<T>& value) {
  if (value.has_value()) object[name] = *value;
}

CLI::Validator CheckType() {
  CLI::Validator known = OneOf({"tcp", "http", "https", "ws", "wss", "none"});
  return CLI::Validator(
      [known](std::string& text) -> std::string {
        if (text != "exec") return known(text);
        return "exec is no check: nothing is run on an LB host; let the "
               "backend run it and answer by HTTP, and use --check http";
      },
      "", "");
}

// "Name: value", or none at all.
CLI::Validator Header() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        const size_t colon = text.find(':');
        if (text == kNoHeaders || (colon != std::string::npos && colon > 0))
          return "";
        return "\"" + text + "\" is no header: write \"Name: value\", or " +
               kNoHeaders + " to send none";
      },
      "", "");
}

}  // namespace

void CheckOptions::AddTo(CLI::App& app) {
  Add(app, "--check", type, "TYPE",
      "tcp (default), http, https, ws, wss (a WebSocket that answers a ping) "
      "or none")
      .check(CheckType());
  Add(app, "--check-via", via, "ROAD",
      "direct: to the backend's own address (default);\n"
      "vip: to the VIP, by the road of clients' packets")
      .check(OneOf({"direct", "vip"}));
  Add(app, "--check-port", port, "PORT",
      "Where it connects to; 0 (default): the service's port")
      .check(WholeNumber(0, 65535));
  AddRequestOptions(app);
  AddTlsOptions(app);
  Add(app, "--check-interval", interval, "DURATION", "Default 2s")
      .check(DurationValue());
  Add(app, "--check-timeout", timeout, "DURATION", "Default 1s")
      .check(DurationValue());
  Add(app, "--rise", rise, "N", "Successes in a row until it is up (default 2)")
      .check(WholeNumber(1, UINT32_MAX));
  Add(app, "--fall", fall, "N",
      "Failures in a row until it is down (default 3)")
      .check(WholeNumber(1, UINT32_MAX));
}

void CheckOptions::AddRequestOptions(CLI::App& app) {
  Add(app, "--check-path", path, "PATH",
      "What a check by HTTP or WebSocket asks for (default /)");
  Add(app, "--check-host", host, "HOST",
      "Its Host header (default: the backend's address)");
  app.add_option("--check-header", headers,
                 "One header more, once for each; none: no others. They are "
                 "shown to whoever may see the service")
      ->type_name("\"NAME: VALUE\"")
      ->allow_extra_args(false)
      ->check(Header());
  Add(app, "--check-method", method, "METHOD",
      "Of http and https: GET (default), HEAD, OPTIONS or POST")
      .check(OneOf({"GET", "HEAD", "OPTIONS", "POST"}));
  Add(app, "--check-status", status, "RULES",
      "What answers mean: 200-299 (default) are up, 429=hold, 503=drain, the "
      "rest is fail; such as 200-399,404,500=drain");
  Add(app, "--check-body", body, "TEXT",
      "What a good answer's body must have in it; \"\": anything");
  Add(app, "--check-subprotocol", subprotocol, "NAME",
      "Of ws and wss: asked for, and to be agreed to; \"\": none");
}

void CheckOptions::AddTlsOptions(CLI::App& app) {
  Add(app, "--check-verify", verify, "on|off",
      "Of https and wss: whether the certificate must be good (default on)")
      .check(OneOf({"on", "off"}));
  Add(app, "--check-server-name", server_name, "NAME",
      "Whom the certificate must be for (default: --check-host, or the "
      "backend's address)");
  Add(app, "--check-ca", ca_file, "FILE",
      "Who may have signed it, in PEM, on the LB hosts; \"\": as the system "
      "trusts (default)");
}

void CheckOptions::PutInto(Json& body_json) const {
  Json fields = Json::object();
  Put(fields, "type", type);
  Put(fields, "via", via);
  Put(fields, "port", port);
  Put(fields, "path", path);
  Put(fields, "host", host);
  if (!headers.empty()) fields["headers"] = Json::object();
  for (const std::string& header : headers) {
    if (header == kNoHeaders) continue;
    const size_t colon = header.find(':');
    fields["headers"][header.substr(0, colon)] =
        std::string(absl::StripAsciiWhitespace(
            absl::string_view(header).substr(colon + 1)));
  }
  Put(fields, "method", method);
  Put(fields, "status", status);
  Put(fields, "body", body);
  Put(fields, "subprotocol", subprotocol);
  if (verify.has_value()) fields["verify"] = *verify == "on";
  Put(fields, "server_name", server_name);
  Put(fields, "ca_file", ca_file);
  Put(fields, "interval", interval);
  Put(fields, "timeout", timeout);
  Put(fields, "rise", rise);
  Put(fields, "fall", fall);
  if (!fields.empty()) body_json["check"] = fields;
}

}  // namespace fairlead::cli
