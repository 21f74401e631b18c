// Crowd: a program in front of another that uses up the room before the frame,
// as a driver may. (XDP metadata would do, if Linux 6.1 took more than 32 bytes
// of it.)
#pragma once

#include <bpf/bpf.h>

#include <cstdint>
#include <memory>

#include "base/check.h"
#include "crowded.skel.h"

namespace fairlead::test {

class Crowd {
 public:
  // Frames that are run through it go on to `program_fd`.
  explicit Crowd(int program_fd)
      : object_(crowded::open_and_load(), &crowded::destroy) {
    FL_CHECK(object_ != nullptr);
    const uint32_t first = 0;
    FL_CHECK(bpf_map_update_elem(bpf_map__fd(object_->maps.fl_then), &first,
                                 &program_fd, BPF_ANY) == 0);
  }

  int program_fd() const { return bpf_program__fd(object_->progs.fl_crowd); }

 private:
  std::unique_ptr<crowded, decltype(&crowded::destroy)> object_;
};

}  // namespace fairlead::test
