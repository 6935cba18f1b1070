"""OpenMM-ML: `MLPotential("transip", model="model.pt")`.

OpenMM-ML imports this module when it is imported itself (entry point ``openmmml.potentials``): no torch here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import openmm
import openmm.app
from openmmml.mlpotential import MLPotentialImpl, MLPotentialImplFactory

from transip_md.common.errors import UsageError
from transip_md.engines.openmm.force import create_force
from transip_md.engines.openmm.request import molecule_bonds
from transip_md.modelfile.metadata import read_metadata

#: Arguments of createMixedSystem that its embedding takes, and that come along to the potential.
OF_THE_EMBEDDING = {"mlLongRange", "linkAtomDistances"}
#: Name of the native backend's force.
NATIVE = "TransIPForce"
#: Arguments of create_force that they hand on.
OPTIONS = ("charge", "multiplicity", "backend", "device", "threads", "periodic", "symmetry", "reference")


class TransIPPotentialFactory(MLPotentialImplFactory):
    """Makes the potentials called "transip"."""

    def createImpl(self, name: str, **args: Any) -> TransIPPotential:  # noqa: N802, the name is OpenMM-ML's
        """Make one; `name` is "transip".

        Raises:
            UsageError: `model` is missing, or there are other arguments.
        """
        if set(args) != {"model"}:
            raise UsageError(
                f'MLPotential("{name}") takes one argument, model, a file made by `transip-md export`; got '
                f"{', '.join(sorted(args)) or 'none'}. Give charge, multiplicity and the like to createSystem or "
                "createMixedSystem."
            )
        return TransIPPotential(args["model"])


class TransIPPotential(MLPotentialImpl):
    """A TransIP model file as a potential of OpenMM-ML.

    createSystem and createMixedSystem take the keyword arguments of `transip_md.engines.openmm.create_force` besides:
    ``charge`` and ``multiplicity`` (of the ML region), ``backend``, ``device``, ``threads`` and ``periodic``.
    """

    def __init__(self, model: Path | str) -> None:
        """Remember the model file."""
        self.model = model

    def addForces(  # noqa: N802, the name is OpenMM-ML's
        self,
        topology: openmm.app.Topology,
        system: openmm.System,
        atoms: Iterable[int] | None,
        forceGroup: int,  # noqa: N803
        **args: Any,
    ) -> None:
        """Add the force of `atoms`, all if None, to the System; see `transip_md.engines.openmm.create_force`."""
        options = {name: value for name, value in args.items() if name not in OF_THE_EMBEDDING}
        if unknown := sorted(set(options) - set(OPTIONS)):
            raise UsageError(
                f"createSystem and createMixedSystem take {', '.join(OPTIONS)} for transip; got {', '.join(unknown)}."
            )
        particles = None if atoms is None else list(atoms)
        force = create_force(self.model, topology, particles=particles, **options)
        forces = [force]
        if force.getName() != NATIVE:
            forces.append(self._bonds_without_energy(topology, particles))
        for one in forces:
            one.setForceGroup(forceGroup)
            system.addForce(one)

    def _bonds_without_energy(self, topology: openmm.app.Topology, particles: list[int] | None) -> openmm.Force:
        """States what TransIPForce states by itself: which particles a barostat must move as a whole."""
        chosen = range(topology.getNumAtoms()) if particles is None else particles
        bonds = openmm.CustomBondForce("0")
        bonds.setName("TransIPBonds")
        for first, second in molecule_bonds(topology, chosen, all_to_all=read_metadata(self.model).cutoff is None):
            bonds.addBond(first, second)
        return bonds

    def getMLLongRange(self) -> bool:  # noqa: N802
        """False: a model sees through the box within its cutoff, or not at all."""
        return False
