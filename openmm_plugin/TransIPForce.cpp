#include "TransIPForce.h"

#include "TransIPForceImpl.h"

#include <openmm/OpenMMException.h>
#include <openmm/internal/AssertionUtilities.h>

namespace TransIPPlugin {

using OpenMM::throwException;

TransIPForce::TransIPForce(const std::string &file) : file_(file)
{
  setName("TransIPForce");
}

void TransIPForce::setFile(const std::string &file)
{
  file_ = file;
}

void TransIPForce::setSha256(const std::string &sha256)
{
  sha256_ = sha256;
}

int TransIPForce::addParticle(int particle, int atomicNumber)
{
  particles_.push_back({particle, atomicNumber});
  return getNumParticles() - 1;
}

void TransIPForce::getParticleParameters(int index, int &particle, int &atomicNumber) const
{
  ASSERT_VALID_INDEX(index, particles_);
  particle = particles_[index].particle;
  atomicNumber = particles_[index].atomicNumber;
}

void TransIPForce::setParticleParameters(int index, int particle, int atomicNumber)
{
  ASSERT_VALID_INDEX(index, particles_);
  particles_[index] = {particle, atomicNumber};
}

int TransIPForce::addBond(int particle1, int particle2)
{
  bonds_.emplace_back(particle1, particle2);
  return getNumBonds() - 1;
}

void TransIPForce::getBondParameters(int index, int &particle1, int &particle2) const
{
  ASSERT_VALID_INDEX(index, bonds_);
  particle1 = bonds_[index].first;
  particle2 = bonds_[index].second;
}

void TransIPForce::setBondParameters(int index, int particle1, int particle2)
{
  ASSERT_VALID_INDEX(index, bonds_);
  bonds_[index] = {particle1, particle2};
}

void TransIPForce::setCharge(int charge)
{
  charge_ = charge;
}

void TransIPForce::setMultiplicity(int multiplicity)
{
  multiplicity_ = multiplicity;
}

void TransIPForce::setDevice(const std::string &device)
{
  device_ = device;
}

void TransIPForce::setNumThreads(int threads)
{
  threads_ = threads;
}

void TransIPForce::setSymmetry(const std::string &symmetry)
{
  symmetry_ = symmetry;
}

void TransIPForce::setReferencePositions(const std::vector<OpenMM::Vec3> &positions)
{
  reference_ = positions;
}

void TransIPForce::setUsesPeriodicBoundaryConditions(bool periodic)
{
  periodic_ = periodic;
}

OpenMM::ForceImpl *TransIPForce::createImpl() const
{
  return new TransIPForceImpl(*this);
}

}  // namespace TransIPPlugin
