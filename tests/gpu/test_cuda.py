"""The same numbers on CUDA as on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from transip_md.engines import ENGINE_NAMES, make_engine
from transip_md.engines.base import Job
from transip_md.runtime import ExportedModel
from transip_md.tolerances import PARITY

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
    pytest.mark.usefixtures("lammps_plugin", "openmm_plugin"),
]


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_cuda_against_cpu(ethanol_files, dtype, ethanol, tmp_path, engine):
    energies, forces, _ = ExportedModel(ethanol_files[dtype], device="cpu").evaluate(ethanol.numbers, ethanol.positions)
    point = make_engine(engine).single_point(Job(ethanol_files[dtype], ethanol, tmp_path, device="cuda"))
    assert abs(point.energy - energies.sum()) <= PARITY[dtype].energy
    assert np.abs(point.forces - forces).max() <= PARITY[dtype].force
