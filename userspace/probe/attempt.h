// Attempt: one probe from its connect to its result, step by step. Each step
// is timed; the one that fails is the last.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/mono_time.h"
#include "core/model.h"
#include "event/loop.h"
#include "event/task.h"
#include "http/codec.h"
#include "http/message.h"
#include "probe/channel.h"
#include "probe/probe.h"
#include "probe/tls.h"
#include "probe/websocket.h"

namespace fairlead::probe {

class Attempt {
 public:
  // All borrowed. Ends at `deadline`.
  Attempt(event::Loop& loop, TlsContexts& contexts, const Target& target,
          base::MonoTime deadline)
      : loop_(loop),
        contexts_(contexts),
        target_(target),
        channel_(loop, deadline) {}
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  // Once. Without the result's duration.
  event::Task<core::ProbeResult> Run();

 private:
  void Begin(core::ProbeStep step);
  void End();
  // Each answers false, so that the step can end with it.
  bool Fail(core::ProbeOutcome outcome, absl::string_view detail);
  bool FailIo(const absl::Status& status);
  bool FailTls();
  bool FailParse(const http::ResponseParser& parser);

  event::Task<bool> Connect();
  event::Task<bool> StartTls();
  event::Task<bool> Http();
  event::Task<bool> WebSocket();
  event::Task<bool> Upgrade();
  event::Task<bool> PingPong();
  event::Task<void> Close();

  // How much of an answer is waited for.
  enum class Wanted { kAll, kHeader };
  // Sends `request` and reads its answer into `parser`.
  event::Task<bool> Exchange(http::Request request,
                             http::RequestOptions options,
                             http::ResponseParser& parser, Wanted wanted);
  // One read more into received_; false at its end or on an error.
  event::Task<bool> ReadMore();
  event::Task<bool> SendFrame(Opcode opcode, std::string payload);
  bool JudgeAnswer(const http::Response& response);
  // The next frame; nullopt: failed.
  event::Task<std::optional<Frame>> NextFrame();

  event::Loop& loop_;
  TlsContexts& contexts_;
  const Target& target_;
  Channel channel_;

  core::ProbeResult result_;
  base::MonoTime step_begun_;
  std::string received_;  // and not yet used
  // Valid after the upgrade.
  std::optional<FrameReader> frames_;
  size_t after_upgrade_ = 0;  // bytes that came since
};

}  // namespace fairlead::probe
