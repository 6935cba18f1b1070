#include "moving_structure.h"

#include "arrays.h"
#include "transip/error.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

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

bool same(const Range &a, const Range &b)
{
  return a.lowest == b.lowest && a.highest == b.highest;
}

}  // namespace

MovingStructure::Arrays::Arrays(int atoms, std::size_t structures, std::byte *start)
{
  Parts parts(start);
  parts.place(boxes, static_cast<long long>(structures));
  of_boxes = parts.used();
  parts.place(positions, 3LL * atoms);
  moving = parts.used();
  parts.place(species, atoms);
  parts.place(structure, structures > 1 ? atoms : 0);
  all = parts.used();
}

MovingStructure::MovingStructure(Device &device, const Metadata &metadata)
    : device_(device), embeddings_(metadata), elements_(metadata.species), charges_(metadata.charge),
      multiplicities_(metadata.multiplicity), cutoff_(metadata.cutoff.value_or(0.0)), local_(metadata.cutoff.has_value()),
      search_kernels_(device.compile(KernelFile::search))
{
}

bool MovingStructure::serves(const Metadata &metadata) const
{
  return metadata.cutoff.has_value() == local_ && metadata.cutoff.value_or(0.0) == cutoff_ && metadata.species == elements_ &&
         same(metadata.charge, charges_) && same(metadata.multiplicity, multiplicities_);
}

void MovingStructure::set_atoms(std::span<const std::int64_t> species, int charge, int multiplicity)
{
  const BatchStructure only{species.size(), charge, multiplicity, box_};
  set_batch(species, {&only, 1});
}

void MovingStructure::set_box(const Periodicity &box)
{
  if (box == box_) return;
  if (!local_ && box.any())
    throw Error("The box is periodic, and this model attends all-to-all: it describes isolated molecules only.");
  make_search_box(box, cutoff_ + usual_skin, usual_skin, atoms_);
  box_ = box;
  if (batch_.size() != 1) return;
  batch_.front().box = box;
  make_boxes();
}

void MovingStructure::set_batch(std::span<const std::int64_t> species, std::span<const BatchStructure> batch)
{
  const auto same_atoms = [](const BatchStructure &a, const BatchStructure &b) {
    return a.atoms == b.atoms && a.charge == b.charge && a.multiplicity == b.multiplicity;
  };
  if (ready_ && std::ranges::equal(batch, batch_, same_atoms) && std::ranges::equal(species, species_)) {
    if (std::ranges::equal(batch, batch_)) return;
    for (const BatchStructure &one : batch) make_search_box(one.box, cutoff_ + usual_skin, usual_skin, atoms_);
    batch_.assign(batch.begin(), batch.end());
    make_boxes();
    return;
  }
  if (species.size() > (local_ ? most_atoms : most_paired))
    throw Error("The CUDA kernels take " + std::to_string(local_ ? most_atoms : most_paired) + " atoms at the most; got " +
                std::to_string(species.size()) + ".");
  if (!local_ && batch.size() != 1)
    throw Error("Several structures together are those of a model with a cutoff; this one attends all-to-all, and takes "
                "several molecules from the host.");
  std::size_t atoms = 0;
  for (const BatchStructure &one : batch) atoms += one.atoms;
  if (batch.empty() || atoms != species.size())
    throw Error("Structures have " + std::to_string(atoms) + " atoms and " + std::to_string(species.size()) + " elements.");
  std::vector<int> places, structures;
  for (std::size_t k = 0; k < batch.size(); k++) {
    const BatchStructure &one = batch[k];
    try {
      embeddings_.charge(one.charge);
      embeddings_.multiplicity(one.multiplicity);
      make_search_box(one.box, cutoff_ + usual_skin, usual_skin, static_cast<int>(one.atoms));
      for (const std::int64_t number : species.subspan(places.size(), one.atoms))
        places.push_back(embeddings_.species(number));
    } catch (const Error &problem) {
      if (batch.size() == 1) throw;
      throw Error("Structure " + std::to_string(k) + " (counted from 0): " + problem.what());
    }
    structures.insert(structures.end(), one.atoms, static_cast<int>(k));
  }
  ready_ = false;
  species_.assign(species.begin(), species.end());
  take_atoms(static_cast<int>(atoms), batch.size());
  batch_.assign(batch.begin(), batch.end());
  copy_in(reinterpret_cast<std::byte *>(host_.species), places.data(), places.size() * sizeof(int));
  if (batch_.size() > 1)
    copy_in(reinterpret_cast<std::byte *>(host_.structure), structures.data(), structures.size() * sizeof(int));
  device_.upload(inputs_->data() + host_.moving, host_inputs_->data() + host_.moving, host_.all - host_.moving);
  make_boxes();
  fill_tokens();
  due_ = true;
  ready_ = true;
}

void MovingStructure::place(std::span<const double> positions)
{
  require_atoms();
  if (positions.size() != 3 * species_.size())
    throw Error("A structure has " + std::to_string(species_.size()) + " atoms and " + std::to_string(positions.size()) +
                " coordinates.");
  // Structures are given to one network after another. Bits are compared, so that what is no number is the same too.
  if (staged_ && std::equal(positions.begin(), positions.end(), host_.positions, [](double a, double b) {
        return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
      }))
    return;
  std::copy(positions.begin(), positions.end(), host_.positions);
  std::ranges::copy(boxes_, host_.boxes);
  device_.upload(inputs_->data(), host_inputs_->data(), host_.moving);
  placed_on_device();
  boxes_are_there_ = staged_ = true;
}

double *MovingStructure::positions()
{
  staged_ = false;
  return there_.positions;
}

void MovingStructure::placed_on_device()
{
  require_atoms();
  staged_ = false;
  fresh_ = false;
  due_ = due_ || due_later_;
  due_later_ = false;
}

void MovingStructure::require_atoms() const
{
  if (!ready_) throw Error("A structure on a CUDA device has no atoms yet: call set_atoms first.");
}

/// Arrays for so many atoms, and nothing that was made for another number.
void MovingStructure::take_atoms(int atoms, std::size_t structures)
{
  if (inputs_ && atoms == atoms_ && structures == batch_.size()) return;
  search_program_.reset();
  layout_++;
  atoms_ = atoms;
  staged_ = false;
  const Arrays sizes(atoms, structures, nullptr);
  if (!inputs_ || inputs_->bytes() < sizes.all) {
    const Arrays roomy(inputs_ ? with_room(atoms) : atoms, structures, nullptr);
    for (auto *memory : {&inputs_, &host_inputs_}) memory->reset();
    inputs_ = device_.allocate(roomy.all);
    host_inputs_ = device_.allocate_host(roomy.all);
  }
  there_ = Arrays(atoms, structures, inputs_->data());
  host_ = Arrays(atoms, structures, host_inputs_->data());
  // Rows and edges are laid out anew when there is a search.
  lists_.reset();
}

/// The boxes as a search takes them, and what they leave to the atoms of the last one.
void MovingStructure::make_boxes()
{
  boxes_then_.resize(batch_.size());
  boxes_.clear();
  boxes_are_there_ = false;
  fresh_ = false;
  int first_atom = 0, first_cell = 0;
  for (std::size_t k = 0; k < batch_.size(); k++) {
    const SearchBox &then = boxes_then_[k];
    SearchBox &box = boxes_.emplace_back(
        make_search_box(batch_[k].box, cutoff_ + usual_skin, usual_skin, static_cast<int>(batch_[k].atoms)));
    box.first_atom = first_atom;
    box.first_cell = first_cell;
    first_atom += box.atoms;
    first_cell += box.most_cells;
    bool alike = true;
    double taken = 0.0;
    for (std::size_t a = 0; a < 3; a++) {
      alike = alike && box.periodic[a] == then.periodic[a];
      if (!box.periodic[a]) continue;
      double square = 0.0;
      for (std::size_t x = 3 * a; x < 3 * a + 3; x++) {
        const double by = box.vectors[x] - then.vectors[x];
        square += by * by;
      }
      taken += then.images[a] * std::sqrt(square);
    }
    box.allowed = 0.5 * (usual_skin - taken);
    if (!alike || !(box.allowed > 0.5 * least_skin * usual_skin)) due_ = true;
  }
}

void MovingStructure::send_boxes()
{
  std::ranges::copy(boxes_, host_.boxes);
  device_.upload(inputs_->data(), host_inputs_->data(), host_.of_boxes);
  boxes_are_there_ = true;
}

/// Boxes in which images of any structure may lie.
int MovingStructure::most_shifts() const
{
  int most = 1;
  for (const SearchBox &box : boxes_) most = std::max(most, shifts_of(box));
  return most;
}

/// Memory for lists of so many rows and edges.
void MovingStructure::lay_out(const Capacity &capacity)
{
  search_program_.reset();
  layout_++;
  const int shifts = local_ ? std::max(search_.most_shifts, most_shifts()) : 1;
  capacity_ = {};
  // What is too small goes before what is larger comes.
  lists_.reset();
  search_.structures = structures();
  search_.atoms = atoms_;
  search_.most_rows = capacity.rows;
  search_.most_edges = capacity.edges;
  search_.most_cells = boxes_.back().first_cell + boxes_.back().most_cells;
  search_.most_shifts = shifts;
  search_.reach = cutoff_ + usual_skin;
  lists_ = device_.allocate(place_lists(capacity, nullptr));
  place_lists(capacity, lists_->data());
  search_.box = there_.boxes;
  search_.structure = there_.structure;
  search_.atom = there_.positions;
  search_.atom_species = there_.species;
  capacity_ = capacity;
  fill_tokens();
}

std::size_t MovingStructure::place_lists(const Capacity &capacity, std::byte *start)
{
  const std::size_t used = place_inputs(search_.lists, capacity, start);
  return used + place_search(search_, start ? start + used : nullptr);
}

/// What every token is told of its structure, whatever atom it is.
void MovingStructure::fill_tokens()
{
  if (!lists_) return;
  const auto count = static_cast<std::size_t>(atoms_);
  std::vector<int> values(count);
  const auto send = [&](int *place) {
    device_.upload(reinterpret_cast<std::byte *>(place), reinterpret_cast<const std::byte *>(values.data()),
                   count * sizeof(int));
  };
  const auto fill = [&](int *place, const auto &value_of) {
    for (std::size_t k = 0; k < batch_.size(); k++)
      std::fill_n(values.begin() + boxes_[k].first_atom, batch_[k].atoms, value_of(k));
    send(place);
  };
  fill(search_.lists.charge, [&](std::size_t k) { return embeddings_.charge(batch_[k].charge); });
  fill(search_.lists.multiplicity, [&](std::size_t k) { return embeddings_.multiplicity(batch_[k].multiplicity); });
  fill(search_.lists.begin, [&](std::size_t k) { return boxes_[k].first_atom; });
  fill(search_.lists.end, [&](std::size_t k) { return boxes_[k].first_atom + boxes_[k].atoms; });
  const std::vector<std::byte> owned(count, std::byte{1});
  device_.upload(reinterpret_cast<std::byte *>(search_.lists.owned), owned.data(), count);
}

/// A capacity that holds what a search needed.
void MovingStructure::grow(const Counts &needed)
{
  lay_out({atoms_, std::max(capacity_.rows, with_room(needed.rows)), std::max(capacity_.edges, with_room(needed.edges))});
}

void MovingStructure::seek()
{
  for (SearchBox &box : boxes_) box.allowed = 0.5 * usual_skin;
  send_boxes();
  boxes_then_ = boxes_;
  if (!search_program_) {
    const Stage stage{search_kernels_.get(), plan_search(search_, local_), &search_, sizeof search_};
    search_program_ = device_.program({&stage, 1});
  }
  search_program_->run();
  searches_++;
  due_ = due_later_ = false;
  fresh_ = true;
}

/// Room for the lists, of which nothing is known yet.
void MovingStructure::first_layout()
{
  if (!local_) {
    lay_out({atoms_, atoms_, atoms_ * std::max(0, atoms_ - 1)});
    return;
  }
  lay_out({atoms_, atoms_, 0});
  seek();
  if (!host_needed_) host_needed_ = device_.allocate_host(sizeof(Counts));
  device_.download(host_needed_->data(), reinterpret_cast<const std::byte *>(search_.needed), sizeof(Counts));
  Counts needed;
  copy_in(reinterpret_cast<std::byte *>(&needed), host_needed_->data(), sizeof needed);
  grow(needed);
}

void MovingStructure::prepare()
{
  require_atoms();
  if (!lists_ || (local_ && most_shifts() > search_.most_shifts)) {
    first_layout();
    due_ = true;
  }
  if (due_)
    seek();
  else if (!boxes_are_there_)
    send_boxes();
}

bool MovingStructure::holds(const StepReport &report)
{
  if (!capacity_.holds(report.needed)) {
    grow(report.needed);
    due_ = true;
    return false;
  }
  due_later_ = report.moved != 0;
  due_ = report.moved_far && !fresh_;
  return !due_;
}

Stage MovingStructure::move_stage() const
{
  return {search_kernels_.get(), plan_move(search_, local_), &search_, sizeof search_};
}

std::size_t MovingStructure::memory() const
{
  std::size_t bytes = 0;
  for (const auto *memory : {&inputs_, &lists_})
    if (*memory) bytes += (*memory)->bytes();
  return bytes;
}

}  // namespace transip::cuda
