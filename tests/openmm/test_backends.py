"""The backends of create_force against the Python reference, and the choice between them."""

from __future__ import annotations

import logging

import ase
import numpy as np
import pytest

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed (pip install openmm)")

import torch
from openmm.app import Element, PDBFile, Topology

from many_structures import many_structures
from networks import crystal
from openmm_contexts import (
    KJ,
    NM,
    beside_argon,
    context_of,
    energy_and_forces,
    energy_of,
    openmm_takes,
    require_parity,
    require_parity_of_some,
    system_of,
)
from toys import springs, write_toy
from transip_md.common.errors import EnvironmentFaultError, UsageError
from transip_md.common.tolerances import PARITY
from transip_md.engines.openmm import create_force, force, native, torch_force
from transip_md.engines.openmm.request import ForceRequest
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.modelfile.metadata import read_metadata
from transip_md.symmetry.request import SymmetryRequest

TOLERANCE = PARITY["float64"]
BACKENDS = ["native", "python"]


@pytest.fixture(params=BACKENDS)
def backend(request) -> str:
    if request.param == "native":
        request.getfixturevalue("openmm_plugin")
    return request.param


def structures() -> list[ase.Atoms]:
    return [atoms for atoms in many_structures() if openmm_takes(atoms)]


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
@pytest.mark.parametrize("form", ["torchscript", "aoti"])
def test_local_model_on_many_structures(local_files, form, backend, platform):
    model = ExportedModel(local_files[form], "cpu")
    everything = structures()
    assert len(everything) == 38
    for atoms in everything:
        made = create_force(local_files[form], atoms.numbers, periodic=bool(atoms.pbc.all()), backend=backend)
        require_parity(context_of(system_of(atoms, made), atoms.positions, platform), model, atoms)


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
@pytest.mark.parametrize("form", ["torchscript", "aoti"])
def test_all_to_all_model(all_to_all_files, form, backend, platform):
    model = ExportedModel(all_to_all_files[form], "cpu")
    for atoms in structures():
        if not atoms.pbc.any():
            made = create_force(all_to_all_files[form], atoms.numbers, backend=backend)
            require_parity(context_of(system_of(atoms, made), atoms.positions, platform), model, atoms)


def test_some_of_the_particles(local_file, backend):
    atoms, chosen = crystal(1), [6, 1, 3, 4]
    made = create_force(local_file, atoms.numbers, particles=chosen, periodic=True, backend=backend)
    require_parity_of_some(
        context_of(system_of(atoms, made), atoms.positions), ExportedModel(local_file), atoms, chosen
    )


@pytest.fixture(scope="module")
def charged_file(tmp_path_factory):
    """An untrained model to which charge and multiplicity make a difference."""
    from networks import make_model
    from transip_md.exporting.export import export
    from transip_md.model.checkpoint import Checkpoint

    model = make_model(charge=(-1, 1), multiplicity=(1, 3))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "charge" in name or "multiplicity" in name:
                parameter.normal_()
    file = tmp_path_factory.mktemp("charged") / "model.pt"
    export(Checkpoint(model.config, model), file)
    return file


def test_charge_and_multiplicity(charged_file, ethanol, backend):
    model, energies = ExportedModel(charged_file), set()
    for state in (
        {"charge": 0, "multiplicity": 1},
        {"charge": -1, "multiplicity": 2},
        {"charge": 1, "multiplicity": 3},
    ):
        made = create_force(charged_file, ethanol.numbers, backend=backend, **state)
        context = context_of(system_of(ethanol, made), ethanol.positions)
        require_parity(context, model, ethanol, **state)
        energies.add(round(energy_and_forces(context)[0], 4))
    assert len(energies) == 3


def test_clone_gives_the_same_numbers(local_file, backend):
    atoms = crystal(3)
    made = create_force(local_file, atoms.numbers, periodic=True, backend=backend)
    made.setForceGroup(4)
    system = system_of(atoms, made)
    clone = openmm.XmlSerializer.clone(system)
    assert clone.getForce(0).getForceGroup() == 4
    assert clone.usesPeriodicBoundaryConditions()
    first, second = (energy_and_forces(context_of(one, atoms.positions)) for one in (system, clone))
    assert first[0] == second[0] and np.array_equal(first[1], second[1])


def test_file_that_has_moved_or_changed(toy_file, tmp_path, monkeypatch, ethanol, backend):
    """The force keeps the file's path and SHA-256: moved, it is found again by name; overwritten, it is refused."""
    model, elsewhere = tmp_path / "model.pt", tmp_path / "elsewhere"
    model.write_bytes(toy_file.read_bytes())
    text = openmm.XmlSerializer.serialize(system_of(ethanol, create_force(model, ethanol.numbers, backend=backend)))

    def energy():
        return energy_and_forces(context_of(openmm.XmlSerializer.deserialize(text), ethanol.positions))[0]

    wanted = pytest.approx(springs(ethanol.positions)[0].sum(), abs=1e-9)
    assert energy() == wanted
    elsewhere.mkdir()
    model.rename(elsewhere / "model.pt")
    with pytest.raises(openmm.OpenMMException, match=r"No such model file: .*model.pt"):
        energy()
    monkeypatch.setenv("TRANSIP_MD_MODELS", f"{tmp_path / 'nowhere'}:{elsewhere}")
    assert energy() == wanted
    monkeypatch.delenv("TRANSIP_MD_MODELS")
    monkeypatch.chdir(elsewhere)
    assert energy() == wanted
    monkeypatch.chdir(tmp_path)
    write_toy(model, charge=(0, 0))
    with pytest.raises(openmm.OpenMMException, match="contents have changed"):
        energy()


def test_atoms_on_top_of_each_other(toy_file, backend):
    atoms = ase.Atoms("CC", np.zeros((2, 3)))
    context = context_of(system_of(atoms, create_force(toy_file, [6, 6], backend=backend)), atoms.positions)
    with pytest.raises(openmm.OpenMMException, match=r"not finite \(NaN or infinity\)"):
        context.getState(energy=True)


def boxed_topology(atoms: ase.Atoms) -> Topology:
    """A topology without bonds, with the atoms' cell as its box."""
    topology = Topology()
    residue = topology.addResidue("ALL", topology.addChain())
    for symbol in atoms.symbols:
        topology.addAtom(symbol, Element.getBySymbol(symbol), residue)
    topology.setPeriodicBoxVectors(atoms.cell.array / NM * openmm.unit.nanometer)
    return topology


def test_molecule_among_others_that_the_box_cuts_in_two(toy_file, ethanol, backend):
    """An all-to-all model takes places as they are: a wrong energy would come out."""
    atoms, around = beside_argon(ethanol)
    system = system_of(
        atoms, create_force(toy_file, boxed_topology(atoms), particles=range(9), backend=backend), around
    )
    wanted = springs(ethanol.positions)[0].sum()
    for shift in ([0, 0, 0], [19.5, -40.2, 7.7]):
        assert energy_of(context_of(system, atoms.positions + shift)) == pytest.approx(wanted, abs=1e-8)
    atoms.wrap()
    words = {"native": r"particles \d and \d are .* through the periodic box", "python": "cuts the molecule in two"}
    with pytest.raises(openmm.OpenMMException, match=words[backend]):
        energy_of(context_of(system, atoms.positions))


def test_what_every_backend_refuses(toy_file, local_file, ethanol, repository, backend):
    pdb = PDBFile(str(repository / "examples/openmm/ethanol.pdb"))
    for words, arguments in (
        ("does not know N", {"topology_or_numbers": [7]}),
        ("holds index 9", {"particles": [9]}),
        ("holds index 3 twice", {"particles": [3, 3]}),
        ("has no particles", {"particles": []}),
        ("knows charge", {"charge": 4}),
        ("knows multiplicity", {"multiplicity": 5}),
        ("device must be", {"device": "tpu"}),
        ("attends all-to-all", {"periodic": True}),
        ("charge must be an integer, got 0.5", {"charge": 0.5}),
        ("multiplicity must be an integer, got 1.0", {"multiplicity": 1.0}),
        ("threads must be 0 or more, got -1", {"threads": -1}),
        ("particles must be a list of indices", {"particles": [1.5]}),
        ("particles must be a list of indices", {"particles": 3}),
        (r"such as pdb.topology, or a list .* got list", {"topology_or_numbers": ["C", "O"]}),
        (r"such as pdb.topology, or a list .* got PDBFile", {"topology_or_numbers": pdb}),
    ):
        with pytest.raises(UsageError, match=words):
            create_force(toy_file, **{"topology_or_numbers": ethanol.numbers, "backend": backend, **arguments})
    with pytest.raises(UsageError, match="backend must be auto, native, torchforce, python; got 'cuda'"):
        create_force(local_file, [6], backend="cuda")


# ---- auto --------------------------------------------------------------------------------------------------------


def test_auto_is_native_where_it_is_built(openmm_plugin, toy_file, caplog):
    with caplog.at_level(logging.INFO, "transip_md.openmm"):
        made = create_force(toy_file, [6])
    assert 'type="TransIPForce"' in openmm.XmlSerializer.serialize(made)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "by the backend native" in caplog.text


def test_auto_says_why_it_takes_another(toy_file, caplog, monkeypatch):
    def missing(*arguments):
        raise EnvironmentFaultError("it is not built.")

    monkeypatch.setattr(native, "make_force", missing)
    monkeypatch.setattr(torch_force, "import_openmmtorch", missing)
    made = create_force(toy_file, [6])
    assert isinstance(made, openmm.PythonForce)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().endswith(
        "by the backend python. not native: it is not built. not torchforce: it is not built."
    )
    monkeypatch.delattr(openmm, "PythonForce")
    with pytest.raises(EnvironmentFaultError, match=r"No OpenMM backend .* not native.*not torchforce.*no PythonForce"):
        create_force(toy_file, [6])
    with pytest.raises(EnvironmentFaultError, match="it is not built"):
        create_force(toy_file, [6], backend="native")


def test_order_of_auto():
    assert list(force.BACKENDS) == ["native", "torchforce", "python"]


# ---- the module that TorchForce runs, without TorchForce -----------------------------------------------------------


def request_of(file, atoms: ase.Atoms, **changes) -> ForceRequest:
    count = len(atoms)
    values = {
        "model": file,
        "metadata": read_metadata(file),
        "particles": tuple(range(count)),
        "numbers": tuple(int(number) for number in atoms.numbers),
        "everything": True,
        "bonds": (),
        "charge": 0,
        "multiplicity": 1,
        "device": "auto",
        "threads": 1,
        "periodic": bool(atoms.pbc.all()),
        "among_images": False,
        "symmetry": SymmetryRequest.parse("none"),
        "reference": (),
    }
    return ForceRequest(**{**values, **changes})


def run_module(file, atoms: ase.Atoms) -> tuple[float, np.ndarray]:
    with torch.jit.optimized_execution(False):
        module = torch_force.openmm_module(request_of(file, atoms))
        inputs = [torch.from_numpy(atoms.positions / NM).requires_grad_(True)]
        if atoms.pbc.all():
            inputs.append(torch.from_numpy(atoms.cell.array / NM))
        energy, forces = module(*inputs)
    return float(energy) / KJ, forces.numpy() / (KJ * NM)


def test_torchforce_module_on_many_structures(local_file):
    model = ExportedModel(local_file, "cpu")
    for atoms in structures():
        energy, forces = run_module(local_file, atoms)
        wanted = model.evaluate(atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc)
        assert abs(energy - wanted.energies.sum()) <= TOLERANCE.energy
        assert np.abs(forces - wanted.forces).max() <= TOLERANCE.force


def test_torchforce_module_of_a_molecule_among_images(toy_file, ethanol):
    ethanol.set_cell([20.0] * 3)
    with torch.jit.optimized_execution(False):
        module = torch_force.openmm_module(request_of(toy_file, ethanol, among_images=True))

        def energy() -> float:
            places = torch.from_numpy(ethanol.positions / NM).requires_grad_(True)
            return float(module(places, torch.from_numpy(ethanol.cell.array / NM))[0]) / KJ

        assert energy() == pytest.approx(springs(ethanol.positions)[0].sum(), abs=1e-9)
        ethanol.wrap(pbc=True)
        with pytest.raises(torch.jit.Error, match="cuts the molecule in two"):
            energy()


def test_torchforce_refuses(local_files, ethanol):
    with pytest.raises(UsageError, match="is compiled, and TorchForce runs TorchScript only"):
        torch_force.openmm_module(request_of(local_files["aoti"], ethanol))
    with pytest.raises(UsageError, match="got device 'cpu'"):
        torch_force.openmm_module(request_of(local_files["torchscript"], ethanol, device="cpu"))
