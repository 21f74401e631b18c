#include "tests/model/route_model.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "fairlead/abi/wire.h"
#include "tests/model/flow_model.h"
#include "tests/model/icmp_model.h"

namespace fairlead::model {
namespace {

bool Has(const Host& host, uint16_t backend, uint64_t state) {
  return (host.backends[backend].state & state) == state;
}

bool TakesNewFlows(const Host& host, uint16_t backend) {
  return Has(host, backend, FL_BACKEND_ELIGIBLE);
}

// Takes new flows, and they can get there from here.
bool CanBeChosen(const Host& host, uint16_t backend) {
  return TakesNewFlows(host, backend) &&
         Has(host, backend, FL_BACKEND_NEXT_HOP);
}

// Believed dead, or out of reach from here.
bool IsSilent(const Host& host, uint16_t backend) {
  return Has(host, backend, FL_BACKEND_DEAD) ||
         !Has(host, backend, FL_BACKEND_NEXT_HOP);
}

Ids IdsOf(uint64_t word) {
  Ids ids;
  for (unsigned int i = 0; i < 4; i++) {
    const auto id = static_cast<uint16_t>(word >> 16 * i);
    if (id != FL_NO_BACKEND) ids.push_back(id);
  }
  return ids;
}

struct Row {
  Ids candidates, owners;

  Ids Members() const {
    Ids members = candidates;
    members.insert(members.end(), owners.begin(), owners.end());
    return members;
  }
};

// `first`, then the others in their order.
Ids StartingWith(uint16_t first, const Ids& others) {
  Ids ids = {first};
  std::ranges::copy_if(others, std::back_inserter(ids),
                       [&](uint16_t id) { return id != first; });
  return ids;
}

bool Contains(const Ids& ids, uint16_t id) {
  return std::ranges::find(ids, id) != ids.end();
}

// The connections of a backend, by its agent's last report and what came since.
uint64_t LoadOf(const Host& host, uint16_t backend) {
  const fl_load& load = host.loads[backend];
  const auto sum = static_cast<int64_t>(load.live + load.pending +
                                        static_cast<uint64_t>(load.elsewhere));
  return sum > 0 ? static_cast<uint64_t>(sum) : 0;
}

// Load is connections by weight; `later` with one more must be below `earlier`
// by more than one in FL_CHOICE_MARGIN.
bool MuchLessLoaded(const Host& host, uint16_t later, uint16_t earlier) {
  const uint64_t weight = host.backends[later].weight;
  const uint64_t earlier_weight = host.backends[earlier].weight;
  return FL_CHOICE_MARGIN * (LoadOf(host, later) + 1) * earlier_weight <
         (FL_CHOICE_MARGIN - 1) * LoadOf(host, earlier) * weight;
}

// What one new connection takes up of the backend's rate.
uint64_t AcceptInterval(const Host& host, uint16_t backend, uint64_t now_ns) {
  const fl_backend& line = host.backends[backend];
  if (!Has(host, backend, FL_BACKEND_PACED)) return 0;
  return now_ns < line.accept_until ? line.accept >> 32
                                    : line.accept & 0xffffffff;
}

// Has been given more than is taken up in a tenth of a second.
bool AtItsRate(const fl_load& load, uint64_t now_ns) {
  return load.accept_due > (now_ns + 100'000'000) >> FL_ACCEPT_SHIFT;
}

// As many have begun as the daemon allows, unless it has not said so of late;
// or as many have been given to it of late as it may have.
bool IsFull(const Host& host, uint16_t backend, uint64_t now_ns) {
  const fl_load& load = host.loads[backend];
  if (Has(host, backend, FL_BACKEND_CAPPED) && load.begun >= load.bound &&
      now_ns < load.bound_until)
    return true;
  return AcceptInterval(host, backend, now_ns) != 0 && AtItsRate(load, now_ns);
}

// The backend is given a new connection.
void Give(Host& host, uint16_t backend, uint64_t now_ns) {
  fl_load& load = host.loads[backend];
  const uint64_t interval = AcceptInterval(host, backend, now_ns);
  if (interval == 0) return;
  const uint64_t now = now_ns >> FL_ACCEPT_SHIFT;
  load.accept_due = std::max<uint64_t>(load.accept_due, now) + interval;
}

// The candidates that can be chosen, in their order.
Ids Eligible(const Host& host, const Row& row) {
  Ids ids;
  std::ranges::copy_if(row.candidates, std::back_inserter(ids),
                       [&](uint16_t id) { return CanBeChosen(host, id); });
  return ids;
}

// The least loaded of the first ones.
uint16_t LeastLoaded(const Host& host, Ids ids, size_t choices) {
  if (ids.size() > choices) ids.resize(choices);
  uint16_t best = ids.front();
  for (const uint16_t id : ids)
    if (id != best && MuchLessLoaded(host, id, best)) best = id;
  return best;
}

struct Choice {
  std::optional<uint16_t> backend;  // nothing: nobody is eligible
  bool all_full = false;            // or who is has no room
};

// It starts slowly, and leaves flows of this draw to others.
bool HoldsBack(const Host& host, uint16_t backend, unsigned int draw) {
  return draw < host.backends[backend].state >> FL_BACKEND_HELD_SHIFT;
}

// Of those that have room.
Choice ChooseFirstWithRoom(const Host& host, const Row& row, uint64_t now_ns) {
  Ids ids = Eligible(host, row);
  if (ids.empty()) return {};
  std::erase_if(ids, [&](uint16_t id) { return IsFull(host, id, now_ns); });
  if (ids.empty()) return {.all_full = true};
  return {.backend = ids.front()};
}

// Of those that have room and do not leave the flow to others, some are
// compared. Where all leave it to others, it is the first one's.
Choice ChooseByPolicy(const Host& host, const Row& row,
                      const fl_service& service, unsigned int draw,
                      uint64_t now_ns) {
  const Choice first = ChooseFirstWithRoom(host, row, now_ns);
  if (!first.backend) return first;
  Ids ids = Eligible(host, row);
  std::erase_if(ids, [&](uint16_t id) {
    return IsFull(host, id, now_ns) || HoldsBack(host, id, draw);
  });
  if (ids.empty()) return first;
  const bool by_load = service.policy == FL_POLICY_LEAST_CONN;
  return {.backend = LeastLoaded(host, ids, by_load ? service.choices : 1u)};
}

// Of a flow that is not to be recorded: its segments find the first eligible
// candidate, or with a hop list another one too.
Choice ChooseUnrecorded(const Host& host, const Row& row,
                        const fl_service& service, uint64_t now_ns) {
  if (service.encap == FL_ENCAP_GUE)
    return ChooseFirstWithRoom(host, row, now_ns);
  const Ids ids = Eligible(host, row);
  if (ids.empty()) return {};
  if (IsFull(host, ids.front(), now_ns)) return {.all_full = true};
  return {.backend = ids.front()};
}

// Nobody can be chosen: the first that may be used then, else the first that is
// not silent, else the first.
std::optional<uint16_t> ChooseFailOpen(const Host& host, const Row& row) {
  Ids heard;
  std::ranges::copy_if(row.candidates, std::back_inserter(heard),
                       [&](uint16_t id) { return !IsSilent(host, id); });
  for (const uint16_t id : heard) {
    if (Has(host, id, FL_BACKEND_FAIL_OPEN)) return id;
  }
  if (!heard.empty()) return heard.front();
  if (!row.candidates.empty()) return row.candidates.front();
  return std::nullopt;
}

// To `backend` first. It takes the segment whatever it is.
void RouteTo(Route& route, const Row& row, uint16_t backend) {
  route.target = backend;
  route.hops = StartingWith(backend, row.Members());
  route.acceptors = 1;
}

// As above for a SYN: the candidates that take new flows may have it too, for
// the first hop may decline.
void RouteSynTo(Route& route, const Host& host, const Row& row,
                uint16_t backend) {
  RouteTo(route, row, backend);
  for (size_t i = 1; i < route.hops.size(); i++) {
    const uint16_t hop = route.hops[i];
    if (Contains(row.candidates, hop) && TakesNewFlows(host, hop))
      route.acceptors |= static_cast<uint8_t>(1u << i);
  }
}

enum class Share { kUnbound, kFair, kCrowd, kOver };

// What the service may still record in this tick.
Share TakeShare(Host& host, const fl_service& service, uint32_t now) {
  if (service.syn_fair == 0 && service.syn_limit == 0) return Share::kUnbound;
  SynCount& count = host.syns[service.id];
  // A CPU may be a little ahead; what it says counts for this tick.
  if (TicksSince(count.tick, now) != 0) count = {.tick = now};
  if (service.syn_limit != 0 && count.taken >= service.syn_limit)
    return Share::kOver;
  return count.taken++ < service.syn_fair ? Share::kFair : Share::kCrowd;
}

// Nobody who may have the connection has room for it.
void Refuse(Route& route, Host& host, const fl_service& service,
            const Segment& segment, uint64_t now_ns) {
  host.counters.sources[service.id].full++;
  route.verdict = FL_LB_DROP_FULL;
  if ((service.flags & FL_SERVICE_SHED_RESET) != 0 &&
      IsOneHost(segment.ip.source) &&
      MayAnswer(host, service.id, kAnswerReset, now_ns))
    route.verdict = FL_LB_TX_SYN_REFUSED;
}

void RouteNewSyn(Route& route, Host& host, const Row& row,
                 const fl_service& service, const Segment& segment,
                 unsigned int draw, uint64_t now_ns) {
  const uint32_t now = TickAt(now_ns);
  const Share share = TakeShare(host, service, now);
  // What is not recorded for long, or at all, must be found again.
  const bool no_list = service.encap != FL_ENCAP_GUE;
  const bool finds_itself =
      share == Share::kOver || (share == Share::kCrowd && no_list);
  const Choice choice = finds_itself
                            ? ChooseUnrecorded(host, row, service, now_ns)
                            : ChooseByPolicy(host, row, service, draw, now_ns);
  if (choice.all_full) return Refuse(route, host, service, segment, now_ns);
  std::optional<uint16_t> chosen = choice.backend;
  if (!chosen) {
    chosen = ChooseFailOpen(host, row);
    if (!chosen) return;
    route.fail_open = true;
  }
  if (share == Share::kOver) {
    if (choice.backend) Give(host, *chosen, now_ns);
    route.verdict = FL_LB_TX_SYN_OVER_BUDGET;
    return RouteSynTo(route, host, row, *chosen);
  }
  if (RecordFlow(host, route.hash, *chosen, now, share == Share::kFair)) {
    if (choice.backend) Give(host, *chosen, now_ns);
    route.verdict = FL_LB_TX_SYN_NEW;
    return RouteSynTo(route, host, row, *chosen);
  }
  // Not recorded: to where its next segments look first.
  const Choice first = ChooseUnrecorded(host, row, service, now_ns);
  if (first.all_full) return Refuse(route, host, service, segment, now_ns);
  if (first.backend) Give(host, *first.backend, now_ns);
  route.verdict = FL_LB_TX_SYN_UNRECORDED;
  RouteSynTo(route, host, row, first.backend.value_or(*chosen));
}

// A SYN of a recorded flow: sent again, or its tuple used again.
void RouteSynAgain(Route& route, Host& host, const Row& row,
                   const fl_service& service, const Segment& segment,
                   fl_slot& slot, unsigned int draw, uint64_t now_ns) {
  const uint32_t now = TickAt(now_ns);
  const FlowSlot flow = Decode(slot);
  const bool ended = HasEnded(flow);
  const bool lives = !ended && (flow.state == FL_SLOT_YOUNG ||
                                flow.state == FL_SLOT_ESTABLISHED ||
                                flow.state == FL_SLOT_EXPIRING_ESTABLISHED);
  const bool has_agent = Has(host, flow.backend, FL_BACKEND_AGENT);
  // Where nobody can be asked whether it has ended, it stays as long as it can.
  const bool leaves =
      !TakesNewFlows(host, flow.backend) || (ended && has_agent);
  const Choice choice =
      leaves ? ChooseByPolicy(host, row, service, draw, now_ns) : Choice{};
  // A new connection wants room; a SYN sent again has what it had.
  const bool no_room =
      leaves ? choice.all_full : IsFull(host, flow.backend, now_ns);
  if (ended && no_room) return Refuse(route, host, service, segment, now_ns);
  const uint16_t chosen = choice.backend.value_or(flow.backend);
  const bool stays = chosen == flow.backend;
  if (!ended && (stays || (lives && !has_agent))) {
    route.verdict = FL_LB_TX_SYN_AGAIN;
    TouchFlow(host, slot, segment.tcp, now);
    return RouteSynTo(route, host, row, flow.backend);
  }
  // Of a connection that may live nothing is counted, nor of what fails open.
  const bool is_given = choice.backend || (!leaves && ended);
  if (!lives && is_given) Give(host, chosen, now_ns);
  const bool can_ask = has_agent && !IsSilent(host, flow.backend);
  // A SYN can be forged: it moves no flow that may live.
  if (!lives || !can_ask) MoveFlow(host, slot, chosen, now);
  if (stays || !can_ask) {
    route.verdict = FL_LB_TX_SYN_NEW;
    return RouteSynTo(route, host, row, chosen);
  }
  // Whoever may have the connection is asked first, and keeps the SYN only if
  // it has; next is who was chosen now.
  RouteTo(route, row, chosen);
  route.verdict = FL_LB_TX_SYN_CLAIM;
  route.hops = StartingWith(flow.backend, route.hops);
  route.acceptors = 1 << 1;
  route.flags = FL_WIRE_CLAIM0;
}

// A segment of a flow that is not recorded here: everybody who may have it.
void RouteMiss(Route& route, const Host& host, const Row& row) {
  const Ids members = row.Members();
  if (members.empty()) return;
  Ids hops = members;
  std::ranges::stable_partition(
      hops, [&](uint16_t id) { return !IsSilent(host, id); });
  // Full or not: it may have the connection.
  if (const Ids first = Eligible(host, row); !first.empty())
    hops = StartingWith(first.front(), hops);
  route.hops = hops;
  route.target = hops.front();
  route.verdict = FL_LB_TX_MISS;
}

// Of all prefixes that the client is in, the longest decides. Who is in none
// may connect, unless some are allowed.
bool MayConnect(const Host& host, const Segment& segment,
                const fl_service& service) {
  if ((service.flags & FL_SERVICE_LISTED) == 0) return true;
  bool may = (service.flags & FL_SERVICE_ALLOW_ONLY) == 0;
  int longest = -1;
  const auto rules = host.prefixes.find(service.id);
  if (rules == host.prefixes.end()) return may;
  for (const PrefixRule& rule : rules->second) {
    if (!rule.prefix.Contains(segment.flow.client.address)) continue;
    if (rule.prefix.bits < longest) continue;
    longest = rule.prefix.bits;
    may = rule.rule == FL_PREFIX_ALLOW;
  }
  return may;
}

// One more of the client's source, unless it has opened as many as it may.
bool TakeRate(Host& host, const Segment& segment, const fl_service& service) {
  const auto limit = host.limits.find(service.id);
  if ((service.flags & FL_SERVICE_LIMITED) == 0 || limit == host.limits.end())
    return true;
  const base::IpAddress& client = segment.flow.client.address;
  const int bits = client.is_ipv4() ? limit->second.bits4 : limit->second.bits6;
  uint32_t& opened = host.opened[{service.id, PrefixOf(client, bits)}];
  if (opened < limit->second.burst) {
    opened++;
    return true;
  }
  host.counters.sources[service.id].over_rate++;
  return false;
}

// The source that the client is of, if its service counts connections.
std::optional<Source> CountedSource(const Host& host, const Segment& segment,
                                    const fl_service& service) {
  const auto most = host.mosts.find(service.id);
  if ((service.flags & FL_SERVICE_CONNS) == 0 || most == host.mosts.end())
    return std::nullopt;
  const base::IpAddress& client = segment.flow.client.address;
  const int bits = client.is_ipv4() ? most->second.bits4 : most->second.bits6;
  return Source{service.id, PrefixOf(client, bits)};
}

// May the client's source have one more?
bool MayHaveMore(Host& host, const Segment& segment,
                 const fl_service& service) {
  const auto source = CountedSource(host, segment, service);
  if (!source) return true;
  const auto has = std::ranges::count_if(host.charges, [&](const auto& charge) {
    return charge.second == *source;
  });
  if (static_cast<uint64_t>(has) < host.mosts.at(service.id).most) return true;
  host.counters.sources[service.id].over_conns++;
  return false;
}

// The flow was recorded, or its record is a new connection's: it counts for its
// source, and what was in the slot before does not any more.
void Charge(Host& host, const Segment& segment, const fl_service& service,
            const Route& route) {
  if (route.verdict != FL_LB_TX_SYN_NEW && route.verdict != FL_LB_TX_SYN_CLAIM)
    return;
  const fl_slot* slot = FindFlow(host, route.hash);
  if (slot == nullptr) return;
  const size_t number = NumberOf(host, *slot);
  host.charges.erase(number);
  if (const auto source = CountedSource(host, segment, service))
    host.charges[number] = *source;
}

// A connection that lives, as far as it is known here.
bool IsEstablished(const fl_slot* slot) {
  if (slot == nullptr) return false;
  const FlowSlot flow = Decode(*slot);
  return !HasEnded(flow) && flow.state != FL_SLOT_EMBRYONIC &&
         flow.state != FL_SLOT_EXPIRING_PENDING;
}

void RouteError(Route& route, const Host& host, const Row& row,
                const fl_slot* slot) {
  if (slot != nullptr) {
    RouteTo(route, row, Decode(*slot).backend);
  } else {
    RouteMiss(route, host, row);
  }
  if (!route.hops.empty()) route.verdict = FL_LB_TX_ICMP_ERROR;
}

}  // namespace

Route FindRoute(Host& host, const Segment& segment, const fl_service& service,
                uint64_t now_ns) {
  const uint32_t now = TickAt(now_ns);
  const test::SipKey& key = host.config.hash_key;
  Route route;
  route.hash = test::ReferenceFlowHash(key, segment.flow);
  const uint64_t row_hash =
      service.policy == FL_POLICY_SOURCE
          ? test::ReferenceSourceHash(key, segment.flow.client.address)
          : route.hash;
  route.row = static_cast<uint16_t>(row_hash >> 48 & service.row_mask);
  const fl_row& words = host.rows[service.rows_base + route.row];
  const Row row = {IdsOf(words.candidates), IdsOf(words.owners)};
  const auto draw = static_cast<unsigned int>(row_hash % FL_DRAWS);

  fl_slot* slot = FindFlow(host, route.hash);
  if (segment.is_error) {
    RouteError(route, host, row, slot);
  } else if (segment.tcp.opens() && !IsEstablished(slot) &&
             !MayConnect(host, segment, service)) {
    route.verdict = FL_LB_DROP_DENIED;
  } else if (segment.tcp.opens() &&
             (slot == nullptr || HasEnded(Decode(*slot))) &&
             !MayHaveMore(host, segment, service)) {
    route.verdict = FL_LB_DROP_SOURCE_CONNS;
  } else if (segment.tcp.opens() &&
             (slot == nullptr || HasEnded(Decode(*slot))) &&
             !TakeRate(host, segment, service)) {
    route.verdict = FL_LB_DROP_SOURCE_RATE;
  } else if (segment.tcp.opens()) {
    if (slot == nullptr) {
      RouteNewSyn(route, host, row, service, segment, draw, now_ns);
    } else {
      RouteSynAgain(route, host, row, service, segment, *slot, draw, now_ns);
    }
    Charge(host, segment, service, route);
  } else if (slot == nullptr) {
    RouteMiss(route, host, row);
    // Whoever has the connection shall say so.
    route.flags = FL_WIRE_LEARN;
  } else {
    RouteTo(route, row, Decode(*slot).backend);
    TouchFlow(host, *slot, segment.tcp, now);
    route.verdict = FL_LB_TX_HIT;
  }
  return route;
}

}  // namespace fairlead::model
