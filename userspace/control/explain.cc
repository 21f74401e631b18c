#include "control/explain.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "fairlead/abi/flow_slot.h"
#include "fairlead/abi/maps.h"
#include "fairlead/abi/wire.h"

namespace fairlead::control {
namespace {

using core::BackendId;

struct Choice {
  BackendId id = FL_NO_BACKEND;
  std::string why = {};
  std::string full = {};  // who is eligible and full, if that decided
};

class Router {
 public:
  explicit Router(const RouteFacts& facts)
      : facts_(facts), candidates_(core::UnpackWord(facts.row.candidates)) {}

  RouteAnswer Syn();
  RouteAnswer Segment();

 private:
  std::string NameOf(BackendId id) const { return FactsOf(facts_, id).name; }
  bool Has(BackendId id, uint64_t bit) const {
    return (FactsOf(facts_, id).state & bit) != 0;
  }

  // FL_FULL_* of bpf/lib/route.h: what becomes of one that is full.
  enum class WhenFull { kTakes, kPasses, kEnds };
  // Those that start slowly leave flows to others, or it does not matter.
  enum class WhenSlow { kTakes, kPasses };
  Choice ChooseEligible(int choices, WhenFull when_full,
                        WhenSlow when_slow) const;
  Choice ChooseByPolicy() const {
    return ChooseEligible(facts_.choices, WhenFull::kPasses, WhenSlow::kPasses);
  }
  Choice ChooseFirst() const;
  void RefuseFull(const std::string& because);
  Choice ChooseFailOpen() const;
  std::string DescribeChoice(BackendId best,
                             const std::vector<MemberFacts>& seen) const;

  bool IsDenied() const;
  bool BeginsConnection() const;
  void AddLimit();
  void AddBudget();
  void SynOfNewFlow();
  void SynOfRecordedFlow(const SlotFacts& slot);
  void ClaimThenChoice(const SlotFacts& slot, const Choice& choice);
  void Miss();

  // Dead, or out of reach.
  bool IsSilent(BackendId id) const {
    return Has(id, FL_BACKEND_DEAD) || !Has(id, FL_BACKEND_NEXT_HOP);
  }

  void AddAcceptors();
  void Append(BackendId id);
  void RouteTo(BackendId id);
  RouteAnswer Finish();

  const RouteFacts& facts_;
  std::array<uint16_t, 4> candidates_;
  RouteAnswer answer_;
};

// A later candidate beats an earlier one only by more than a margin of its load
// for its weight; the flow to come counts.
bool MuchLessLoaded(const MemberFacts& a, const MemberFacts& b) {
  return FL_CHOICE_MARGIN * (a.load + 1) * b.weight <
         (FL_CHOICE_MARGIN - 1) * b.load * a.weight;
}

std::string LoadOf(const MemberFacts& member) {
  return absl::StrCat(member.name, " ", member.load, "/", member.weight);
}

// A list of names in words.
void AddName(const std::string& name, std::string& names) {
  absl::StrAppend(&names, names.empty() ? "" : ", ", name);
}

std::string WhyFull(const MemberFacts& member) {
  return member.at_rate ? absl::StrCat(member.name, " (accept-rate)")
                        : member.name;
}

Choice Router::ChooseEligible(int choices, WhenFull when_full,
                              WhenSlow when_slow) const {
  std::vector<MemberFacts> seen;
  std::string full;
  std::string slow;
  BackendId first_slow = FL_NO_BACKEND;
  MemberFacts best;
  for (const BackendId id : candidates_) {
    if (id == FL_NO_BACKEND || static_cast<int>(seen.size()) >= choices) break;
    const MemberFacts member = FactsOf(facts_, id);
    if (!Has(id, FL_BACKEND_ELIGIBLE) || !Has(id, FL_BACKEND_NEXT_HOP))
      continue;
    if (member.full && when_full != WhenFull::kTakes) {
      AddName(WhyFull(member), full);
      if (when_full == WhenFull::kEnds) break;
      continue;
    }
    if (when_slow == WhenSlow::kPasses &&
        facts_.draw < member.state >> FL_BACKEND_HELD_SHIFT) {
      AddName(member.name, slow);
      if (first_slow == FL_NO_BACKEND) first_slow = id;
      continue;
    }
    if (seen.empty() || MuchLessLoaded(member, best)) best = member;
    seen.push_back(member);
  }
  if (seen.empty() && first_slow != FL_NO_BACKEND)
    return {first_slow, absl::StrCat(NameOf(first_slow),
                                     " starts slowly, and so do all eligible "
                                     "candidates that have room")};
  if (seen.empty()) return {.full = full};
  std::string why = DescribeChoice(best.id, seen);
  if (!slow.empty()) absl::StrAppend(&why, ", past ", slow, ", in slow start");
  if (!full.empty()) absl::StrAppend(&why, ", past ", full, ", full");
  return {best.id, why};
}

// Without a hop list, a flow that is not recorded is looked for with the first
// alone.
Choice Router::ChooseFirst() const {
  return ChooseEligible(1,
                        facts_.encap == core::Encap::kGue && facts_.hop_lists
                            ? WhenFull::kPasses
                            : WhenFull::kEnds,
                        WhenSlow::kTakes);
}

void Router::RefuseFull(const std::string& because) {
  answer_.verdict = facts_.shed == core::Shed::kReset ? FL_LB_TX_SYN_REFUSED
                                                      : FL_LB_DROP_FULL;
  answer_.why = because;
}

std::string Router::DescribeChoice(BackendId best,
                                   const std::vector<MemberFacts>& seen) const {
  if (seen.size() == 1)
    return absl::StrCat(NameOf(best), " is the first eligible candidate");
  std::string loads;
  for (const MemberFacts& member : seen)
    absl::StrAppend(&loads, loads.empty() ? "" : ", ", LoadOf(member));
  if (best != seen.front().id) {
    return absl::StrCat(NameOf(best), " has the least load for its weight of ",
                        "the first ", seen.size(), " eligible candidates (",
                        loads, ")");
  }
  return absl::StrCat(NameOf(best), " is the first of ", seen.size(),
                      " eligible candidates and none is less loaded by more ",
                      "than 1/", FL_CHOICE_MARGIN, " (", loads, ")");
}

Choice Router::ChooseFailOpen() const {
  BackendId not_silent = FL_NO_BACKEND;
  for (const BackendId id : candidates_) {
    if (id == FL_NO_BACKEND) break;
    if (IsSilent(id)) continue;
    if (Has(id, FL_BACKEND_FAIL_OPEN)) {
      return {id, absl::StrCat("no candidate is eligible: fail open to ",
                               NameOf(id), ", the first that is not drained")};
    }
    if (not_silent == FL_NO_BACKEND) not_silent = id;
  }
  if (not_silent != FL_NO_BACKEND) {
    return {not_silent,
            absl::StrCat("no candidate is eligible and all are drained or "
                         "silent: fail open to ",
                         NameOf(not_silent), ", the first not silent")};
  }
  if (candidates_[0] == FL_NO_BACKEND) return {};
  return {candidates_[0],
          absl::StrCat("all candidates are silent: fail open to ",
                       NameOf(candidates_[0]), ", the first")};
}

// As the packet path does, only the first two are compared: a row that is just
// being changed may list a member twice.
void Router::Append(BackendId id) {
  std::vector<BackendId>& hops = answer_.hops;
  const bool listed =
      (!hops.empty() && hops[0] == id) || (hops.size() > 1 && hops[1] == id);
  if (id != FL_NO_BACKEND && !listed) hops.push_back(id);
}

void Router::RouteTo(BackendId id) {
  answer_.target = id;
  answer_.acceptors = 1;
  Append(id);
  for (const BackendId member : RowMembers(facts_.row)) Append(member);
}

void Router::AddAcceptors() {
  for (size_t i = 1; i < answer_.hops.size(); ++i) {
    const BackendId hop = answer_.hops[i];
    const bool is_candidate =
        std::ranges::find(candidates_, hop) != candidates_.end();
    if (is_candidate && Has(hop, FL_BACKEND_ELIGIBLE))
      answer_.acceptors |= static_cast<uint8_t>(1u << i);
  }
}

void Router::SynOfNewFlow() {
  Choice choice = ChooseByPolicy();
  if (!choice.full.empty())
    return RefuseFull(absl::StrCat("new flow, refused: full is ", choice.full,
                                   ", and nobody else may have it"));
  if (choice.id == FL_NO_BACKEND) choice = ChooseFailOpen();
  if (choice.id == FL_NO_BACKEND) {
    answer_.why = "the row has no members: the service has no backends";
    return;
  }
  answer_.verdict = FL_LB_TX_SYN_NEW;
  answer_.why = absl::StrCat("new flow: ", choice.why);
  if (!facts_.recordable) {
    // Where a segment of this flow looks first.
    const Choice first = ChooseFirst();
    if (!first.full.empty())
      return RefuseFull(absl::StrCat(
          "new flow, refused: both its buckets are full of established flows, "
          "and so is ",
          first.full, ", where alone it would be found again"));
    if (first.id != FL_NO_BACKEND) choice = first;
    answer_.verdict = FL_LB_TX_SYN_UNRECORDED;
    answer_.why = absl::StrCat(
        "new flow, but both its buckets are full of established flows: not "
        "recorded; ",
        choice.why);
  }
  RouteTo(choice.id);
  AddAcceptors();
}

void Router::SynOfRecordedFlow(const SlotFacts& slot) {
  const std::string name = NameOf(slot.backend);
  const bool agent = Has(slot.backend, FL_BACKEND_AGENT);
  const bool takes = Has(slot.backend, FL_BACKEND_ELIGIBLE);
  const bool goes_on = !slot.ended && slot.state != FL_SLOT_EMBRYONIC &&
                       slot.state != FL_SLOT_EXPIRING_PENDING;
  Choice choice;
  if (!takes || (slot.ended && agent))
    choice = ChooseByPolicy();
  else if (slot.ended && FactsOf(facts_, slot.backend).full)
    choice.full = WhyFull(FactsOf(facts_, slot.backend));
  if (slot.ended && !choice.full.empty())
    return RefuseFull(absl::StrCat("the flow recorded with ", name,
                                   " has ended, and a new one is refused: full "
                                   "is ",
                                   choice.full));
  const bool stays = choice.id == FL_NO_BACKEND || choice.id == slot.backend;
  answer_.verdict = FL_LB_TX_SYN_AGAIN;
  if (stays && slot.ended) {
    answer_.verdict = FL_LB_TX_SYN_NEW;
    answer_.why = absl::StrCat("the flow recorded with ", name,
                               " has ended: a new one, there again");
  } else if (stays) {
    answer_.why = absl::StrCat("the flow is recorded with ", name,
                               takes ? ", which takes new flows"
                               : choice.full.empty()
                                   ? " and no candidate is eligible"
                                   : " and every eligible candidate is full");
  } else if (goes_on && !agent) {
    answer_.why = absl::StrCat(
        "the flow is recorded with ", name,
        " as established, and without an agent there nobody can tell whether "
        "it still is");
  } else {
    return ClaimThenChoice(slot, choice);
  }
  RouteTo(slot.backend);
  AddAcceptors();
}

void Router::ClaimThenChoice(const SlotFacts& slot, const Choice& choice) {
  const std::string recorded = absl::StrCat(
      "the flow is recorded with ", NameOf(slot.backend),
      slot.ended ? " and has ended" : ", which takes no new flows");
  RouteTo(choice.id);
  const bool agent = Has(slot.backend, FL_BACKEND_AGENT);
  if (!agent || IsSilent(slot.backend)) {
    answer_.verdict = FL_LB_TX_SYN_NEW;
    answer_.why = absl::StrCat(recorded,
                               agent        ? ", and is silent"
                               : slot.ended ? ""
                                            : ", and was never established",
                               ": ", choice.why);
    return AddAcceptors();
  }
  answer_.verdict = FL_LB_TX_SYN_CLAIM;
  answer_.flags |= FL_WIRE_CLAIM0;
  std::erase(answer_.hops, slot.backend);
  answer_.hops.insert(answer_.hops.begin(), slot.backend);
  answer_.acceptors = 1 << 1;
  answer_.why = absl::StrCat(
      recorded, ": it keeps the SYN only if it holds the connection; else ",
      choice.why);
}

void Router::Miss() {
  const std::vector<BackendId> members = RowMembers(facts_.row);
  const Choice first = ChooseEligible(1, WhenFull::kTakes, WhenSlow::kTakes);
  Append(first.id);
  for (const bool silent : {false, true}) {
    for (const BackendId id : members)
      if (IsSilent(id) == silent) Append(id);
  }
  if (answer_.hops.empty()) {
    answer_.why = "the row has no members: the service has no backends";
    return;
  }
  answer_.verdict = FL_LB_TX_MISS;
  answer_.target = answer_.hops.front();
  answer_.flags |= FL_WIRE_LEARN;
  if (!facts_.hop_lists) {
    answer_.why = absl::StrCat(
        "the flow is not recorded here, and without a "
        "hop list only one can be asked: ",
        NameOf(answer_.target));
    return;
  }
  answer_.why = absl::StrCat(
      "the flow is not recorded here: every member of the row is asked, ",
      first.id != FL_NO_BACKEND ? "the first eligible one first"
                                : "in their order",
      ", those believed silent last");
}

RouteAnswer Router::Finish() {
  const size_t length = facts_.hop_lists ? FL_WIRE_HOPS : 1;
  if (answer_.hops.size() > length) answer_.hops.resize(length);
  if (!answer_.hops.empty() &&
      !Has(answer_.hops.front(), FL_BACKEND_NEXT_HOP)) {
    answer_.verdict = FL_LB_DROP_NO_NEXT_HOP;
    absl::StrAppend(&answer_.why, "; dropped, because no next hop is known ",
                    "for ", NameOf(answer_.hops.front()));
  }
  return std::move(answer_);
}

// A connection that lives keeps its right to SYNs.
bool Router::IsDenied() const {
  if (facts_.denied.empty()) return false;
  if (!facts_.slot.has_value() || facts_.slot->ended) return true;
  return facts_.slot->state == FL_SLOT_EMBRYONIC ||
         facts_.slot->state == FL_SLOT_EXPIRING_PENDING;
}

bool Router::BeginsConnection() const {
  return !facts_.slot.has_value() || facts_.slot->ended;
}

// Whether the source has opened as many as it may is not known here.
void Router::AddLimit() {
  if (facts_.limit.empty() || !BeginsConnection()) return;
  absl::StrAppend(&answer_.why, "; unless its source is above ", facts_.limit);
}

// Some of its new flows are recorded, others not.
void Router::AddBudget() {
  if (!facts_.over_budget || facts_.slot.has_value() || answer_.hops.empty())
    return;
  absl::StrAppend(&answer_.why,
                  "; its service is above its SYN budget just now: if it is "
                  "beyond that, it is not recorded");
}

RouteAnswer Router::Syn() {
  if (IsDenied()) {
    answer_.verdict = FL_LB_DROP_DENIED;
    answer_.why = facts_.denied;
    return std::move(answer_);
  }
  if (!facts_.over_conns.empty() && BeginsConnection()) {
    answer_.verdict = FL_LB_DROP_SOURCE_CONNS;
    answer_.why = facts_.over_conns;
    return std::move(answer_);
  }
  if (facts_.slot.has_value()) {
    SynOfRecordedFlow(*facts_.slot);
  } else {
    SynOfNewFlow();
  }
  AddBudget();
  AddLimit();
  return Finish();
}

RouteAnswer Router::Segment() {
  if (facts_.slot.has_value()) {
    answer_.verdict = FL_LB_TX_HIT;
    answer_.why =
        absl::StrCat("the flow is recorded with ", NameOf(facts_.slot->backend),
                     ", whatever its health");
    RouteTo(facts_.slot->backend);
  } else {
    Miss();
  }
  return Finish();
}

}  // namespace

RouteAnswer ExplainSyn(const RouteFacts& facts) { return Router(facts).Syn(); }

RouteAnswer ExplainSegment(const RouteFacts& facts) {
  return Router(facts).Segment();
}

RouteFacts AsIfDraining(RouteFacts facts, core::BackendId backend) {
  for (MemberFacts& member : facts.backends) {
    if (member.id == backend)
      member.state &= ~(FL_BACKEND_ELIGIBLE | FL_BACKEND_FAIL_OPEN);
  }
  return facts;
}

MemberFacts FactsOf(const RouteFacts& facts, core::BackendId id) {
  const auto found =
      std::find_if(facts.backends.begin(), facts.backends.end(),
                   [id](const MemberFacts& member) { return member.id == id; });
  if (found != facts.backends.end()) return *found;
  return {.id = id, .name = absl::StrCat("#", id)};
}

std::vector<core::BackendId> RowMembers(const core::RowWords& row) {
  std::vector<core::BackendId> members;
  for (const uint64_t word : {row.candidates, row.owners}) {
    for (const core::BackendId id : core::UnpackWord(word))
      if (id != FL_NO_BACKEND) members.push_back(id);
  }
  return members;
}

}  // namespace fairlead::control
