// MappedArray: an mmapable BPF array as memory, shared with the kernel.
//
// Whoever writes through it uses single 8-byte stores (fl_store64) and says
// why its order of stores is right.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/errors.h"

namespace fairlead::datapath {

template <typename T>
class MappedArray {
  static_assert(sizeof(T) % 8 == 0, "the kernel rounds elements up to 8 bytes");

 public:
  // Maps `entries` elements of the map `fd`; `name` is the map's, for errors.
  // The fd may be closed afterwards.
  static absl::StatusOr<MappedArray> Map(int fd, uint32_t entries,
                                         absl::string_view name) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t bytes = (entries * sizeof(T) + page - 1) / page * page;
    void* memory =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
      return base::SyscallError(absl::StrCat("mmap ", name));
    }
    return MappedArray(static_cast<T*>(memory), entries, bytes);
  }

  MappedArray(MappedArray&& other) noexcept
      : elements_(std::exchange(other.elements_, nullptr)),
        count_(other.count_),
        bytes_(other.bytes_) {}
  MappedArray& operator=(MappedArray&&) = delete;
  MappedArray(const MappedArray&) = delete;
  MappedArray& operator=(const MappedArray&) = delete;
  ~MappedArray() {
    if (elements_ != nullptr) munmap(elements_, bytes_);
  }

  std::span<T> elements() const { return {elements_, count_}; }

 private:
  MappedArray(T* elements, size_t count, size_t bytes)
      : elements_(elements), count_(count), bytes_(bytes) {}

  T* elements_;
  size_t count_;
  size_t bytes_;
};

}  // namespace fairlead::datapath
