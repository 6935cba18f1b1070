"""The same numbers on CUDA as on the CPU, energy conserved there, and memory that neither grows nor stays behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch

from transip_md.common.thermal import thermal_velocities
from transip_md.common.tolerances import DRIFT, PARITY
from transip_md.engines import ENGINE_NAMES, make_engine
from transip_md.engines.base import Dynamics, Job
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.exporting.export import export

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
    pytest.mark.usefixtures("lammps_plugin", "openmm_plugin"),
]

#: Largest relative growth of memory in a run: what one per cent of a few hundred megabytes leaves to fragmentation.
GROWTH = 0.01
MEMORY_RUN = """
import json, sys
import torch
from lammps import lammps

def used():
    free, total = torch.cuda.mem_get_info()
    return total - free

before = used()
lmp = lammps(cmdargs=["-log", "none", "-screen", "none"])
lmp.commands_string(open(sys.argv[1]).read())
lmp.command("run 200")
warm = used()
lmp.command("run 2000")
late = used()
lmp.command("clear")
lmp.close()
print(json.dumps({"before": before, "warm": warm, "late": late, "after": used()}))
"""


@pytest.fixture(scope="session")
def water_files(tmp_path_factory):
    """The shipped local model, by dtype."""
    import transip_md

    folder = tmp_path_factory.mktemp("water")
    for dtype in ("float64", "float32"):
        export(transip_md.pretrained("water"), folder / f"water-{dtype}.pt", dtype)
    return {dtype: folder / f"water-{dtype}.pt" for dtype in ("float64", "float32")}


@pytest.fixture(scope="session")
def water_box(repository):
    """The 192 atoms of the LAMMPS example."""
    return ase.io.read(
        repository / "examples" / "lammps" / "water.data",
        format="lammps-data", Z_of_type={1: 1, 2: 8}, atom_style="atomic",
    )  # fmt: skip


@pytest.fixture
def ethanol_case(ethanol_files, dtype, ethanol):
    return ethanol_files[dtype], ethanol


@pytest.fixture
def water_case(water_files, dtype, water_box):
    return water_files[dtype], water_box


@pytest.mark.parametrize("engine", ENGINE_NAMES)
@pytest.mark.parametrize("case", ["ethanol_case", "water_case"])
def test_cuda_against_cpu(request, case, dtype, tmp_path, engine, measured):
    file, atoms = request.getfixturevalue(case)
    make = make_engine(engine)
    points = {}
    for device in ("cpu", "cuda"):
        folder = tmp_path / device
        folder.mkdir()
        points[device] = make.single_point(Job(file, atoms, folder, device=device))
    name = f"{engine}, {len(atoms)} atoms, {dtype}: CUDA against CPU"
    energy = abs(points["cuda"].energy - points["cpu"].energy) / len(atoms)
    force = np.abs(points["cuda"].forces - points["cpu"].forces).max()
    measured(f"{name}, energy", energy, PARITY[dtype].energy, "eV/atom")
    measured(f"{name}, force", force, PARITY[dtype].force, "eV/Angstrom")


@pytest.fixture(scope="session")
def compiled_file(tmp_path_factory, ethanol_checkpoint):
    """Ethanol in float64, compiled for CUDA."""
    file = tmp_path_factory.mktemp("compiled") / "ethanol.pt2"
    export(ethanol_checkpoint, file, "float64", form="aoti", device="cuda")
    return file


def test_compiled_for_cuda(tmp_path, compiled_file, ethanol, ethanol_file, measured):
    energies, forces, _ = ExportedModel(ethanol_file, device="cpu").evaluate(ethanol.numbers, ethanol.positions)
    point = make_engine("lammps").single_point(Job(compiled_file, ethanol, tmp_path, device="cuda"))
    measured("compiled for CUDA, energy", abs(point.energy - energies.sum()), PARITY["float64"].energy, "eV")
    measured("compiled for CUDA, force", np.abs(point.forces - forces).max(), PARITY["float64"].force, "eV/Angstrom")


@pytest.mark.parametrize("form", ["torchscript", "aoti"])
def test_graph(request, tmp_path, ethanol, form, monkeypatch, measured):
    """Evaluations replayed as one graph give what kernels launched one by one give, step by step."""
    file = request.getfixturevalue("compiled_file" if form == "aoti" else "ethanol_file")
    run = Dynamics(timestep=0.5, steps=50, every=1, velocities=thermal_velocities(ethanol, 300.0, 1))
    totals = {}
    for kernels in ("auto", "torch"):
        monkeypatch.setenv("TRANSIP_KERNELS", kernels)
        folder = tmp_path / kernels
        folder.mkdir()
        record = make_engine("lammps").dynamics(Job(file, ethanol, folder, "cuda"), run, lambda _: None)
        totals[kernels] = np.asarray(record.potential)
    apart = np.abs(totals["auto"] - totals["torch"]).max()
    measured(f"{form}: graph against launches, 50 steps, energy", apart, 50 * PARITY["float64"].energy, "eV")


def test_openmm_cuda_platform(ethanol_file, ethanol, measured):
    """OpenMM's own CUDA platform in mixed precision: positions pass through float32."""
    import openmm
    from openmm import unit

    from transip_md.engines.openmm import create_force

    try:
        platform = openmm.Platform.getPlatformByName("CUDA")
    except openmm.OpenMMException as error:
        pytest.skip(f"OpenMM has no CUDA platform here: {error}")
    forces = {}
    for name, properties in (("Reference", {}), ("CUDA", {"Precision": "mixed"})):
        system = openmm.System()
        for mass in ethanol.get_masses():
            system.addParticle(mass)
        system.addForce(create_force(ethanol_file, ethanol.numbers.tolist(), device="cuda"))
        place = platform if name == "CUDA" else openmm.Platform.getPlatformByName(name)
        context = openmm.Context(system, openmm.VerletIntegrator(0.0005), place, properties)
        context.setPositions(ethanol.positions / 10.0)
        state = context.getState(getForces=True)
        in_openmm = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.angstrom)
        forces[name] = in_openmm / 96.48533212331
    difference = np.abs(forces["CUDA"] - forces["Reference"]).max()
    measured("OpenMM's CUDA platform, mixed, force", difference, PARITY["float32"].force, "eV/Angstrom")


@pytest.mark.parametrize("engine", ["lammps", "openmm"])
def test_energy_is_conserved(tmp_path, ethanol_file, ethanol, engine, measured):
    run = Dynamics(timestep=0.5, steps=6000, every=5, velocities=thermal_velocities(ethanol, 300.0, 1))
    record = make_engine(engine).dynamics(Job(ethanol_file, ethanol, tmp_path, "cuda"), run, lambda _: None)
    slope = np.polyfit(record.time, record.total, 1)[0] * 1000.0 / len(ethanol)
    measured(f"{engine}, NVE of ethanol over 3 ps, drift", abs(slope), DRIFT, "meV/atom/ps")


def test_memory(tmp_path, water_files, repository, measured):
    """What a run takes of the device's memory stays the same, and is given back."""
    deck = tmp_path / "in.memory"
    deck.write_text(
        "units metal\natom_style atomic\n"
        f"read_data {repository / 'examples' / 'lammps' / 'water.data'}\n"
        f"pair_style transip {water_files['float32']} device cuda\npair_coeff * * H O\n"
        "velocity all create 300 1\nfix 1 all nve\ntimestep 0.0005\nthermo 1000\n"
    )
    # The wheel's Python module leaves it to its user that MPI is found.
    environment = {**os.environ, "LD_LIBRARY_PATH": str(Path(sys.prefix) / "lib")}
    command = [sys.executable, "-c", MEMORY_RUN, str(deck)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    used = json.loads(result.stdout.splitlines()[-1])
    taken = used["warm"] - used["before"]
    assert taken > 0
    measured("memory after 2,000 more steps, growth", (used["late"] - used["warm"]) / taken, GROWTH, "of the run's")
    measured("memory after `clear`, left", (used["after"] - used["before"]) / 1e6, 700.0, "MB (context)")
