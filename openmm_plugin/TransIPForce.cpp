#include "TransIPForce.h"

#include "TransIPForceImpl.h"

namespace TransIPPlugin {

TransIPForce::TransIPForce(const std::string &file) : file_(file)
{
  setName("TransIPForce");
}

void TransIPForce::add_particle(int index, int atomic_number)
{
  particles_.push_back(index);
  atomic_numbers_.push_back(atomic_number);
}

void TransIPForce::set_sha256(const std::string &sha256)
{
  sha256_ = sha256;
}

void TransIPForce::add_bond(int first, int second)
{
  bonds_.emplace_back(first, second);
}

void TransIPForce::set_charge(int charge, int multiplicity)
{
  charge_ = charge;
  multiplicity_ = multiplicity;
}

void TransIPForce::set_device(const std::string &device)
{
  device_ = device;
}

void TransIPForce::set_threads(int threads)
{
  threads_ = threads;
}

void TransIPForce::set_periodic(bool periodic)
{
  periodic_ = periodic;
}

void TransIPForce::set_symmetry(const std::string &symmetry)
{
  symmetry_ = symmetry;
}

void TransIPForce::add_reference(const OpenMM::Vec3 &place)
{
  reference_.push_back(place);
}

OpenMM::ForceImpl *TransIPForce::createImpl() const
{
  return new TransIPForceImpl(*this);
}

}  // namespace TransIPPlugin
