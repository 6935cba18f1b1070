// A structure whose energies and forces are asked for again and again while its atoms move: neighbours, network and
// repulsion of whole steps on one device. Internal to libtransip; what engines evaluate by.
//
//   auto device = cuda::open_gpu(0);                          // or cuda::borrow_gpu(context, stream)
//   auto dynamics = cuda::Dynamics::make(weights, metadata, *device);
//   dynamics->set_atoms(species, charge, multiplicity);
//   dynamics->set_box({box, {true, true, true}});
//   const cuda::Evaluation &found = dynamics->evaluate(positions, {.forces = true, .virial = true});
//
// Several structures that do not see one another are evaluated together by `set_batch`; positions, forces and energies of
// their atoms follow one another.
//
// With positions that are on the device already, fill `device_positions()` in the device's stream and call
// `evaluate_on_device`; forces are then in `device_forces()`.
#pragma once

#include "device.h"
#include "modelfile/weights.h"
#include "periodicity.h"
#include "transip/metadata.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace transip::cuda {

/// What an evaluation shall give beside the energy.
struct Wanted {
  bool forces = true;
  bool virial = false;    ///< with the forces only
  bool energies = false;  ///< of every atom
  bool nearest = false;   ///< the two atoms that are nearest
  bool virials = false;   ///< of every atom, with the forces only; not of networks that see coordinates
};

/// What an evaluation gave; the spans hold until the next call.
struct Evaluation {
  double energy = 0.0;                 ///< eV
  std::array<double, 9> virial{};      ///< eV, row-major: sum of r_a f_b over atoms and images; zeros if not wanted
  std::span<const double> forces{};    ///< [N*3] eV/Angstrom; empty if not wanted or left on the device
  std::span<const double> energies{};  ///< [N] eV; likewise
  double nearest = 1e300;              ///< Angstrom between the two nearest atoms; 1e300: none see each other, or not wanted
  std::array<int, 2> pair{};           ///< these atoms
  std::span<const double> virials{};   ///< [N*9] eV, as in Result (transip/model.h); empty if not wanted or left on the device
  std::span<const double> structure_energies{};  ///< [structures] eV, of several structures
  std::span<const double> structure_virials{};   ///< [structures*9] eV, likewise; zeros if not wanted
};

class Dynamics {
 public:
  /// The kernels for a TransIP network on a device, which must live longer.
  ///
  /// Null: its forces are no gradient, or it has a shape that the kernels are not made for (kernels/tiles.h).
  /// Throws Error: weights are missing or have other shapes than the metadata asks for, no compiler, not enough memory.
  /// Kernels that do not compile are an Error of the first evaluation.
  static std::unique_ptr<Dynamics> make(const Weights &weights, const Metadata &metadata, Device &device);
  virtual ~Dynamics() = default;

  /// Another network on the same device, which shares this one's atoms, box and neighbours: what is set for one is set for
  /// both, and a structure that is given to one after the other is searched and taken to the device once.
  ///
  /// Null: as of `make`, or the two have other cutoffs, elements, charges or multiplicities. Throws as `make`.
  virtual std::unique_ptr<Dynamics> make_beside(const Weights &weights, const Metadata &metadata) const = 0;

  /// Atomic numbers [N], total charge (e) and spin multiplicity from now on; what is the same costs nothing. N may be 0.
  ///
  /// Throws Error: the model does not know them; not enough memory on the device.
  virtual void set_atoms(std::span<const std::int64_t> species, int charge, int multiplicity) = 0;

  /// The box from now on; before the first call there is none. It may change at every step, as barostats have it.
  ///
  /// Throws Error: a box without volume, so small against the cutoff that an atom would see a million images, or periodic
  /// where the model attends all-to-all.
  virtual void set_box(const Periodicity &box) = 0;

  /// Several structures that do not see one another from now on, with the atomic numbers [N] of all, one structure after
  /// the other; of models with a cutoff. Each has the energy, forces and virial that it would have alone, bit by bit, if
  /// its neighbours are sought at the same steps. `set_atoms`, of one structure, ends it.
  ///
  /// Throws Error: as `set_atoms` and `set_box`, no structure, other than N atoms in all, a model that attends all-to-all.
  virtual void set_batch(std::span<const std::int64_t> species, std::span<const BatchStructure> batch) = 0;

  /// Evaluate atoms at these places, [N*3] Angstrom, which may lie outside the box; the results are copied to the host.
  ///
  /// Throws Error: other than 3N numbers, atoms in one place (NotFinite, whose row is the atom), a device that fails. What
  /// is not finite is not looked for.
  virtual const Evaluation &evaluate(std::span<const double> positions, const Wanted &wanted) = 0;

  /// Where `evaluate_on_device` finds the positions, [N*3] Angstrom, on the device; until the next `set_atoms`.
  virtual double *device_positions() = 0;

  /// Evaluate what is in `device_positions` when the device's stream gets there; waits until it is done.
  ///
  /// Energy and virial are copied to the host, forces and energies of atoms are left on the device. Throws as `evaluate`.
  virtual const Evaluation &evaluate_on_device(const Wanted &wanted) = 0;

  /// Forces [N*3], eV/Angstrom, energies [N] and virials [N*9] of atoms, eV, of the last evaluation that gave them, on the
  /// device; until the next `set_atoms`.
  virtual const double *device_forces() const = 0;
  virtual const double *device_energies() const = 0;
  virtual const double *device_virials() const = 0;

  /// Energy [1] and virial [9] of the last evaluation, eV, on the device; zeros where the virial was not wanted.
  virtual const double *device_energy() const = 0;
  virtual const double *device_virial() const = 0;

  /// The same of several structures (`set_batch`), [structures] and [structures*9].
  virtual const double *device_structure_energies() const = 0;
  virtual const double *device_structure_virials() const = 0;

  /// How often neighbours were sought, for this network and those beside it, for logs and tests.
  virtual std::int64_t searches() const = 0;

  /// Bytes on the device; of what is shared the first counts it.
  virtual std::size_t memory() const = 0;
};

}  // namespace transip::cuda
