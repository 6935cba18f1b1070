// Energy and forces of a molecule by a model file, and some steps of dynamics, in C++ with OpenMM.
// Usage: energy model.pt structure.xyz [platform]
#include <OpenMM.h>
#include <TransIPForce.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace {

struct Element {
  int number;
  double mass;  // amu
};

const std::map<std::string, Element> elements = {{"H", {1, 1.008}}, {"C", {6, 12.011}}, {"N", {7, 14.007}}, {"O", {8, 15.999}}};

}  // namespace

int main(int argc, char **argv)
{
  if (argc != 3 && argc != 4) {
    std::cerr << "usage: " << argv[0] << " model.pt structure.xyz [platform]\n";
    return 2;
  }
  try {
    OpenMM::System system;
    auto *force = new TransIPPlugin::TransIPForce(argv[1]);
    std::vector<OpenMM::Vec3> positions;

    std::ifstream file(argv[2]);
    int atoms = 0;
    file >> atoms;
    // The rest of the first line, and the comment.
    for (int line = 0; line < 2; line++) file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    for (int i = 0; i < atoms; i++) {
      std::string symbol;
      double x, y, z;  // Angstrom
      file >> symbol >> x >> y >> z;
      file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
      const Element &element = elements.at(symbol);
      force->addParticle(system.addParticle(element.mass), element.number);
      positions.push_back(OpenMM::Vec3(x, y, z) * OpenMM::NmPerAngstrom);
    }
    system.addForce(force);  // the System owns it from now on

    OpenMM::VerletIntegrator integrator(0.5 * OpenMM::PsPerFs);
    OpenMM::Context context(system, integrator, OpenMM::Platform::getPlatform(argc == 4 ? argv[3] : "Reference"));
    context.setPositions(positions);
    const OpenMM::State start = context.getState(OpenMM::State::Energy | OpenMM::State::Forces);
    std::printf("energy %.10f kJ/mol\n", start.getPotentialEnergy());
    for (const OpenMM::Vec3 &f : start.getForces()) std::printf("%15.8f %15.8f %15.8f\n", f[0], f[1], f[2]);
    integrator.step(20);
    const OpenMM::State end = context.getState(OpenMM::State::Energy);
    std::printf("after 10 fs: total energy %.6f kJ/mol\n", end.getPotentialEnergy() + end.getKineticEnergy());
  } catch (const std::exception &problem) {
    std::cerr << problem.what() << '\n';
    return 2;
  }
  return 0;
}
