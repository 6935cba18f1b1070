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
    const bool plain = force.symmetry() == "none";
    // Plugins that know no symmetry must not read what has one.
    node.setIntProperty("version", plain ? plain_version : symmetric_version);
    if (!plain) {
      node.setStringProperty("symmetry", force.symmetry());
      SerializationNode &places = node.createChildNode("Reference");
      for (const OpenMM::Vec3 &place : force.reference())
        places.createChildNode("Place")
            .setDoubleProperty("x", place[0])
            .setDoubleProperty("y", place[1])
            .setDoubleProperty("z", place[2]);
    }
    node.setStringProperty("file", force.file());
    node.setStringProperty("sha256", force.sha256());
    node.setIntProperty("charge", force.charge());
    node.setIntProperty("multiplicity", force.multiplicity());
    node.setStringProperty("device", force.device());
    node.setIntProperty("threads", force.threads());
    node.setBoolProperty("periodic", force.usesPeriodicBoundaryConditions());
    node.setIntProperty("forceGroup", force.getForceGroup());
    node.setStringProperty("name", force.getName());
    SerializationNode &particles = node.createChildNode("Particles");
    for (std::size_t i = 0; i < force.particles().size(); i++)
      particles.createChildNode("Particle")
          .setIntProperty("index", force.particles()[i])
          .setIntProperty("atomicNumber", force.atomic_numbers()[i]);
    SerializationNode &bonds = node.createChildNode("Bonds");
    for (const auto &[first, second] : force.bonds())
      bonds.createChildNode("Bond").setIntProperty("first", first).setIntProperty("second", second);
  }

  void *deserialize(const SerializationNode &node) const override
  {
    const int version = node.getIntProperty("version");
    if (version != plain_version && version != symmetric_version)
      throw OpenMM::OpenMMException("TransIPForce: XML version " + std::to_string(version) +
                                    " is not known; this plugin reads versions " + std::to_string(plain_version) +
                                    " and " + std::to_string(symmetric_version) + ".");
    auto force = std::make_unique<TransIPForce>(node.getStringProperty("file"));
    force->set_sha256(node.getStringProperty("sha256", ""));
    force->set_charge(node.getIntProperty("charge", 0), node.getIntProperty("multiplicity", 1));
    force->set_device(node.getStringProperty("device", "auto"));
    force->set_threads(node.getIntProperty("threads", force->threads()));
    force->set_symmetry(node.getStringProperty("symmetry", "none"));
    force->set_periodic(node.getBoolProperty("periodic", false));
    force->setForceGroup(node.getIntProperty("forceGroup", 0));
    force->setName(node.getStringProperty("name", force->getName()));
    for (const SerializationNode &particle : node.getChildNode("Particles").getChildren())
      force->add_particle(particle.getIntProperty("index"), particle.getIntProperty("atomicNumber"));
    for (const SerializationNode &child : node.getChildren()) {
      if (child.getName() == "Bonds")
        for (const SerializationNode &bond : child.getChildren())
          force->add_bond(bond.getIntProperty("first"), bond.getIntProperty("second"));
      if (child.getName() == "Reference")
        for (const SerializationNode &place : child.getChildren())
          force->add_reference(
              {place.getDoubleProperty("x"), place.getDoubleProperty("y"), place.getDoubleProperty("z")});
    }
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
