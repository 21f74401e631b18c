#include "daemon/tracer.h"

#include <arpa/inet.h>
#include <poll.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "datapath/frame_text.h"
#include "datapath/stats.h"

namespace fairlead::daemon {
namespace {

constexpr uint64_t kTracedPerTurn = kTracedPerSecond / kTraceTurnsPerSecond;

void Match(const control::AddressMatch& match, __u32 (&address)[4],
           __u32 (&mask)[4], __be16& port) {
  std::memcpy(address, match.prefix.address.bytes().data(), sizeof(address));
  for (int word = 0; word < 4; ++word) {
    const int bits = std::clamp(match.prefix.bits - 32 * word, 0, 32);
    mask[word] = htonl(bits == 0 ? 0 : ~uint32_t{0} << (32 - bits));
  }
  port = htons(match.port);
}

bool IsSent(uint16_t verdict) {
  const auto verdicts = datapath::LbVerdicts();
  return verdict < verdicts.size() && verdicts[verdict].action == "TX";
}

}  // namespace

class Tracer::Session : public control::Trace {
 public:
  Session(Tracer& tracer, uint64_t count) : tracer_(tracer), left_(count) {
    tracer_.busy_ = true;
    tracer_.busy_since_ = tracer_.parts_.loop.Now();
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() override {
    tracer_.parts_.packets.Stop();
    tracer_.busy_ = false;
  }

  event::Task<absl::StatusOr<control::TraceBatch>> Next() override {
    const Parts& parts = tracer_.parts_;
    while (true) {
      parts.packets.Renew(parts.loop.Now() + kTraceLease,
                          std::min(left_, kTracedPerTurn));
      // A whole turn, so that the rate holds.
      const absl::Status slept = co_await parts.loop.SleepFor(kTraceTurn);
      if (!slept.ok()) co_return slept;
      control::TraceBatch batch = {.packets = Take(),
                                   .missed = parts.packets.missed()};
      const bool news = !batch.packets.empty() || batch.missed != missed_;
      missed_ = batch.missed;
      if (news) co_return batch;
      const absl::StatusOr<int> ready = co_await parts.loop.Poll(
          parts.packets.fd(), POLLIN, parts.loop.Now() + kTraceLease / 3);
      if (!ready.ok() && !absl::IsDeadlineExceeded(ready.status()))
        co_return ready.status();
    }
  }

 private:
  std::vector<control::TracedPacket> Take() {
    std::vector<control::TracedPacket> packets;
    tracer_.parts_.packets.Take([&](const fl_traced& traced) {
      if (left_ == 0) return;
      --left_;
      packets.push_back(tracer_.Describe(traced));
    });
    return packets;
  }

  Tracer& tracer_;
  uint64_t left_;
  uint64_t missed_ = 0;
};

absl::StatusOr<std::unique_ptr<control::Trace>> Tracer::Start(
    const control::TraceQuery& query) {
  if (busy_) {
    return absl::FailedPreconditionError(
        absl::StrCat("another trace is under way for ",
                     absl::FormatDuration(absl::Trunc(
                         parts_.loop.Now() - busy_since_, absl::Seconds(1))),
                     "; this host has one at a time"));
  }
  fl_trace filter = {};
  Match(query.client, filter.client, filter.client_mask, filter.client_port);
  Match(query.vip, filter.address, filter.address_mask, filter.port);
  filter.service = query.service.value_or(0);
  filter.verdict = query.verdict.value_or(FL_TRACE_ANY_VERDICT);
  filter.left = std::min(query.count, kTracedPerTurn);
  filter.until =
      static_cast<uint64_t>((parts_.loop.Now() + kTraceLease).nanoseconds());
  auto session = std::make_unique<Session>(*this, query.count);
  parts_.packets.Start(filter);
  return session;
}

control::TracedFrame Tracer::DescribeFrame(
    uint32_t interface, uint16_t length,
    const uint8_t (&bytes)[FL_TRACE_SNAP]) const {
  const auto& links = parts_.routes.network().links;
  const auto link = links.find(interface);
  const std::span<const uint8_t> known(bytes,
                                       std::min<size_t>(length, FL_TRACE_SNAP));
  const auto name_of = [&](uint16_t id) {
    for (const auto& [service_name, service] :
         parts_.controller.desired().services) {
      for (const auto& [name, backend] : service.backends)
        if (backend.id == id) return name;
    }
    return absl::StrCat("#", id);
  };
  return {.interface = link == links.end() ? absl::StrCat("#", interface)
                                           : link->second.name,
          .length = length,
          .bytes = std::string(known.begin(), known.end()),
          .text = datapath::FrameText(
              known, {.gue_port = parts_.gue_port, .backend_name = name_of})};
}

control::TracedPacket Tracer::Describe(const fl_traced& traced) const {
  const event::Loop& loop = parts_.loop;
  const auto came =
      base::MonoTime::FromNanoseconds(static_cast<int64_t>(traced.time_ns));
  control::TracedPacket packet;
  packet.time = loop.WallNow() - (loop.Now() - came);
  packet.verdict = traced.verdict;
  packet.service = traced.service;
  packet.in = DescribeFrame(traced.ingress, traced.in_length, traced.in);
  if (IsSent(traced.verdict)) {
    packet.out =
        DescribeFrame(traced.egress == 0 ? traced.ingress : traced.egress,
                      traced.out_length, traced.out);
  }
  return packet;
}

}  // namespace fairlead::daemon
