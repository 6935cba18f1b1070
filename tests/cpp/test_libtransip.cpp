// libtransip without any engine. Usage: test_libtransip TOY_MODEL BAD_FOLDER SCRIPTED COMPILED MOLECULE MOLECULE_COMPILED
// The toy is the springs model of tests/toys.py; BAD_FOLDER holds files that must be refused;
// SCRIPTED and COMPILED are one local model with a cutoff of 3 Angstrom in both forms, the last two one all-to-all model.

#include "checks.h"
#include "transip/elements.h"
#include "transip/error.h"
#include "transip/metadata.h"
#include "transip/model.h"
#include "transip/symmetry.h"
#include "transip/text.h"
#include "transip/units.h"
#include "transip/xyz.h"

#include <array>
#include <cmath>
#include <string>
#include <vector>

namespace {

using checks::check, checks::check_close, checks::check_error;

constexpr double stiffness = 2.5;
constexpr double rest_length = 1.7;

void test_elements()
{
  check(transip::atomic_number("H") == 1, "H is 1");
  check(transip::atomic_number("O") == 8, "O is 8");
  check(transip::atomic_number("Og") == 118, "Og is 118");
  check(transip::atomic_number("X") == 0, "X is no element");
  check(transip::atomic_number("c") == 0, "symbols are capitalised");
  check(transip::symbol(6) == "C", "6 is C");
  check(transip::symbol(0) == "Z=0" && transip::symbol(119) == "Z=119", "outside the table");
  check(transip::symbols({1, 6, 8}) == "H C O", "several symbols");
}

void test_text()
{
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"H2O: \xe6\xb0\xb4 \xf0\x9f\x92\xa7", "H2O: \xe6\xb0\xb4 \xf0\x9f\x92\xa7"},
      {"a\nb\x1b[2J", "a?b?[2J"},
      {"\xe2\x80\xae" "abc", "?abc"},
      {"\xf9" "abc", "?abc"},                 // no lead byte
      {"\xc3(", "?("},                       // a lead byte without the rest
      {"\xe6\xb0", "??"},                    // the end is missing
      {"\xc0\xaf", "??"},                    // longer than it need be
      {"\xed\xa0\x80", "???"},               // half of a pair of UTF-16
      {"\xf4\x90\x80\x80", "????"},          // beyond Unicode
  };
  for (const auto &[text, shown] : cases) {
    check(transip::printable(text) == shown, "printable text " + shown);
    check(transip::Error(text).what() == shown, "text of an error " + shown);
  }
}

void test_metadata()
{
  const std::string good = R"({"format": 1, "species": [1, 8], "cutoff": 4.5, "interaction_range": 9.0,
    "dtype": "float32", "units": {"energy": "eV", "length": "angstrom"}, "conservative": true, "charge": [-1, 1],
    "multiplicity": [1, 1], "architecture": {}, "training": {"data": "water"}, "certificate": null,
    "made_with": {}, "source_sha256": "ab"})";
  const transip::Metadata metadata = transip::parse_metadata(good, "m.pt");
  check(metadata.species == std::vector<int>{1, 8}, "species");
  check(metadata.cutoff == 4.5 && metadata.interaction_range == 9.0, "cutoff and range");
  check(metadata.knows(8) && !metadata.knows(6), "knows");
  check(metadata.charge.contains(-1) && !metadata.charge.contains(2), "charge");
  check(metadata.charge.text() == "-1 to 1" && metadata.multiplicity.text() == "1", "ranges as text");
  check(metadata.training_data == "water" && metadata.level_of_theory.empty(), "training");

  check(metadata.certificate.empty(), "no certificate");

  const auto replaced = [&good](const std::string &from, const std::string &to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  const auto parse = [](const std::string &text) { return [text] { transip::parse_metadata(text, "m.pt"); }; };
  const std::string stamped =
      replaced("\"certificate\": null", R"("certificate": {"verdict": "PASS", "summary": "PASS: all"})");
  check(transip::parse_metadata(stamped, "m.pt").certificate == "PASS: all", "certificate");
  check_error(parse("{"), "m.pt", "broken JSON");
  check_error(parse(replaced("\"format\": 1", "\"format\": 3")), "format 3", "another format");
  check_error(parse(replaced("\"eV\"", "\"Ha\"")), "expected eV and angstrom", "another unit");
  check_error(parse(replaced("\"float32\"", "\"bfloat16\"")), "bfloat16", "another dtype");
  check_error(parse(replaced("\"certificate\"", "\"seal\"")), "seal", "unknown key");
  check_error(parse(replaced("[1, 8]", "[]")), "distinct atomic numbers", "no species");
  check_error(parse(replaced("\"species\": [1, 8], ", "")), "species", "missing key");
  check_error(parse(replaced("[-1, 1]", "\"all\"")), "transip.json", "ill-typed key");
}

void test_evaluation(const std::string &file)
{
  transip::Model model(file, "cpu");
  check(model.device() == "cpu", "device");
  check(!model.metadata().cutoff, "no cutoff");
  check_error([&] { model.check_charge(2, 1); }, "charge -1 to 1; got charge 2", "charge");
  check_error([&] { model.check_charge(0, 5); }, "multiplicity 1 to 2; got multiplicity 5", "multiplicity");
  check_error([&] { model.check_species(7); }, "does not know N", "species");

  const std::vector<std::int64_t> species = {6, 1, 8};
  const std::vector<double> positions = {0, 0, 0, 2, 0, 0, 0, 3, 0};
  transip::Request request;
  request.species = species;
  request.positions = positions;
  transip::Result result;
  model.evaluate(request, result);
  const double third = std::sqrt(13.0);
  const auto spring = [](double distance) { return 0.5 * stiffness * std::pow(distance - rest_length, 2); };
  check_close(result.energy, spring(2) + spring(3) + spring(third), 1e-12, "energy");
  check_close(result.energies[0], 0.5 * (spring(2) + spring(3)), 1e-12, "energy of an atom");
  check_close(result.forces[0], stiffness * (2 - rest_length), 1e-12, "force along x");
  check_close(result.forces[1], stiffness * (3 - rest_length), 1e-12, "force along y");
  check_close(result.forces[2], 0, 1e-12, "force along z");

  const std::vector<std::uint8_t> owned = {1, 0, 0};
  request.owned = owned;
  model.evaluate(request, result);
  check_close(result.energy, 0.5 * (spring(2) + spring(3)), 1e-12, "only owned tokens count");
  check(result.energies[1] == 0 && result.energies[2] == 0, "energies of halo tokens are zero");
  request.owned = {};

  const std::vector<double> touching = {0, 0, 0, 0, 0, 0, 0, 3, 0};
  request.positions = touching;
  check_error([&] { model.evaluate(request, result); }, "not finite", "atoms on top of each other");
  const std::vector<double> few = {0, 0, 0};
  request.positions = few;
  check_error([&] { model.evaluate(request, result); }, "positions", "fewer positions than tokens");

  const std::vector<std::int64_t> alone = {6};
  const std::vector<std::int64_t> owner = {0, 0, 0};
  request.species = alone;
  request.positions = positions;
  request.owner = owner;
  check_error([&] { model.evaluate(request, result); }, "evaluate the model: springs take no images", "images, refused by the toy");

  transip::Request nothing;
  model.evaluate(nothing, result);
  check(result.energies.empty() && result.forces.empty() && result.energy == 0, "no atoms");
}

void test_refused_files(const std::string &folder, const std::string &good)
{
  const auto load = [](const std::string &file) { return [file] { transip::Model(file, "cpu"); }; };
  check_error(load(folder + "/missing.pt"), "No such model file", "missing file");
  check_error(load(folder + "/text.pt"), "not a TorchScript file", "text file");
  check_error(load(folder + "/archive.pt"), "not a TorchScript file", "another archive");
  check_error(load(folder + "/bare.pt"), "without transip.json", "no metadata");
  check_error(load(folder + "/future.pt"), "format 3", "future format");
  check_error(load(folder + "/strange.pt"), "novel", "unknown key");
  check_error(load(folder), "No such model file", "a folder");
  check_error([&] { transip::Model(good, "tpu"); }, "device must be", "unknown device");
  check_error([&] { transip::Model(good, "cuda:999"); }, "CUDA devices", "no such CUDA device");
}

/// A compiled file says what the scripted one says, from no token on.
void test_compiled(const std::string &scripted_file, const std::string &compiled_file)
{
  transip::Model scripted(scripted_file, "cpu");
  transip::Model compiled(compiled_file, "auto");
  check(compiled.device() == "cpu", "device of a compiled file");
  check_error([&] { transip::Model(compiled_file, "cuda:0"); }, "compiled for device cpu", "another device");

  // Five places: the tokens first, then images of token 0.
  const std::vector<std::int64_t> species = {8, 1, 6, 1, 1};
  const std::vector<double> positions = {0, 0, 0, 0, 0, 1.1, 1.3, 0.2, 0, -0.3, 1.2, 0.4, 0.5, -1.2, 0.6};
  for (const int tokens : {0, 1, 2, 3}) {
    const int rows = tokens == 0 ? 0 : 5;
    std::vector<std::int64_t> owner(rows), first, neighbours;
    for (int row = 0; row < rows; row++) owner[row] = row < tokens ? row : 0;
    for (const int slots : {0, 1, 4}) {
      first.assign(1, 0);
      neighbours.clear();
      for (int t = 0; t < tokens; t++) {
        for (int s = 0; s < slots; s++) neighbours.push_back(s == t ? 4 : s);
        first.push_back(static_cast<std::int64_t>(neighbours.size()));
      }
      transip::Request request;
      request.species = {species.data(), static_cast<std::size_t>(tokens)};
      request.positions = {positions.data(), static_cast<std::size_t>(3 * rows)};
      request.owner = owner;
      request.first = first;
      request.neighbours = neighbours;
      transip::Result wanted, got;
      scripted.evaluate(request, wanted);
      compiled.evaluate(request, got);
      const std::string what = std::to_string(tokens) + " tokens, " + std::to_string(slots) + " neighbours";
      check_close(got.energy, wanted.energy, 1e-10, "energy, " + what);
      check(got.forces.size() == wanted.forces.size(), "rows, " + what);
      for (std::size_t i = 0; i < wanted.forces.size(); i++)
        check_close(got.forces[i], wanted.forces[i], 1e-10, "force, " + what);
    }
  }
}

void test_symmetry_words()
{
  for (const char *text : {"none", "average 24", "average 2 inversion", "frame", "random 7", "random 7 forced"})
    check(transip::Symmetry::parse(text).text() == text, std::string("symmetry ") + text);
  for (const char *text : {"", "mirror", "average", "average x", "average -2", "average 4 forced", "frame 3", "random",
                           "average 99999999999"})
    check_error([text] { transip::Symmetry::parse(text); }, "symmetry must be none, average N", text);
  const std::vector<std::string> words = {"symmetry", "average", "4", "inversion", "threads", "1"};
  std::size_t next = 1;
  const auto symmetry = transip::Symmetry::parse(words, next);
  check(symmetry.count == 4 && symmetry.inversion && next == 4, "words of a symmetry");
}

/// Rotated by a rotation, row-major.
std::vector<double> rotated(const std::vector<double> &positions, const std::array<double, 9> &rotation)
{
  std::vector<double> found(positions.size());
  for (std::size_t atom = 0; atom < positions.size() / 3; atom++)
    for (int i = 0; i < 3; i++)
      for (int j = 0; j < 3; j++) found[3 * atom + i] += rotation[3 * i + j] * positions[3 * atom + j];
  return found;
}

/// The frame's energy does not change with orientation and its torque is zero; an average's does not in its group.
void test_symmetry(const std::string &file)
{
  const std::vector<std::int64_t> species = {8, 1, 6, 1};
  const std::vector<double> reference = {0, 0, 0, 0.9, 0.3, 0, -0.7, 1.1, 0.2, -1.6, 0.8, 0.7};
  transip::Model model(file, "cpu");
  transip::Result result;
  const auto energy = [&](const std::vector<double> &positions, std::uint64_t step = 0) {
    transip::Request request;
    request.species = species;
    request.positions = positions;
    request.step = step;
    model.evaluate(request, result);
    return result.energy;
  };
  const std::vector<double> bent = rotated({0, 0.1, 0, 0.9, 0.3, 0.1, -0.8, 1.1, 0.2, -1.6, 0.8, 0.5},
                                          transip::numbered_rotation(1, 0));
  const std::array<double, 9> half_rotation = {-1, 0, 0, 0, -1, 0, 0, 0, 1};
  const double alone = energy(bent);
  check(std::abs(energy(rotated(bent, half_rotation)) - alone) > 1e-6, file + ": the model alone has no symmetry");

  model.set_symmetry(transip::Symmetry::parse("average 4"));
  check_close(energy(rotated(bent, half_rotation)), energy(bent), 1e-10, file + ": average in its group");

  model.set_symmetry(transip::Symmetry::parse("random 3"));
  const double drawn = energy(bent, 5);
  model.set_symmetry({});
  check_close(energy(rotated(bent, transip::numbered_rotation(3, 5))), drawn, 1e-10, file + ": random rotation");
  check_close(energy(bent), alone, 1e-12, file + ": no symmetry again");

  model.set_symmetry(transip::Symmetry::parse("frame"));
  check(model.needs_reference(), "the frame needs a reference");
  check_error([&] { energy(bent); }, "no reference structure", "frame without reference");
  model.set_reference(species, reference);
  check(!model.needs_reference(), "the frame has its reference");
  const double wanted = energy(bent);
  for (std::uint64_t step = 1; step < 5; step++) {
    const std::vector<double> positions = rotated(bent, transip::numbered_rotation(2, step));
    check_close(energy(positions), wanted, 1e-9, file + ": frame");
    std::array<double, 3> torque{};
    for (std::size_t atom = 0; atom < species.size(); atom++) {
      const double *r = &positions[3 * atom], *f = &result.forces[3 * atom];
      torque[0] += r[1] * f[2] - r[2] * f[1];
      torque[1] += r[2] * f[0] - r[0] * f[2];
      torque[2] += r[0] * f[1] - r[1] * f[0];
    }
    for (const double component : torque) check_close(component, 0.0, 1e-9, file + ": torque");
  }
  check_error([&] { model.set_reference(species, std::vector<double>{0, 0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0}); },
              "linear or nearly so", "linear reference");
  check_error([&] { energy({0, 0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0}); }, "orientation is not determined", "lost frame");
  check_error([&] { model.set_symmetry(transip::Symmetry::parse("average 5")); }, "rotations; got 5", "no such set");
}

void test_symmetry_that_is_not_offered(const std::string &toy, const std::string &local)
{
  transip::Model old(toy, "cpu"), with_cutoff(local, "cpu");
  check_error([&] { old.set_symmetry(transip::Symmetry::parse("average 2")); }, "Export it anew", "file without");
  check_error([&] { with_cutoff.set_symmetry(transip::Symmetry::parse("frame")); }, "offers symmetry average, random",
              "frame of a local model");
}

void test_xyz(const std::string &folder)
{
  const std::vector<std::int64_t> species = {8, 1};
  const std::vector<double> positions = {0.1, 1.0 / 3.0, -2e-17, 1, 2, 3};
  const std::string file = folder + "/two.xyz";
  transip::write_xyz(file, species, positions, "two atoms");
  const transip::Structure found = transip::read_xyz(file);
  check(found.species == species && found.positions == positions, "XYZ keeps every digit");
  check_error([&] { transip::read_xyz(folder + "/none.xyz"); }, "Cannot read", "no such XYZ file");
  check_error([&] { transip::read_xyz(folder + "/text.pt"); }, "expected an XYZ file", "no XYZ file");
  check_error([&] { transip::write_xyz(folder + "/no/two.xyz", species, positions, ""); }, "Cannot write", "no folder");
}

}  // namespace

int main(int argc, char **argv)
{
  if (argc != 7) return 2;
  return checks::run([argv] {
    test_elements();
    test_text();
    test_metadata();
    test_evaluation(argv[1]);
    test_refused_files(argv[2], argv[1]);
    test_compiled(argv[3], argv[4]);
    test_symmetry_words();
    test_symmetry(argv[5]);
    test_symmetry(argv[6]);
    test_symmetry_that_is_not_offered(argv[1], argv[3]);
    test_xyz(argv[2]);
    check_close(transip::units::kj_per_mol_per_ev, 96.48533212331, 1e-10, "eV in kJ/mol");
  });
}
