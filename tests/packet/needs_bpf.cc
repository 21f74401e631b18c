// Linked into every packet test program: without the right to load BPF programs
// the whole program is skipped, visibly.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch.hpp>

#include "tests/support/bpf_run.h"
#include "tests/support/skip.h"

namespace fairlead::test {
namespace {

struct NeedsBpf : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;

  void testRunStarting(const Catch::TestRunInfo&) override {
    const std::string why = WhyNoBpf();
    if (!why.empty()) SkipAll(why);
  }
};

CATCH_REGISTER_LISTENER(NeedsBpf)

}  // namespace
}  // namespace fairlead::test
