// A TransIP model as an OpenMM force.
#pragma once

#include <openmm/Force.h>
#include <openmm/Vec3.h>

#include <string>
#include <utility>
#include <vector>

namespace TransIPPlugin {

/// The energy of a set of particles, given by an exported TransIP model.
///
/// In OpenMM's units at the border (nm, kJ/mol, kJ/mol/nm); the model file itself is in Angstrom and eV.
///
/// Made in Python without bindings of its own, by transip_md.engines.openmm.create_force, which deserializes the XML that
/// TransIPForceProxy describes.
class __attribute__((visibility("default"))) TransIPForce : public OpenMM::Force {
 public:
  /// file: path of a file made by `transip-md export`; read when a Context is created.
  explicit TransIPForce(const std::string &file);

  const std::string &file() const { return file_; }

  /// SHA-256 of the file in hexadecimal digits; a file with another one is not loaded. Empty: not compared.
  void set_sha256(const std::string &sha256);
  const std::string &sha256() const { return sha256_; }

  /// Add a particle: its index in the System and its atomic number. Particles not added do not feel the force.
  void add_particle(int index, int atomic_number);
  const std::vector<int> &particles() const { return particles_; }
  const std::vector<int> &atomic_numbers() const { return atomic_numbers_; }

  /// Say that two particles belong to one molecule, which barostats then move as a whole.
  void add_bond(int first, int second);
  const std::vector<std::pair<int, int>> &bonds() const { return bonds_; }

  /// Total charge of the particles (e) and their spin multiplicity.
  void set_charge(int charge, int multiplicity);
  int charge() const { return charge_; }
  int multiplicity() const { return multiplicity_; }

  /// "auto", "cpu", "cuda" or "cuda:N": where the model runs, whatever OpenMM's platform is.
  void set_device(const std::string &device);
  const std::string &device() const { return device_; }

  /// CPU threads of one evaluation. 0: of native kernels as many as OpenMM's CPU platform takes (all cores, or what
  /// OPENMM_CPU_THREADS states), of torch its own setting. torch's number is the whole process's.
  void set_threads(int threads);
  int threads() const { return threads_; }

  /// "none", "average N", "average N inversion", "frame" or "random SEED"; docs/symmetry.md.
  void set_symmetry(const std::string &symmetry);
  const std::string &symmetry() const { return symmetry_; }

  /// Position of the next particle in the structure that "frame" superposes on, nm; in the order of add_particle.
  void add_reference(const OpenMM::Vec3 &place);
  const std::vector<OpenMM::Vec3> &reference() const { return reference_; }

  /// True if the particles see each other through the Context's periodic box; for models with a cutoff only.
  void set_periodic(bool periodic);
  bool usesPeriodicBoundaryConditions() const override { return periodic_; }

 protected:
  OpenMM::ForceImpl *createImpl() const override;

 private:
  std::string file_;
  std::string sha256_;
  std::vector<int> particles_;
  std::vector<int> atomic_numbers_;
  std::vector<std::pair<int, int>> bonds_;
  int charge_ = 0;
  int multiplicity_ = 1;
  std::string device_ = "auto";
  int threads_ = 1;
  bool periodic_ = false;
  std::string symmetry_ = "none";
  std::vector<OpenMM::Vec3> reference_;
};

}  // namespace TransIPPlugin
