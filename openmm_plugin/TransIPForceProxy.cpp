// XML form of a TransIPForce, which is also how Python makes one:
//
//   <Force type="TransIPForce" version="1" file="model.pt" sha256="" charge="0" multiplicity="1" device="auto"
//          threads="1" periodic="0" forceGroup="0" name="TransIPForce">
//    <Particles>
//     <Particle index="0" atomicNumber="6"/>
//    </Particles>
//    <Bonds>
//     <Bond first="0" second="1"/>
//    </Bonds>
//   </Force>
//
// With a symmetry it is version 2, which has besides symmetry="frame" and <Reference><Place x="0" y="0" z="0"/>...
// </Reference>, nm, in the order of the particles.

#include "TransIPForce.h"

#include <openmm/OpenMMException.h>
#include <openmm/serialization/SerializationNode.h>
#include <openmm/serialization/SerializationProxy.h>

#include <memory>
#include <vector>

namespace TransIPPlugin {

using OpenMM::SerializationNode;

namespace {

constexpr int plain_version = 1, symmetric_version = 2;

class TransIPForceProxy : public OpenMM::SerializationProxy {
 public:
  TransIPForceProxy() : SerializationProxy("TransIPForce") {}

  void serialize(const void *object, SerializationNode &node) const override
  {
    const auto &force = *static_cast<const TransIPForce *>(object);
    const bool plain = force.getSymmetry() == "none";
    // Plugins that know no symmetry must not read what has one.
    node.setIntProperty("version", plain ? plain_version : symmetric_version);
    if (!plain) {
      node.setStringProperty("symmetry", force.getSymmetry());
      SerializationNode &reference = node.createChildNode("Reference");
      for (const OpenMM::Vec3 &position : force.getReferencePositions())
        reference.createChildNode("Place")
            .setDoubleProperty("x", position[0])
            .setDoubleProperty("y", position[1])
            .setDoubleProperty("z", position[2]);
    }
    node.setStringProperty("file", force.getFile());
    node.setStringProperty("sha256", force.getSha256());
    node.setIntProperty("charge", force.getCharge());
    node.setIntProperty("multiplicity", force.getMultiplicity());
    node.setStringProperty("device", force.getDevice());
    node.setIntProperty("threads", force.getNumThreads());
    node.setBoolProperty("periodic", force.usesPeriodicBoundaryConditions());
    node.setIntProperty("forceGroup", force.getForceGroup());
    node.setStringProperty("name", force.getName());
    SerializationNode &particles = node.createChildNode("Particles");
    for (int i = 0; i < force.getNumParticles(); i++) {
      int particle, atomicNumber;
      force.getParticleParameters(i, particle, atomicNumber);
      particles.createChildNode("Particle")
          .setIntProperty("index", particle)
          .setIntProperty("atomicNumber", atomicNumber);
    }
    SerializationNode &bonds = node.createChildNode("Bonds");
    for (int i = 0; i < force.getNumBonds(); i++) {
      int first, second;
      force.getBondParameters(i, first, second);
      bonds.createChildNode("Bond").setIntProperty("first", first).setIntProperty("second", second);
    }
  }

  void *deserialize(const SerializationNode &node) const override
  {
    const int version = node.getIntProperty("version");
    if (version != plain_version && version != symmetric_version)
      throw OpenMM::OpenMMException("TransIPForce: XML version " + std::to_string(version) +
                                    " is not known; this plugin reads versions " + std::to_string(plain_version) +
                                    " and " + std::to_string(symmetric_version) + ".");
    auto force = std::make_unique<TransIPForce>(node.getStringProperty("file"));
    force->setSha256(node.getStringProperty("sha256", ""));
    force->setCharge(node.getIntProperty("charge", 0));
    force->setMultiplicity(node.getIntProperty("multiplicity", 1));
    force->setDevice(node.getStringProperty("device", "auto"));
    force->setNumThreads(node.getIntProperty("threads", force->getNumThreads()));
    force->setSymmetry(node.getStringProperty("symmetry", "none"));
    force->setUsesPeriodicBoundaryConditions(node.getBoolProperty("periodic", false));
    force->setForceGroup(node.getIntProperty("forceGroup", 0));
    force->setName(node.getStringProperty("name", force->getName()));
    for (const SerializationNode &particle : node.getChildNode("Particles").getChildren())
      force->addParticle(particle.getIntProperty("index"), particle.getIntProperty("atomicNumber"));
    std::vector<OpenMM::Vec3> reference;
    for (const SerializationNode &child : node.getChildren()) {
      if (child.getName() == "Bonds")
        for (const SerializationNode &bond : child.getChildren())
          force->addBond(bond.getIntProperty("first"), bond.getIntProperty("second"));
      if (child.getName() == "Reference")
        for (const SerializationNode &position : child.getChildren())
          reference.emplace_back(position.getDoubleProperty("x"), position.getDoubleProperty("y"),
                                 position.getDoubleProperty("z"));
    }
    force->setReferencePositions(reference);
    return force.release();
  }
};

// OpenMM loads plugins with dlopen: registering here needs no call by name.
__attribute__((constructor)) void register_proxy()
{
  OpenMM::SerializationProxy::registerProxy(typeid(TransIPForce), new TransIPForceProxy());
}

}  // namespace

}  // namespace TransIPPlugin
