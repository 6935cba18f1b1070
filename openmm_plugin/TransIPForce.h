// A TransIP model as an OpenMM force.
#pragma once

#include <openmm/Force.h>
#include <openmm/Vec3.h>

#include <string>
#include <utility>
#include <vector>

// What programs may use of the plugin's library; its other symbols are hidden.
#define OPENMM_EXPORT_TRANSIP __attribute__((visibility("default")))

namespace TransIPPlugin {

/**
 * This class computes the energy of a set of particles with an exported TransIP model.
 *
 * Create a TransIPForce with the path of a file made by `transip-md export`, call addParticle() for each particle that
 * the model describes, and add the force to a System. Particles that are not added do not feel the force. The file is
 * read when a Context is created: what it does not allow (an element, a charge, a device that is not there) is an
 * OpenMMException then.
 *
 * Lengths are in nm and energies in kJ/mol, as everywhere in OpenMM; the model file itself is in Angstrom and eV.
 *
 * Python scripts make a TransIPForce by transip_md.engines.openmm.create_force, without bindings of its own.
 */
class OPENMM_EXPORT_TRANSIP TransIPForce : public OpenMM::Force {
 public:
  /**
   * Create a TransIPForce.
   *
   * @param file    the path of a model file made by `transip-md export`
   */
  explicit TransIPForce(const std::string &file);
  /**
   * Get the path of the model file.
   */
  const std::string &getFile() const { return file_; }
  /**
   * Set the path of the model file.
   */
  void setFile(const std::string &file);
  /**
   * Get the SHA-256 that the model file must have, in hexadecimal digits. If this is empty (the default), any file at
   * the path is taken.
   */
  const std::string &getSha256() const { return sha256_; }
  /**
   * Set the SHA-256 that the model file must have, 64 hexadecimal digits, or empty to take any file at the path. With
   * it, a file that has moved is looked for by its name in the folders of the environment variable TRANSIP_MD_MODELS
   * and in the current folder.
   */
  void setSha256(const std::string &sha256);
  /**
   * Get the number of particles that the model describes.
   */
  int getNumParticles() const { return static_cast<int>(particles_.size()); }
  /**
   * Add a particle to the ones that the model describes.
   *
   * @param particle        the index of the particle in the System
   * @param atomicNumber    its atomic number
   * @return the index of the particle within this force
   */
  int addParticle(int particle, int atomicNumber);
  /**
   * Get a particle that the model describes.
   *
   * @param index                the index of the particle within this force
   * @param[out] particle        the index of the particle in the System
   * @param[out] atomicNumber    its atomic number
   */
  void getParticleParameters(int index, int &particle, int &atomicNumber) const;
  /**
   * Set a particle that the model describes. A Context that exists already keeps the particles it was created with.
   *
   * @param index           the index of the particle within this force
   * @param particle        the index of the particle in the System
   * @param atomicNumber    its atomic number
   */
  void setParticleParameters(int index, int particle, int atomicNumber);
  /**
   * Get the number of bonds.
   */
  int getNumBonds() const { return static_cast<int>(bonds_.size()); }
  /**
   * Add a bond. It has no energy: it states that two particles belong to one molecule, which barostats then move as a
   * whole.
   *
   * @param particle1    the index in the System of one particle of this force
   * @param particle2    the index in the System of another
   * @return the index of the bond
   */
  int addBond(int particle1, int particle2);
  /**
   * Get the particles of a bond.
   *
   * @param index             the index of the bond
   * @param[out] particle1    the index in the System of the one particle
   * @param[out] particle2    the index in the System of the other
   */
  void getBondParameters(int index, int &particle1, int &particle2) const;
  /**
   * Set the particles of a bond.
   *
   * @param index        the index of the bond
   * @param particle1    the index in the System of one particle of this force
   * @param particle2    the index in the System of another
   */
  void setBondParameters(int index, int particle1, int particle2);
  /**
   * Get the total charge of the particles, measured in units of the proton charge. The default is 0.
   */
  int getCharge() const { return charge_; }
  /**
   * Set the total charge of the particles, measured in units of the proton charge.
   */
  void setCharge(int charge);
  /**
   * Get the spin multiplicity of the particles. The default is 1.
   */
  int getMultiplicity() const { return multiplicity_; }
  /**
   * Set the spin multiplicity of the particles.
   */
  void setMultiplicity(int multiplicity);
  /**
   * Get where the model runs, whatever the Platform is. The default is "auto".
   */
  const std::string &getDevice() const { return device_; }
  /**
   * Set where the model runs, whatever the Platform is: "auto" (CUDA if torch sees a device), "cpu", "cuda" or
   * "cuda:N".
   */
  void setDevice(const std::string &device);
  /**
   * Get the number of CPU threads of one evaluation. The default is 1.
   */
  int getNumThreads() const { return threads_; }
  /**
   * Set the number of CPU threads of one evaluation. With 0, native kernels take as many as OpenMM's CPU Platform (all
   * cores, or what OPENMM_CPU_THREADS states), and torch its own setting. torch's number is the whole process's.
   */
  void setNumThreads(int threads);
  /**
   * Get the symmetry that is imposed on the model. The default is "none".
   */
  const std::string &getSymmetry() const { return symmetry_; }
  /**
   * Set the symmetry that is imposed on the model: "none", "average N", "average N inversion", "frame" (which needs
   * setReferencePositions()) or "random SEED" (which needs a thermostat); docs/symmetry.md.
   */
  void setSymmetry(const std::string &symmetry);
  /**
   * Get the structure that the symmetry "frame" superposes the particles on, measured in nm, one position for each
   * particle of this force in the order of addParticle().
   */
  const std::vector<OpenMM::Vec3> &getReferencePositions() const { return reference_; }
  /**
   * Set the structure that the symmetry "frame" superposes the particles on.
   *
   * @param positions    one position for each particle of this force, in the order of addParticle(), measured in nm
   */
  void setReferencePositions(const std::vector<OpenMM::Vec3> &positions);
  /**
   * Set whether the particles see each other through the Context's periodic box. Only models with a cutoff can. The
   * default is false.
   */
  void setUsesPeriodicBoundaryConditions(bool periodic);
  /**
   * Get whether the particles see each other through the Context's periodic box.
   */
  bool usesPeriodicBoundaryConditions() const override { return periodic_; }

 protected:
  OpenMM::ForceImpl *createImpl() const override;

 private:
  struct Particle {
    int particle, atomicNumber;
  };

  std::string file_;
  std::string sha256_;
  std::vector<Particle> particles_;
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
