#include "dynamics.h"

#include "arrays.h"
#include "file_network.h"
#include "neighbours/same_place.h"
#include "search_plan.h"
#include "totals_plan.h"
#include "transip/error.h"
#include "transip/units.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

namespace transip::cuda {

namespace {

/// Angstrom by which neighbours are sought beyond the cutoff, so that most steps need no search.
constexpr double usual_skin = 1.0;
/// Part of the skin that has to be left to the atoms where a box changes; with less neighbours are sought.
constexpr double least_skin = 0.2;
/// Atoms of a model that attends all-to-all: more have more pairs than an int can count.
constexpr std::size_t most_paired = 46340;
constexpr std::size_t most_atoms = 100'000'000;

/// A capacity that lets a structure change a little before everything has to be laid out again.
int with_room(long long count)
{
  const long long roomy = count + count / 8 + 32;
  if (roomy > 2'000'000'000) throw Error("A structure has more than two thousand million pairs of neighbours.");
  return static_cast<int>(roomy);
}

void copy_in(std::byte *to, const void *from, std::size_t bytes)
{
  if (bytes) std::copy_n(static_cast<const std::byte *>(from), bytes, to);
}

/// Tables of the repulsion: nuclear charges, their powers, radii, one after another.
struct RepulsionTables {
  std::vector<double> values{};
  std::size_t kinds = 0;
  Repulsion repulsion{};

  RepulsionTables(const Weights &weights, const Metadata &metadata) : kinds(metadata.species.size())
  {
    if (!metadata.architecture->short_range) return;
    const auto count = static_cast<std::int64_t>(kinds);
    for (const char *name : {"nuclear_charges", "screening_powers", "covalent_radii"}) {
      const std::vector<double> &table = weights.get("model.short_range." + std::string(name), {count});
      values.insert(values.end(), table.begin(), table.end());
    }
    repulsion.coulomb = units::hartree * units::bohr;
    repulsion.cutoff = metadata.cutoff.value_or(0.0);
    repulsion.longest = 2.0 * *std::max_element(values.end() - count, values.end());
    if (repulsion.cutoff > 0.0) repulsion.longest = std::min(repulsion.longest, repulsion.cutoff);
  }
};

/// Arrays of a structure's atoms, on the device or, staged, on the host: what goes there, and what comes back.
struct AtomArrays {
  SearchBox *box = nullptr;
  double *positions = nullptr;
  int *species = nullptr;
  StepReport *report = nullptr;
  double *forces = nullptr, *energies = nullptr;
  std::size_t inputs = 0, until_forces = 0, results = 0;  // bytes: box and positions; report and forces; and energies

  /// Point to what lies at `in` and `out`.
  AtomArrays(int atoms, std::byte *in, std::byte *out)
  {
    Parts given(in), found(out);
    given.place(box, 1);
    given.place(positions, 3LL * atoms);
    inputs = given.used();
    given.place(species, atoms);
    all_inputs = given.used();
    found.place(report, 1);
    found.place(forces, 3LL * atoms);
    until_forces = found.used();
    found.place(energies, atoms);
    results = found.used();
  }
  std::size_t all_inputs = 0;
};

template <typename Real> class WholeStep final : public Dynamics {
 public:
  WholeStep(Device &device, const Weights &weights, const Metadata &metadata, const NetworkWeights &network)
      : device_(device), shape_(network.shape(sizeof(Real) == 4)), embeddings_(metadata),
        reach_(metadata.cutoff.value_or(0.0) + usual_skin), step_kernels_(device.compile(shape_)),
        search_kernels_(device.compile(KernelFile::search)), totals_kernels_(device.compile(KernelFile::totals))
  {
    const PackedWeights<Real> packed(network);
    const RepulsionTables tables(weights, metadata);
    constant_ = device_.allocate(packed.bytes().size() + tables.values.size() * sizeof(double));
    std::byte *const behind = constant_->data() + packed.bytes().size();
    device_.upload(constant_->data(), packed.bytes().data(), packed.bytes().size());
    packed.give(step_, constant_->data());
    totals_.repels = !tables.values.empty();
    totals_.repulsion = tables.repulsion;
    if (!totals_.repels) return;
    device_.upload(behind, reinterpret_cast<const std::byte *>(tables.values.data()), tables.values.size() * sizeof(double));
    const auto *const first = reinterpret_cast<const double *>(behind);
    totals_.repulsion.charge = first;
    totals_.repulsion.screening = first + tables.kinds;
    totals_.repulsion.radius = first + 2 * tables.kinds;
  }

  void set_atoms(std::span<const std::int64_t> species, int charge, int multiplicity) override
  {
    if (ready_ && charge == charge_ && multiplicity == multiplicity_ && std::ranges::equal(species, species_)) return;
    if (species.size() > (shape_.local ? most_atoms : most_paired))
      throw Error("The CUDA kernels take " + std::to_string(shape_.local ? most_atoms : most_paired) +
                  " atoms at the most; got " + std::to_string(species.size()) + ".");
    charge_place_ = embeddings_.charge(charge);
    multiplicity_place_ = embeddings_.multiplicity(multiplicity);
    std::vector<int> places;
    for (const std::int64_t number : species) places.push_back(embeddings_.species(number));
    ready_ = false;
    species_.assign(species.begin(), species.end());
    charge_ = charge;
    multiplicity_ = multiplicity;
    take_atoms(static_cast<int>(places.size()));
    copy_in(reinterpret_cast<std::byte *>(host_->species), places.data(), places.size() * sizeof(int));
    std::byte *const from = host_inputs_->data();
    device_.upload(inputs_->data() + host_->inputs, from + host_->inputs, host_->all_inputs - host_->inputs);
    make_box();
    if (capacity_.tokens > 0 || atoms_ == 0) fill_tokens();
    due_ = true;
    ready_ = true;
  }

  void set_box(const Periodicity &box) override
  {
    if (box == box_) return;
    if (!shape_.local && box.any())
      throw Error("The box is periodic, and this model attends all-to-all: it describes isolated molecules only.");
    make_search_box(box, reach_, usual_skin, atoms_);
    box_ = box;
    make_box();
  }

  const Evaluation &evaluate(std::span<const double> positions, const Wanted &wanted) override
  {
    require_atoms();
    if (positions.size() != 3 * species_.size())
      throw Error("A structure has " + std::to_string(species_.size()) + " atoms and " +
                  std::to_string(positions.size()) + " coordinates.");
    std::copy(positions.begin(), positions.end(), host_->positions);
    *host_->box = search_box_;
    device_.upload(inputs_->data(), host_inputs_->data(), host_->inputs);
    box_is_there_ = true;
    run(wanted, true);
    return evaluation_;
  }

  double *device_positions() override { return there_ ? there_->positions : nullptr; }

  const Evaluation &evaluate_on_device(const Wanted &wanted) override
  {
    require_atoms();
    run(wanted, false);
    return evaluation_;
  }

  const double *device_forces() const override { return there_ ? there_->forces : nullptr; }
  const double *device_energies() const override { return there_ ? there_->energies : nullptr; }
  const double *device_energy() const override { return there_ ? &there_->report->energy : nullptr; }
  const double *device_virial() const override { return there_ ? there_->report->virial : nullptr; }
  std::int64_t searches() const override { return searches_; }

  std::size_t memory() const override
  {
    std::size_t bytes = 0;
    for (const auto *memory : {&constant_, &inputs_, &results_, &work_})
      if (*memory) bytes += (*memory)->bytes();
    return bytes;
  }

 private:
  void require_atoms() const
  {
    if (!ready_) throw Error("A structure on a CUDA device has no atoms yet: call set_atoms first.");
  }

  /// Arrays for so many atoms, and nothing that was made for another number.
  void take_atoms(int atoms)
  {
    if (there_ && atoms == atoms_) return;
    forget_programs();
    atoms_ = atoms;
    const AtomArrays sizes(atoms, nullptr, nullptr);
    if (!inputs_ || inputs_->bytes() < sizes.all_inputs || results_->bytes() < sizes.results) {
      for (auto *memory : {&inputs_, &results_, &host_inputs_, &host_results_}) memory->reset();
      const AtomArrays roomy(inputs_ || there_ ? with_room(atoms) : atoms, nullptr, nullptr);
      inputs_ = device_.allocate(roomy.all_inputs);
      results_ = device_.allocate(roomy.results);
      host_inputs_ = device_.allocate_host(roomy.all_inputs);
      host_results_ = device_.allocate_host(roomy.results);
    }
    there_.emplace(atoms, inputs_->data(), results_->data());
    host_.emplace(atoms, host_inputs_->data(), host_results_->data());
    // Rows and edges are laid out anew when there is a search.
    capacity_.tokens = 0;
  }

  void forget_programs()
  {
    search_program_.reset();
    for (auto &program : programs_) program.reset();
  }

  /// The box as a search takes it, and what it leaves to the atoms of the last one.
  void make_box()
  {
    search_box_ = make_search_box(box_, reach_, usual_skin, atoms_);
    box_is_there_ = false;
    bool same = true;
    double taken = 0.0;
    for (std::size_t a = 0; a < 3; a++) {
      same = same && search_box_.periodic[a] == box_then_.periodic[a];
      if (!search_box_.periodic[a]) continue;
      double square = 0.0;
      for (std::size_t x = 3 * a; x < 3 * a + 3; x++) {
        const double by = search_box_.vectors[x] - box_then_.vectors[x];
        square += by * by;
      }
      taken += box_then_.images[a] * std::sqrt(square);
    }
    search_box_.allowed = 0.5 * (usual_skin - taken);
    if (!same || !(search_box_.allowed > 0.5 * least_skin * usual_skin)) due_ = true;
  }

  void send_box()
  {
    *host_->box = search_box_;
    device_.upload(inputs_->data(), host_inputs_->data(), sizeof(SearchBox));
    box_is_there_ = true;
  }

  /// Memory for lists and steps of so many rows and edges.
  void lay_out(const Capacity &capacity)
  {
    forget_programs();
    const int shifts = shape_.local ? std::max(search_.most_shifts, shifts_of(search_box_)) : 1;
    capacity_ = {};
    // What is too small goes before what is larger comes.
    work_.reset();
    search_.atoms = atoms_;
    search_.most_rows = capacity.rows;
    search_.most_edges = capacity.edges;
    search_.most_cells = most_cells(atoms_);
    search_.most_shifts = shifts;
    search_.reach = reach_;
    work_ = device_.allocate(place_all(capacity, nullptr));
    place_all(capacity, work_->data());
    search_.box = there_->box;
    search_.atom = there_->positions;
    search_.atom_species = there_->species;
    search_.lists = totals_.lists = step_.in;
    totals_.rows = step_.out;
    totals_.order = search_.order;
    totals_.needed = search_.needed;
    totals_.moved = search_.moved;
    totals_.moved_far = search_.moved_far;
    totals_.report = there_->report;
    totals_.of_forces = there_->forces;
    totals_.of_energies = there_->energies;
    capacity_ = capacity;
    fill_tokens();
  }

  std::size_t place_all(const Capacity &capacity, std::byte *start)
  {
    std::size_t used = place_inputs(step_.in, capacity, start);
    const auto next = [&] { return start ? start + used : nullptr; };
    used += place_results(step_.out, capacity, next());
    used += place_work(step_, shape_, capacity, true, next());
    used += place_search(search_, next());
    used += place_totals(totals_, capacity, next());
    return used;
  }

  /// What every token is told of its structure, whatever atom it is.
  void fill_tokens()
  {
    if (!work_) return;
    const auto count = static_cast<std::size_t>(atoms_);
    const auto fill = [&](int *place, int value) {
      const std::vector<int> values(count, value);
      device_.upload(reinterpret_cast<std::byte *>(place), reinterpret_cast<const std::byte *>(values.data()),
                     count * sizeof(int));
    };
    fill(step_.in.charge, charge_place_);
    fill(step_.in.multiplicity, multiplicity_place_);
    fill(step_.in.begin, 0);
    fill(step_.in.end, atoms_);
    const std::vector<std::byte> owned(count, std::byte{1});
    device_.upload(reinterpret_cast<std::byte *>(step_.in.owned), owned.data(), count);
  }

  /// A capacity that holds what a search needed.
  void grow(const Counts &needed)
  {
    lay_out({atoms_, std::max(capacity_.rows, with_room(needed.rows)), std::max(capacity_.edges, with_room(needed.edges))});
  }

  void seek()
  {
    search_box_.allowed = 0.5 * usual_skin;
    send_box();
    box_then_ = search_box_;
    if (!search_program_) {
      const Stage stage{search_kernels_.get(), plan_search(search_, shape_.local), &search_, sizeof search_};
      search_program_ = device_.program({&stage, 1});
    }
    search_program_->run();
    searches_++;
    due_ = false;
  }

  /// Room for the lists, of which nothing is known yet.
  void first_layout()
  {
    if (!shape_.local) {
      lay_out({atoms_, atoms_, atoms_ * std::max(0, atoms_ - 1)});
      return;
    }
    lay_out({atoms_, atoms_, 0});
    seek();
    device_.download(host_results_->data(), reinterpret_cast<const std::byte *>(search_.needed), sizeof(Counts));
    Counts needed;
    copy_in(reinterpret_cast<std::byte *>(&needed), host_results_->data(), sizeof needed);
    grow(needed);
  }

  Program &step_program(const Wanted &wanted)
  {
    totals_.forces = wanted.forces;
    totals_.virial = wanted.forces && wanted.virial;
    std::unique_ptr<Program> &program =
        programs_[(totals_.forces ? 1 : 0) + (totals_.virial ? 2 : 0) + (wanted.nearest ? 4 : 0)];
    if (!program) {
      const Stage stages[] = {
          {search_kernels_.get(), plan_move(search_, shape_.local), &search_, sizeof search_},
          {step_kernels_.get(), plan_step(shape_, capacity_, wanted.forces), &step_, sizeof step_},
          {totals_kernels_.get(), plan_totals(totals_, capacity_, wanted.nearest), &totals_, sizeof totals_},
      };
      program = device_.program(stages);
    }
    return *program;
  }

  void run(const Wanted &wanted, bool to_host)
  {
    if (shape_.local && shifts_of(search_box_) > search_.most_shifts) capacity_.tokens = 0;
    if (capacity_.tokens != atoms_ || !work_) {
      first_layout();
      due_ = true;
    }
    if (!box_is_there_ && !due_) send_box();
    const std::size_t bytes = !to_host ? sizeof(StepReport) : wanted.energies ? host_->results
        : wanted.forces                ? host_->until_forces : sizeof(StepReport);
    const StepReport &report = *host_->report;
    for (bool sought = false;;) {
      if (due_) {
        seek();
        sought = true;
      }
      step_program(wanted).run();
      device_.download(host_results_->data(), results_->data(), bytes);
      if (!capacity_.holds(report.needed)) {
        grow(report.needed);
        due_ = true;
        continue;
      }
      due_ = report.moved != 0;
      if (sought || !report.moved_far) break;
    }
    if (report.clash >= 0) throw_same_place(static_cast<std::size_t>(report.clash));
    take_results(wanted, to_host);
  }

  void take_results(const Wanted &wanted, bool to_host)
  {
    const auto count = static_cast<std::size_t>(atoms_);
    evaluation_ = {};
    evaluation_.energy = host_->report->energy;
    if (totals_.virial) std::copy_n(host_->report->virial, 9, evaluation_.virial.begin());
    if (wanted.nearest) {
      evaluation_.nearest = host_->report->nearest;
      std::copy_n(host_->report->pair, 2, evaluation_.pair.begin());
    }
    if (to_host && wanted.forces) evaluation_.forces = {host_->forces, 3 * count};
    if (to_host && wanted.energies) evaluation_.energies = {host_->energies, count};
  }

  Device &device_;
  NetworkShape shape_;
  Embeddings embeddings_;
  double reach_;
  std::unique_ptr<Kernels> step_kernels_, search_kernels_, totals_kernels_;
  std::unique_ptr<Memory> constant_, inputs_, results_, host_inputs_, host_results_, work_;

  std::vector<std::int64_t> species_;
  int atoms_ = 0, charge_ = 0, multiplicity_ = 0, charge_place_ = 0, multiplicity_place_ = 0;
  Periodicity box_{};
  SearchBox search_box_{}, box_then_{};  // now; when neighbours were sought
  std::optional<AtomArrays> there_{}, host_{};
  Capacity capacity_{};
  Step<Real> step_{};
  Search search_{};
  Totals totals_{};
  std::unique_ptr<Program> search_program_, programs_[8];  // with forces, + 2 virial, + 4 nearest pair
  bool ready_ = false;         // set_atoms has gone through
  bool box_is_there_ = false;  // the device has the box as it is now
  bool due_ = true;            // neighbours have to be sought before the next step
  std::int64_t searches_ = 0;
  Evaluation evaluation_{};
};

}  // namespace

std::unique_ptr<Dynamics> Dynamics::make(const Weights &weights, const Metadata &metadata, Device &device)
{
  if (!has_kernels(metadata)) return nullptr;
  const FileNetwork network(weights, metadata);
  if (network.single()) return std::make_unique<WholeStep<float>>(device, weights, metadata, network.weights());
  return std::make_unique<WholeStep<double>>(device, weights, metadata, network.weights());
}

}  // namespace transip::cuda
