#include "control/event_log.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "event/scope.h"
#include "tests/unit/event/run_on_loop.h"
#include "tests/unit/event/temp_folder.h"

namespace fairlead::control {
namespace {

using event::ExpectOk;
using event::Task;

const absl::Time kNoon = absl::FromUnixMillis(1'795'176'000'123);

std::vector<core::Event> Drains(int count) {
  std::vector<core::Event> events;
  for (int i = 0; i < count; ++i) {
    events.push_back({.type = "backend.drain",
                      .service = "ws",
                      .backend = absl::StrCat("web", i),
                      .before = "ready",
                      .after = "drain"});
  }
  return events;
}

std::vector<uint64_t> Numbers(const std::vector<EventRecord>& records) {
  std::vector<uint64_t> numbers;
  for (const EventRecord& record : records) numbers.push_back(record.seq);
  return numbers;
}

std::string ContentOf(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

using Seqs = std::vector<uint64_t>;

class LogFixture {
 public:
  explicit LogFixture(const EventLogLimits& limits = {})
      : loop_(event::MakeLoop()), limits_(limits) {}

  // `body(EventLog&)` gets a log that is open.
  template <typename Body>
  void Run(const Body& body) {
    event::RunOn(*loop_, [&]() -> Task<void> {
      EventLog log(*loop_, folder_.path(), limits_);
      ExpectOk(co_await log.Open());
      co_await body(log);
    });
  }

  event::Loop& loop() { return *loop_; }
  std::string file() const { return folder_.File("events.jsonl"); }
  std::string old_file() const { return folder_.File("events.jsonl.1"); }

 private:
  event::TempFolder folder_;
  std::unique_ptr<event::Loop> loop_;
  EventLogLimits limits_;
};

TEST_CASE("a record is one line that comes back", "[control][events]") {
  const EventRecord record = {
      .seq = 12, .time = kNoon, .uid = 0, .event = Drains(1)[0]};
  const std::string line = EncodeEventLine(record);
  CHECK(line == R"({"seq":12,"time":"2026-11-20T12:00:00.123Z","uid":0,)"
                R"("type":"backend.drain","service":"ws","backend":"web0",)"
                R"("before":"ready","after":"drain","reason":"",)"
                R"("lasted_ms":null})"
                "\n");
  const EventRecord again = event::ValueOf(DecodeEventLine(line));
  CHECK(EncodeEventLine(again) == line);

  EventRecord state = record;
  state.event.lasted = absl::Milliseconds(61'250);
  const std::string timed = EncodeEventLine(state);
  CHECK_THAT(timed, Catch::Matchers::Contains("\"lasted_ms\":61250"));
  CHECK(event::ValueOf(DecodeEventLine(timed)).event.lasted ==
        absl::Milliseconds(61'250));
  // As older daemons wrote it.
  const EventRecord old = event::ValueOf(DecodeEventLine(
      R"({"seq":12,"time":"2026-11-20T12:00:00.123Z","uid":0,)"
      R"("type":"backend.drain","service":"ws","backend":"web0",)"
      R"("before":"ready","after":"drain","reason":""})"));
  CHECK(!old.event.lasted);

  EventRecord anonymous = record;
  anonymous.uid.reset();
  const std::string nobody = EncodeEventLine(anonymous);
  CHECK_THAT(nobody, Catch::Matchers::Contains("\"uid\":null"));
  CHECK_FALSE(event::ValueOf(DecodeEventLine(nobody)).uid.has_value());
  CHECK_FALSE(DecodeEventLine("{}").ok());
}

TEST_CASE("records are numbered from one and are on the disk after an append",
          "[control][events]") {
  LogFixture fixture;
  fixture.Run([&](EventLog& log) -> Task<void> {
    CHECK(log.last_seq() == 0);
    ExpectOk(co_await log.Append(Drains(2), 1000, kNoon));
    ExpectOk(co_await log.Append({}, 1000, kNoon));
    ExpectOk(co_await log.Append(Drains(1), std::nullopt, kNoon));
    CHECK(log.last_seq() == 3);
    CHECK(Numbers(log.Newest(2)) == Seqs{2, 3});
    CHECK(Numbers(log.Newest(99)) == Seqs{1, 2, 3});
    CHECK(Numbers(log.After(1, 99)) == Seqs{2, 3});
    CHECK(Numbers(log.After(1, 1)) == Seqs{2});
    CHECK(log.After(3, 99).empty());
    std::string lines;
    for (const EventRecord& record : log.Newest(99))
      lines += EncodeEventLine(record);
    CHECK(ContentOf(fixture.file()) == lines);
  });
}

TEST_CASE("numbers and records go on after a restart", "[control][events]") {
  LogFixture fixture;
  fixture.Run([&](EventLog& log) -> Task<void> {
    ExpectOk(co_await log.Append(Drains(3), 1000, kNoon));
  });
  fixture.Run([&](EventLog& log) -> Task<void> {
    CHECK(Numbers(log.Newest(99)) == Seqs{1, 2, 3});
    CHECK(log.Newest(1)[0].event.backend == "web2");
    CHECK(log.Newest(1)[0].uid == 1000u);
    ExpectOk(co_await log.Append(Drains(1), 1000, kNoon));
    CHECK(log.last_seq() == 4);
  });
}

TEST_CASE("a line that a crash cut short is dropped at any byte",
          "[control][events]") {
  LogFixture fixture;
  fixture.Run([&](EventLog& log) -> Task<void> {
    ExpectOk(co_await log.Append(Drains(2), 1000, kNoon));
  });
  const std::string whole = ContentOf(fixture.file());
  const size_t first_line = whole.find('\n') + 1;
  for (size_t length = first_line; length < whole.size(); length += 7) {
    std::ofstream(fixture.file()) << whole.substr(0, length);
    fixture.Run([&](EventLog& log) -> Task<void> {
      CHECK(log.last_seq() == 1);
      ExpectOk(co_await log.Append(Drains(1), 1000, kNoon));
      CHECK(log.last_seq() == 2);
    });
    fixture.Run([&](EventLog& log) -> Task<void> {
      CHECK(Numbers(log.Newest(99)) == Seqs{1, 2});
      co_return;
    });
  }
}

TEST_CASE("a line that cannot be read is left out, the others stay",
          "[control][events]") {
  LogFixture fixture;
  std::string lines;
  for (const uint64_t seq : {5, 6, 6, 7})
    lines += EncodeEventLine({.seq = seq, .time = kNoon});
  std::ofstream(fixture.file()) << "garbage\n\n{}\n" << lines;
  fixture.Run([&](EventLog& log) -> Task<void> {
    CHECK(Numbers(log.Newest(99)) == Seqs{5, 6, 7});
    ExpectOk(co_await log.Append(Drains(1), 1000, kNoon));
    CHECK(log.last_seq() == 8);
  });
}

TEST_CASE("memory holds the newest only", "[control][events]") {
  LogFixture fixture({.in_memory = 5});
  fixture.Run([&](EventLog& log) -> Task<void> {
    ExpectOk(co_await log.Append(Drains(3), 1000, kNoon));
    ExpectOk(co_await log.Append(Drains(4), 1000, kNoon));
    CHECK(Numbers(log.Newest(99)) == Seqs{3, 4, 5, 6, 7});
    CHECK(Numbers(log.After(0, 2)) == Seqs{3, 4});
  });
  fixture.Run([&](EventLog& log) -> Task<void> {
    CHECK(Numbers(log.Newest(99)) == Seqs{3, 4, 5, 6, 7});
    co_return;
  });
}

TEST_CASE("a full file is set aside, and both are read at start",
          "[control][events]") {
  LogFixture fixture({.file_bytes = 1000});
  fixture.Run([&](EventLog& log) -> Task<void> {
    for (int i = 0; i < 10; ++i)
      ExpectOk(co_await log.Append(Drains(1), 1000, kNoon));
  });
  CHECK(std::filesystem::file_size(fixture.file()) <= 1000);
  CHECK(std::filesystem::file_size(fixture.old_file()) <= 1000);
  fixture.Run([&](EventLog& log) -> Task<void> {
    CHECK(log.last_seq() == 10);
    // What two files hold, without a gap.
    const Seqs numbers = Numbers(log.Newest(99));
    CHECK(numbers.size() > 6);
    CHECK(numbers.back() - numbers.front() + 1 == numbers.size());
    co_return;
  });
}

TEST_CASE("a crash right after the file was set aside loses no number",
          "[control][events]") {
  LogFixture fixture;
  fixture.Run([&](EventLog& log) -> Task<void> {
    ExpectOk(co_await log.Append(Drains(3), 1000, kNoon));
  });
  std::filesystem::rename(fixture.file(), fixture.old_file());
  fixture.Run([&](EventLog& log) -> Task<void> {
    CHECK(log.last_seq() == 3);
    co_return;
  });
}

TEST_CASE("records that could not be written are written with the next ones",
          "[control][events]") {
  LogFixture fixture;
  fixture.Run([&](EventLog& log) -> Task<void> {
    ExpectOk(co_await log.Append(Drains(1), 1000, kNoon));
    std::filesystem::rename(fixture.file(), fixture.old_file());
    std::filesystem::create_directory(fixture.file());
    const absl::Status refused = co_await log.Append(Drains(2), 1000, kNoon);
    CHECK_FALSE(refused.ok());
    CHECK(log.last_seq() == 3);
    std::filesystem::remove(fixture.file());
    std::filesystem::rename(fixture.old_file(), fixture.file());
    ExpectOk(co_await log.Append(Drains(1), 1000, kNoon));
  });
  fixture.Run([&](EventLog& log) -> Task<void> {
    CHECK(Numbers(log.Newest(99)) == Seqs{1, 2, 3, 4});
    co_return;
  });
}

TEST_CASE("appends at the same time keep their numbers in file order",
          "[control][events]") {
  LogFixture fixture;
  fixture.Run([&](EventLog& log) -> Task<void> {
    event::Scope writers(co_await event::CurrentScope());
    const auto append = [&]() -> Task<void> {
      ExpectOk(co_await log.Append(Drains(3), 1000, kNoon));
    };
    for (int i = 0; i < 10; ++i) writers.Spawn(append());
    co_await writers.Join();
    CHECK(log.last_seq() == 30);
  });
  fixture.Run([&](EventLog& log) -> Task<void> {
    CHECK(log.Newest(99).size() == 30);
    co_return;
  });
}

TEST_CASE("a reader waits for what is newer", "[control][events]") {
  LogFixture fixture;
  fixture.Run([&](EventLog& log) -> Task<void> {
    ExpectOk(co_await log.Append(Drains(1), 1000, kNoon));
    ExpectOk(co_await log.WaitForNewer(0));

    absl::Status waited = absl::UnknownError("still waiting");
    event::Scope readers(co_await event::CurrentScope());
    const auto wait = [&](uint64_t seq) -> Task<void> {
      waited = co_await log.WaitForNewer(seq);
    };
    readers.Spawn(wait(1));
    for (int i = 0; i < 3; ++i) co_await fixture.loop().Yield();
    CHECK(absl::IsUnknown(waited));
    ExpectOk(co_await log.Append(Drains(1), 1000, kNoon));
    co_await readers.Join();
    ExpectOk(waited);

    readers.Spawn(wait(2));
    co_await fixture.loop().Yield();
    readers.Cancel();
    co_await readers.Join();
    CHECK(absl::IsCancelled(waited));
  });
}

}  // namespace
}  // namespace fairlead::control
