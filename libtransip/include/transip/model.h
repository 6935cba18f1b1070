// A model file, loaded and ready to be evaluated. No torch type is seen here.
//
// Units: Angstrom, eV, eV/Angstrom, charge in e. Rows and tokens as in docs/conventions.md: T tokens are atoms whose
// features are computed, I >= T rows are positions (the tokens first, then their images), E edges from a token to a row.
#pragma once

#include "transip/halo_exchange.h"
#include "transip/metadata.h"
#include "transip/symmetry.h"

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace transip {

namespace native {
class Workers;
}

namespace cuda {
class Device;
class Dynamics;
}  // namespace cuda

/// One evaluation's input; the spans must live as long as the call.
struct Request {
  std::span<const std::int64_t> species;     ///< [T] atomic numbers
  std::span<const double> positions;         ///< [I*3] Angstrom, row-major
  std::span<const std::int64_t> owner = {};  ///< [I] token, or T + halo atom, of each row; empty: I = T, every row its own
  std::span<const std::uint8_t> owned = {};  ///< [T] 1 if the energy counts; empty: all count
  std::span<const std::int64_t> first = {};  ///< [T+1] where a token's neighbours begin; empty: there are none
  std::span<const std::int64_t> neighbours = {};  ///< [E] rows; those beyond the cutoff are left out by the model
  int charge = 0;                            ///< total charge, e
  int multiplicity = 1;                      ///< spin multiplicity
  bool virials = false;                      ///< virials of atoms are wanted; of native kernels, with the forces
  bool distances = false;                    ///< distances from the training set are wanted; see Model::check_distances
  std::uint64_t step = 0;                    ///< random rotations are numbered by it
  HaloExchange *exchange = nullptr;          ///< where rows have their tokens on other ranks: the halo atoms
  /// Models that share neighbours make lists once for requests of one number, which have the same positions, rows and
  /// neighbours in the same places; 0: for this request alone. See Model::share_neighbours.
  std::uint64_t geometry = 0;
};

/// One evaluation's output; kept by the caller, so that its memory is used again.
struct Result {
  std::vector<double> energies;  ///< [T] eV, zero where not owned
  std::vector<double> forces;    ///< [I*3] eV/Angstrom, -dE/d(row); empty where only energies were asked for
  std::vector<double> virials;   ///< [T*9] eV if they were asked for: W_t = -sum over edges t -> j of r_tj (x) dE/dr_tj
  std::vector<double> distances;  ///< [T] if they were asked for: 1 is the 99th percentile of held-out atoms
  double energy = 0.0;           ///< sum of energies, eV
};

/// A whole structure whose neighbours the evaluator finds by itself; the spans must live as long as the call.
struct StructureRequest {
  std::span<const std::int64_t> species;   ///< [N] atomic numbers
  std::span<const double> positions;       ///< [N*3] Angstrom; atoms may lie outside the box
  std::array<double, 9> box{};             ///< three vectors, Angstrom; not looked at along axes that are not periodic
  std::array<bool, 3> periodic{};          ///< along each of the vectors
  int charge = 0;                          ///< total charge, e
  int multiplicity = 1;                    ///< spin multiplicity
  bool forces = true;                      ///< forces are wanted
  bool virial = false;                     ///< the virial is wanted, with the forces
  bool energies = false;                   ///< energies of atoms are wanted
  bool nearest = false;                    ///< the nearest pair of atoms is wanted
  bool virials = false;                    ///< virials of atoms are wanted, with the forces
};

/// What comes of it; the spans hold until the next evaluation.
struct StructureResult {
  double energy = 0.0;                 ///< eV
  std::array<double, 9> virial{};      ///< eV: sum of r_a f_b over atoms and images; zeros where it was not wanted
  std::span<const double> forces{};    ///< [N*3] eV/Angstrom; empty where not wanted
  std::span<const double> energies{};  ///< [N] eV; empty where not wanted
  double nearest = 0.0;                ///< Angstrom between the two nearest atoms within the cutoff; 1e300 if there are none
  std::array<int, 2> pair{};           ///< these atoms
  std::span<const double> virials{};   ///< [N*9] eV, as in Result; empty where not wanted
};

/// A whole structure whose arrays are on the CUDA device that evaluates it, or S of them, one after the other.
struct DeviceRequest {
  std::span<const std::size_t> atoms;     ///< [S] of each structure, N in all; on the host
  const std::int64_t *species = nullptr;  ///< [N] atomic numbers
  const double *positions = nullptr;      ///< [N*3] Angstrom; atoms may lie outside the box
  const double *boxes = nullptr;          ///< [S*9] three vectors of each, Angstrom; null where none is periodic
  std::array<bool, 3> periodic{};         ///< along each of the vectors
  int charge = 0;                         ///< total charge, e
  int multiplicity = 1;                   ///< spin multiplicity
  void *stream = nullptr;                 ///< CUDA's, in which the arrays are written and read; null: the default stream
};

/// Where its results go, on the device; a null is left out.
struct DeviceResult {
  double *energy = nullptr;    ///< [S] eV
  double *energies = nullptr;  ///< [N] eV
  double *forces = nullptr;    ///< [N*3] eV/Angstrom
  double *virial = nullptr;    ///< [S*9] eV, as in StructureResult
  double *virials = nullptr;   ///< [N*9] eV, of atoms, as in Result
};

/// Names by which Model loads the models in a file: the path itself, or of a file that `transip-md export --committee`
/// wrote "PATH#1", "PATH#2" and so on.
///
/// Throws Error: no such file, no archive, a committee's file that cannot be used.
std::vector<std::string> models_in(const std::string &path);

class Model {
 public:
  /// Load a file made by `transip-md export`; of a committee's file the first model, or by "PATH#2" the second.
  ///
  /// device: "auto" (CUDA if there is one and torch can use it), "cpu", "cuda" or "cuda:N".
  /// node_rank: number of this process among those of its node; "auto" and "cuda" take the CUDA devices in turn by it.
  /// kernels: what evaluates a TorchScript file on the CPU: "auto" (the project's own kernels where they can, else
  /// torch), "native" or "torch"; the environment variable TRANSIP_KERNELS sets what "auto" is. On a CUDA device "native"
  /// is the project's own CUDA kernels, and without a driver the CPU's, which `notice` then says; "auto" is torch, which
  /// replays evaluations of models without a cutoff as CUDA graphs, as "torch" does not.
  /// torch is opened (libtransip_torch) only where it evaluates, or reads a file of format 1.
  /// Throws Error: no such file, not a TorchScript file, no transip.json in it, a format or device that is not there,
  /// native kernels for a model that they do not know, torch where there is no libtransip_torch.
  explicit Model(const std::string &path, const std::string &device = "auto", int node_rank = 0,
                 const std::string &kernels = "auto");
  ~Model();
  Model(Model &&) noexcept;
  Model &operator=(Model &&) noexcept;

  const Metadata &metadata() const;

  /// The file's transip.json, as it stands there.
  std::string_view metadata_text() const;

  /// Number of CPU threads for one evaluation, 1 at first. torch's number is the whole process's.
  void set_threads(int threads);

  /// Those threads, for a search of neighbours before an evaluation, until the model is moved or their number set; null: the
  /// caller's is the only one, or the evaluator is none of the project's kernels on the CPU.
  native::Workers *workers() const;

  /// Where the model runs: "cpu" or "cuda:N".
  std::string device() const;

  /// What evaluates the model, for the log: "native kernels (avx512)", "TorchScript", "compiled code, CUDA graphs".
  std::string runs_by() const;

  /// What the user should know of where the model runs, one line; empty if it is as was asked.
  const std::string &notice() const;

  /// Whether the project's own kernels evaluate it on the CPU.
  bool is_native() const;

  /// The same model for a structure that moves, on a device that must live longer (cuda/dynamics.h, internal to
  /// libtransip): what engines evaluate by that have positions on the device.
  ///
  /// Null: it is not the project's own CUDA kernels that evaluate the model. Throws Error: not enough memory on the device.
  std::unique_ptr<cuda::Dynamics> make_dynamics(cuda::Device &device) const;

  /// Whether `evaluate_structure` can be called: the project's own CUDA kernels, and no symmetry.
  bool evaluates_structures() const;

  /// Energy, and what else is wanted, of a structure whose neighbours are found on the device. Species, charge and
  /// multiplicity must have been checked.
  ///
  /// Throws Error: as `evaluate`; NotFinite names the atom. Also where `evaluates_structures` is false.
  void evaluate_structure(const StructureRequest &request, StructureResult &result);

  /// Several structures in one step of the device, a result for each, in the order of the requests: each has the numbers
  /// that it would have alone. Of models with a cutoff; what one of them wants beside the energy, all are given.
  ///
  /// Throws Error: as `evaluate_structure`; NotFinite names the structure, counted from 0, and its row is that of this
  /// structure.
  void evaluate_structures(std::span<const StructureRequest> requests, std::vector<StructureResult> &results);

  /// The same with arrays on the device, of one structure or, of models with a cutoff, several; when it returns, the results
  /// are there. Charge and multiplicity must have been checked.
  ///
  /// Throws Error: as `evaluate_structure` or `evaluate_structures`, and for elements that the model does not know, an
  /// energy that is not finite.
  void evaluate_on_device(const DeviceRequest &request, const DeviceResult &result);

  /// Share the neighbours of structures with another model, as the models of a committee do: a structure that is given to
  /// one after the other is searched once on a CUDA device. On the CPU they share the memory that evaluations work in, and
  /// the lists of a numbered geometry. From then on only one of them may be used at a time.
  ///
  /// Returns false, and nothing has changed: they are the same, not both evaluated by the project's own kernels on the CPU
  /// or on one CUDA device, have other cutoffs, elements, charges or multiplicities there, or there are arrays that
  /// `allocate_on_device` gave.
  /// Throws Error: not enough memory on the device.
  bool share_neighbours(Model &first);

  /// Memory on the device that evaluates structures, for arrays; it lives until it is given back, and no longer than the
  /// model. Throws Error: there is not so much, or `evaluates_structures` is false.
  void *allocate_on_device(std::size_t bytes);
  void free_on_device(void *memory);

  /// Whether it takes a `HaloExchange`. If not, what images of other ranks' atoms see has to be given as tokens that are
  /// not owned.
  bool exchanges_halo() const;

  /// Throws Error unless the model knows this total charge (e) and spin multiplicity.
  void check_charge(int charge, int multiplicity) const;

  /// Throws Error unless distances from the training set can be asked for: the file has a sample of it, and native kernels
  /// on the CPU evaluate.
  void check_distances() const;

  /// Throws Error unless the model knows this element.
  void check_species(int atomic_number) const;

  /// Ask for a symmetry in all further evaluations. Throws Error: the file does not offer it.
  void set_symmetry(const Symmetry &symmetry);

  const Symmetry &symmetry() const;

  /// The frame wants a reference before the first evaluation.
  bool needs_reference() const;

  /// Give the frame its reference: atomic numbers [N] and positions [N*3], Angstrom, of one molecule.
  ///
  /// Throws Error: a linear molecule, or several.
  void set_reference(std::span<const std::int64_t> species, std::span<const double> positions);

  /// Whether the file brings a structure with the numbers that it gave where it was exported.
  bool has_reference() const;

  /// Evaluate that structure in all its states and compare: by what finds its neighbours itself if there is such a thing
  /// and `own_search` is true, else with the lists that the file brings.
  ///
  /// Returns false if the file brings none. Throws Error: the numbers differ by more than transip/tolerances.h allows, or
  /// than four times what the weights' precision does to them, measured at export.
  bool check_reference(bool own_search = true);

  /// Bytes that the model keeps from one evaluation to the next, on the host and on a CUDA device, without what torch keeps.
  std::int64_t memory() const;

  /// Energies and, unless `forces` is false, forces. Species, charge and multiplicity must have been checked.
  ///
  /// Energies alone cost less with TorchScript files; compiled code always does both.
  /// Throws Error: shapes that do not fit, energies or forces that are not finite, whatever torch complains of.
  void evaluate(const Request &request, Result &result, bool forces = true);

  /// The same of several molecules without images, a result for each, in the order of the requests; on a CUDA device by
  /// the project's own kernels in one step where the model attends all-to-all. Under a symmetry one after another.
  ///
  /// Throws Error: as `evaluate`; NotFinite names the structure, counted from 0, and its row is that of this structure.
  void evaluate_many(std::span<const Request> requests, std::vector<Result> &results, bool forces = true);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace transip
