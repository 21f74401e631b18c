#include "cli/trace_commands.h"

#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "cli/exit_code.h"
#include "cli/table.h"

namespace fairlead::cli {
namespace {

absl::Time TimeOf(const Json& packet) {
  absl::Time time;
  std::string ignored;
  if (!absl::ParseTime(absl::RFC3339_full, Text(packet, "time"), &time,
                       &ignored))
    return absl::UnixEpoch();
  return time;
}

Table PacketTable() {
  return Table({{.title = "TIME (UTC)", .min_width = 15},
                {.title = "VERDICT", .min_width = 16},
                {.title = "SERVICE", .min_width = 10},
                {.title = "PACKET"}});
}

std::string FrameLine(const Json& frame) {
  return absl::StrCat(Text(frame, "text"), ", ", Number(frame, "length"),
                      " bytes, ", Text(frame, "interface"));
}

void PrintPacket(const Json& packet, std::ostream& out) {
  Table table = PacketTable();
  table.Add(
      {absl::FormatTime("%H:%M:%E6S", TimeOf(packet), absl::UTCTimeZone()),
       Text(packet, "verdict"), Text(packet, "service"),
       FrameLine(Field(packet, "in"))});
  if (Has(packet, "out")) {
    table.Add(
        {" ", " ", " ", absl::StrCat("-> ", FrameLine(Field(packet, "out")))});
  }
  table.PrintRows(out);
  out << std::flush;
}

void WriteFrame(const Json& packet, const std::string& which,
                Direction direction, PcapngWriter& writer) {
  if (!Has(packet, which)) return;
  const Json& frame = Field(packet, which);
  std::string bytes;
  if (!absl::Base64Unescape(Text(frame, "bytes"), &bytes)) return;
  const std::string interface = Text(frame, "interface");
  const std::string service = Text(packet, "service");
  const std::string comment =
      absl::StrCat(Text(packet, "verdict"),
                   service.empty() ? "" : absl::StrCat(" service ", service));
  writer.Write({.time = TimeOf(packet),
                .interface = interface,
                .direction = direction,
                .length = static_cast<uint32_t>(Number(frame, "length")),
                .bytes = bytes,
                .comment = comment});
}

}  // namespace

TraceCommands::TraceCommands(CommandLine& line) {
  CLI::App& trace = line.AddVerb(
      line.root(),
      {.command = {.name = "trace",
                   .description =
                       "Single packets as they come and go, with verdicts",
                   .examples =
                       {"fairlead trace --src 203.0.113.7 --count 20",
                        "fairlead trace --service web --verdict TX_MISS",
                        "fairlead trace --service web -w web.pcapng", "",
                        "tcpdump here cannot see what the packet path sends.",
                        "At most 1,000 packets a second, 256 bytes of each."}}},
      [this](Session& session) { return Trace(session); });
  const std::string match = "ADDRESS[/LENGTH|:PORT]";
  trace.add_option("--src", source_, "From there")->type_name(match);
  trace.add_option("--dst", destination_, "To there")->type_name(match);
  trace.add_option("--service", service_, "For this service")
      ->type_name("SERVICE");
  trace
      .add_option("--verdict", verdict_,
                  "With this verdict; fairlead verdicts lists them")
      ->type_name("VERDICT");
  trace.add_option("--count", count_, "End after N packets; else with Ctrl-C")
      ->type_name("N")
      ->check(WholeNumber(1, UINT64_MAX));
  trace
      .add_option("-w,--write", file_,
                  "Into this pcapng file, for Wireshark or tcpdump -r")
      ->type_name("FILE");
}

http::StringMap TraceCommands::Query() const {
  http::StringMap query;
  if (source_.has_value()) query["src"] = *source_;
  if (destination_.has_value()) query["dst"] = *destination_;
  if (service_.has_value()) query["service"] = *service_;
  if (verdict_.has_value()) query["verdict"] = *verdict_;
  if (count_.has_value()) query["count"] = absl::StrCat(*count_);
  return query;
}

// None: the trace has begun.
void TraceCommands::PrintMissed(Session& session, int64_t missed) const {
  if (missed > 0) {
    session.err() << "fairlead: " << Count(missed, "matching packet")
                  << " came too fast to be told so far\n";
  } else if (!file_.empty() || session.json()) {
    session.err() << "fairlead: tracing; Ctrl-C ends it\n";
  } else {
    PacketTable().Print(session.out());
    session.out() << std::flush;
  }
}

absl::Status TraceCommands::Trace(Session& session) const {
  std::unique_ptr<std::ostream> file;
  std::optional<PcapngWriter> writer;
  if (!file_.empty()) {
    FL_ASSIGN_OR_RETURN(file, session.environment().create_file(file_));
    writer.emplace(*file);
  }
  std::ostream& out = file == nullptr ? session.out() : *file;
  uint64_t packets = 0;
  const auto on_line = [&](absl::string_view line) {
    const absl::StatusOr<Json> said = ParseJson(line);
    if (!said.ok()) return true;
    if (Has(*said, "missed")) {
      PrintMissed(session, Number(*said, "missed"));
      return true;
    }
    ++packets;
    if (writer.has_value()) {
      WriteFrame(*said, "in", Direction::kIn, *writer);
      WriteFrame(*said, "out", Direction::kOut, *writer);
    } else if (session.json()) {
      out << line << '\n' << std::flush;
    } else {
      PrintPacket(*said, out);
    }
    return out.good() && packets != count_;
  };
  FL_RETURN_IF_ERROR(session.Follow("/v1/trace", Query(), on_line));
  if (file != nullptr && !file->good())
    return Failed(absl::StrCat("cannot write ", file_));
  return absl::OkStatus();
}

}  // namespace fairlead::cli
