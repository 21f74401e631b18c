// ProgramOpener: one Program::Open(): finds what is pinned, loads, moves, pins
// and attaches, in steps after each of which a kill can be made up for.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "datapath/loader.h"
#include "datapath/program.h"

namespace fairlead::datapath {

// Up to Load() nothing is changed but leftovers; from there on what
// was made is taken back on an error, and left as it is when stopped.
class ProgramOpener {
 public:
  ProgramOpener(ProgramOptions options, PinFolder folder)
      : options_(std::move(options)),
        result_(new Program(std::move(folder))),
        folder_(result_->folder_) {}

  absl::StatusOr<std::unique_ptr<Program>> Run() {
    const absl::Status status = Open();
    if (status.ok()) return std::move(result_);
    if (!stopped_) TakeBack();
    return status;
  }

 private:
  absl::Status Open();
  // What is pinned now, and whether it can be taken over.
  absl::Status FindTables();
  absl::Status CheckInterfaces();
  absl::Status CheckInterface(const Interface& interface);
  absl::Status Load();
  bool MustMove() const;
  absl::Status Move();
  absl::Status CommitMove();
  absl::Status PinMaps();
  absl::Status Attach(const Interface& interface);
  absl::Status Replace(const Interface& interface, const PinnedLink& link);
  absl::Status RemoveStaleLinks();
  // Best effort: what remains is taken over or removed by the next Open().
  void TakeBack();

  // Of `interface`, or null.
  const PinnedLink* LinkOf(uint32_t interface) const;
  absl::Status After(absl::string_view step);

  const ProgramOptions options_;
  std::unique_ptr<Program> result_;
  PinFolder& folder_;
  std::vector<Interface> interfaces_;
  std::vector<PinnedLink> links_;  // as found
  std::optional<PinnedLayout> pinned_;
  const Layout* layout_ = nullptr;  // of pinned_; null: there is none
  std::string unfinished_;  // the folder that a killed daemon was moving out of
  LoadedProgram loaded_;

  bool stopped_ = false;
  bool staged_ = false;
  bool made_layout_ = false;
  std::vector<PinnedLink> made_links_;
};

}  // namespace fairlead::datapath
