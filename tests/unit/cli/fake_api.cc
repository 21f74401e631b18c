#include "tests/unit/cli/fake_api.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/run.h"

namespace fairlead::cli {

namespace {

// Has its text when it is closed.
class FileInMemory : public std::ostringstream {
 public:
  explicit FileInMemory(std::string& text) : text_(text) {}
  FileInMemory(const FileInMemory&) = delete;
  FileInMemory& operator=(const FileInMemory&) = delete;
  ~FileInMemory() override { text_ = str(); }

 private:
  std::string& text_;
};

}  // namespace

FakeApi::FakeApi() : environment_{.out = out_, .err = err_} {
  environment_.getenv =
      [this](const std::string& name) -> std::optional<std::string> {
    const auto found = env_.find(name);
    if (found == env_.end()) return std::nullopt;
    return found->second;
  };
  environment_.read_file =
      [this](const std::string& path) -> absl::StatusOr<std::string> {
    const auto found = files_.find(path);
    if (found == files_.end())
      return Failed(absl::StrCat("read ", path, ": No such file or directory"));
    return found->second;
  };
  environment_.create_file = [this](const std::string& path)
      -> absl::StatusOr<std::unique_ptr<std::ostream>> {
    return std::make_unique<FileInMemory>(files_[path]);
  };
  environment_.call =
      [this](absl::string_view socket, const http::Request& request,
             absl::Duration timeout) -> absl::StatusOr<http::Response> {
    socket_ = std::string(socket);
    timeout_ = timeout;
    Answer answer = Take(request);
    if (!answer.failure.ok()) return answer.failure;
    http::Response response;
    response.status = answer.status;
    response.body = std::move(answer.body);
    return response;
  };
  environment_.stream =
      [this](absl::string_view socket, const http::Request& request,
             auto on_chunk) -> absl::StatusOr<http::Response> {
    socket_ = std::string(socket);
    Answer answer = Take(request);
    if (!answer.failure.ok()) return answer.failure;
    http::Response response;
    response.status = answer.status;
    response.body = std::move(answer.body);
    for (const std::string& chunk : answer.chunks) {
      if (!on_chunk(chunk)) break;
    }
    return response;
  };
  environment_.now = [this] { return now_; };
  environment_.wait = [this](absl::Duration time) { now_ = now_ + time; };
}

FakeApi::Answer FakeApi::Take(const http::Request& request) {
  const std::string what = absl::StrCat(request.method, " ", request.path);
  sent_.push_back({what, request.query, request.body});
  const auto found = answers_.find(what);
  if (found == answers_.end()) {
    return {.failure = absl::UnavailableError(
                "connect: nobody is listening; is fairleadd running?")};
  }
  std::deque<Answer>& queue = found->second;
  Answer answer = queue.front();
  if (queue.size() > 1) queue.pop_front();
  return answer;
}

void FakeApi::On(const std::string& what, const std::string& body, int status) {
  answers_[what].push_back({.status = status, .body = body});
}

void FakeApi::OnError(const std::string& what, int status,
                      const std::string& code, const std::string& message) {
  const http::Response error = http::ErrorResponse(status, code, message);
  On(what, error.body, status);
}

void FakeApi::OnFailure(const std::string& what, absl::Status failure) {
  answers_[what].push_back({.failure = std::move(failure)});
}

void FakeApi::OnStream(const std::string& what,
                       std::vector<std::string> chunks) {
  answers_[what].push_back({.chunks = std::move(chunks)});
}

void FakeApi::SetEnv(const std::string& name, const std::string& value) {
  env_[name] = value;
}

void FakeApi::SetFile(const std::string& path, const std::string& text) {
  files_[path] = text;
}

int FakeApi::Run(absl::string_view command) {
  return RunWords(absl::StrSplit(command, ' ', absl::SkipEmpty()));
}

int FakeApi::RunWords(std::vector<std::string> words) {
  out_.str("");
  err_.str("");
  sent_.clear();
  return static_cast<int>(cli::Run(std::move(words), environment_));
}

std::string FakeApi::SentLines() const {
  std::string lines;
  for (const Sent& sent : sent_)
    absl::StrAppend(&lines, sent.what, sent.body.empty() ? "" : " ", sent.body,
                    "\n");
  return lines;
}

}  // namespace fairlead::cli
