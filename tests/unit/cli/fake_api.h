// The daemon as the command line sees it: canned answers, remembered requests,
// and a clock that only waiting moves.
#pragma once

#include <deque>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/mono_time.h"
#include "cli/environment.h"
#include "cli/exit_code.h"
#include "http/message.h"

namespace fairlead::cli {

struct Sent {
  std::string what;  // "POST /v1/services"
  http::StringMap query;
  std::string body;
};

class FakeApi {
 public:
  FakeApi();

  // Answers `what` ("GET /v1/status") from now on. Several answers to the same
  // are given in turn; the last one stays.
  void On(const std::string& what, const std::string& body, int status = 200);
  void OnError(const std::string& what, int status, const std::string& code,
               const std::string& message);
  // The call itself fails.
  void OnFailure(const std::string& what, absl::Status failure);
  // The answer of a stream, in these pieces.
  void OnStream(const std::string& what, std::vector<std::string> chunks);
  void SetEnv(const std::string& name, const std::string& value);
  void SetFile(const std::string& path, const std::string& text);

  const std::string& file(const std::string& path) { return files_[path]; }

  // Runs `fairlead COMMAND`, words split at spaces; gives the exit code.
  int Run(absl::string_view command);
  int RunWords(std::vector<std::string> words);

  // Of the last run.
  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }
  const std::vector<Sent>& sent() const { return sent_; }
  // "POST /v1/services {...}", one per line.
  std::string SentLines() const;
  const std::string& socket() const { return socket_; }
  absl::Duration timeout() const { return timeout_; }
  absl::Duration waited() const {
    return now_ - base::MonoTime::FromNanoseconds(0);
  }
  std::ostringstream& out_stream() { return out_; }

 private:
  struct Answer {
    absl::Status failure;
    int status = 200;
    std::string body;
    std::vector<std::string> chunks;
  };
  Answer Take(const http::Request& request);

  Environment environment_;
  std::map<std::string, std::deque<Answer>> answers_;
  std::map<std::string, std::string> env_;
  std::map<std::string, std::string> files_;
  std::ostringstream out_;
  std::ostringstream err_;
  std::vector<Sent> sent_;
  std::string socket_;
  absl::Duration timeout_;
  base::MonoTime now_;
};

}  // namespace fairlead::cli
