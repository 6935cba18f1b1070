// Atoms that move and their neighbours, on one device, of one structure or of several that do not see one another: networks
// that are given the same structures share them. Internal to libtransip.
#pragma once

#include "device.h"
#include "file_network.h"
#include "kernels/totals.h"
#include "periodicity.h"
#include "search_plan.h"
#include "transip/metadata.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace transip::cuda {

class MovingStructure {
 public:
  /// For models with this one's cutoff, elements, charges and multiplicities. device: must live longer.
  ///
  /// Throws Error: the kernels of the search do not compile.
  MovingStructure(Device &device, const Metadata &metadata);

  /// Whether another model may use it.
  bool serves(const Metadata &metadata) const;

  /// See Dynamics. What is the same as before costs nothing.
  void set_atoms(std::span<const std::int64_t> species, int charge, int multiplicity);
  void set_box(const Periodicity &box);
  void set_batch(std::span<const std::int64_t> species, std::span<const BatchStructure> batch);

  /// Atoms are at these places from now on, [N*3] Angstrom. Throws Error: no atoms yet, or other than 3N numbers.
  void place(std::span<const double> positions);
  /// Where they are on the device, for a caller to fill; `placed_on_device` when that is done or under way in the device's
  /// stream. Null: no atoms yet.
  double *positions();
  void placed_on_device();

  /// Have lists and boxes on the device that hold for where the atoms are, as far as that is known without looking. The
  /// layout of memory may be another one afterwards.
  void prepare();
  /// Whether a step by these lists holds, by what it reports; if not, it has to be done again from `prepare` on.
  bool holds(const StepReport &report);

  Device &device() const { return device_; }
  int atoms() const { return atoms_; }
  int structures() const { return static_cast<int>(batch_.size()); }
  bool is_local() const { return local_; }
  const Capacity &capacity() const { return capacity_; }
  /// Number of the layout of memory: arrays below are elsewhere, or have other sizes, when it is another one.
  std::int64_t layout() const { return layout_; }
  const Inputs &lists() const { return search_.lists; }
  const Search &search() const { return search_; }
  /// Launches with which a step begins: places of the rows, and whether lists still hold.
  Stage move_stage() const;

  std::int64_t searches() const { return searches_; }
  /// Bytes on the device.
  std::size_t memory() const;

 private:
  void take_atoms(int atoms, std::size_t structures);
  void require_atoms() const;
  void make_boxes();
  void send_boxes();
  int most_shifts() const;
  void lay_out(const Capacity &capacity);
  std::size_t place_lists(const Capacity &capacity, std::byte *start);
  void fill_tokens();
  void grow(const Counts &needed);
  void first_layout();
  void seek();

  /// Arrays of the atoms, on the device or, staged, on the host.
  struct Arrays {
    SearchBox *boxes = nullptr;
    double *positions = nullptr;
    int *species = nullptr, *structure = nullptr;
    std::size_t of_boxes = 0, moving = 0, all = 0;  // bytes of boxes, of boxes and positions, and of all
    Arrays() = default;
    Arrays(int atoms, std::size_t structures, std::byte *start);
  };

  Device &device_;
  Embeddings embeddings_;
  std::vector<int> elements_;  // that the models know, in their order
  Range charges_, multiplicities_;
  double cutoff_;  // Angstrom; 0: none
  bool local_;
  std::unique_ptr<Kernels> search_kernels_;
  std::unique_ptr<Memory> inputs_{}, host_inputs_{}, host_needed_{}, lists_{};

  std::vector<std::int64_t> species_{};
  int atoms_ = 0;
  std::vector<BatchStructure> batch_{BatchStructure{}};
  Periodicity box_{};                               // of a structure that is the only one
  std::vector<SearchBox> boxes_{}, boxes_then_{};  // of all structures: now; when neighbours were sought
  Arrays there_{}, host_{};
  Capacity capacity_{};
  Search search_{};
  std::unique_ptr<Program> search_program_{};
  bool ready_ = false;         // set_atoms has gone through
  bool boxes_are_there_ = false;  // the device has the boxes as they are now
  bool staged_ = false;        // the device has the positions that are staged on the host
  bool due_ = true;            // neighbours have to be sought before the next step
  bool due_later_ = false;     // and before the first step of other positions
  bool fresh_ = false;         // neighbours were sought where the atoms are now
  std::int64_t layout_ = 0, searches_ = 0;
};

}  // namespace transip::cuda
