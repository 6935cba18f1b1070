"""Model files compiled ahead of time say what TorchScript files say."""

import json
import zipfile

import ase
import numpy as np
import pytest

from networks import crystal
from transip_md.common.errors import EnvironmentFaultError, UsageError
from transip_md.common.tolerances import PARITY
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.exporting import compiling
from transip_md.exporting.examples import random_structures
from transip_md.exporting.export import export
from transip_md.modelfile.metadata import METADATA_NAME, read_metadata
from transip_md.validation.parity import compare_engines

TOLERANCE = PARITY["float64"]


def require_equal(files, atoms):
    scripted, compiled = (ExportedModel(files[form], "cpu") for form in ("torchscript", "aoti"))
    assert compiled.compiled and not scripted.compiled
    wanted, got = (
        model.evaluate(atoms.numbers, atoms.positions, cell=atoms.cell.array, periodic=atoms.pbc)
        for model in (scripted, compiled)
    )
    assert np.abs(got.energies - wanted.energies).max() <= TOLERANCE.energy
    assert np.abs(got.forces - wanted.forces).max() <= TOLERANCE.force
    assert np.abs(got.virial - wanted.virial).max() <= 10 * TOLERANCE.force


def test_molecules_of_every_size(all_to_all_files):
    for atoms in random_structures((1, 6, 8), 9, seed=3):
        atoms.pbc = False
        require_equal(all_to_all_files, atoms)
    require_equal(all_to_all_files, ase.Atoms("OH", [[0, 0, 0], [0, 0, 1]]))


def test_one_atom_of_an_all_to_all_model_is_refused(all_to_all_files):
    with pytest.raises(UsageError, match="two atoms or more"):
        ExportedModel(all_to_all_files["aoti"]).evaluate(np.array([8]), np.zeros((1, 3)))


@pytest.mark.parametrize("seed", [0, 1])
def test_periodic_and_isolated_structures(local_files, seed):
    require_equal(local_files, crystal(seed))
    require_equal(local_files, crystal(seed).repeat((2, 1, 2)))
    for atoms in random_structures((1, 6, 8), 5, seed=seed):
        require_equal(local_files, atoms)


def test_sparse_structures(local_files):
    """Sizes that torch.export would take for constants: one token, no neighbour or one."""
    require_equal(local_files, ase.Atoms("O"))
    require_equal(local_files, ase.Atoms("OH", [[0, 0, 0], [0, 0, 20.0]]))
    require_equal(local_files, ase.Atoms("OH", [[0, 0, 0], [0, 0, 1.0]]))
    # One atom that sees images of itself.
    require_equal(local_files, ase.Atoms("C", cell=[2.5, 2.7, 9.0], pbc=True))
    require_equal(local_files, ase.Atoms("C", cell=[2.5, 9.0, 9.0], pbc=[True, False, False]))


def test_no_atoms(local_files):
    result = ExportedModel(local_files["aoti"]).evaluate(np.empty(0, dtype=int), np.empty((0, 3)))
    assert len(result.energies) == 0 and result.forces.shape == (0, 3)


def test_every_engine_takes_a_compiled_file(all_to_all_files, lammps_plugin, openmm_plugin, tmp_path):
    (atoms,) = list(random_structures((1, 6, 8), 2, seed=5))[1:]
    atoms.pbc = False
    rows, _ = compare_engines(all_to_all_files["aoti"], atoms, ["ase", "lammps", "openmm"], tmp_path)
    assert len(rows) == 4 and all(row.passed for row in rows)


def rewritten(file, folder, **made_with):
    """A copy that says something else of how it was made."""
    changed = folder / "changed.pt2"
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith(METADATA_NAME):
                values = json.loads(data)
                values["made_with"] |= made_with
                data = json.dumps(values)
            target.writestr(name, data)
    return changed


def test_what_a_compiled_file_needs_is_checked_first(local_files, tmp_path):
    file = local_files["aoti"]
    assert read_metadata(file).made_with["device"] == "cpu"
    with pytest.raises(EnvironmentFaultError, match=r"compiled with torch 1\.2\.3"):
        ExportedModel(rewritten(file, tmp_path, torch="1.2.3"))
    with pytest.raises(UsageError, match="compiled for device cuda"):
        ExportedModel(rewritten(file, tmp_path, device="cuda"), "cpu")
    with pytest.raises(UsageError, match="compiled for device cpu; got device 'cuda:0'"):
        ExportedModel(file, "cuda:0")


def test_poorer_cpu_is_told(local_files, tmp_path, monkeypatch):
    file = rewritten(local_files["aoti"], tmp_path, cpu_capability="AVX512")
    monkeypatch.setattr("transip_md.evaluators.compiled.cpu_capability", lambda: "AVX2")
    with pytest.raises(EnvironmentFaultError, match="compiled for CPUs with AVX512, and this one has AVX2"):
        ExportedModel(file)


def test_code_that_is_gone_is_an_error(local_files, tmp_path):
    hollow = tmp_path / "hollow.pt2"
    with zipfile.ZipFile(local_files["aoti"]) as source, zipfile.ZipFile(hollow, "w") as target:
        for name in source.namelist():
            if not name.endswith(".so"):
                target.writestr(name, source.read(name))
    with pytest.raises(UsageError, match="cannot load its compiled code"):
        ExportedModel(hollow)


def test_crash_on_loading_is_an_error(local_files, monkeypatch):
    compiling.check_loading(local_files["aoti"], "cpu")
    monkeypatch.setattr(compiling, "LOADING", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(EnvironmentFaultError, match=r"crashes when it loads .*SIGSEGV.*--format torchscript"):
        compiling.check_loading(local_files["aoti"], "cpu")


def test_names_tell_the_format(ethanol_checkpoint, tmp_path):
    with pytest.raises(UsageError, match=r"-o model\.pt2"):
        export(ethanol_checkpoint, tmp_path / "model.pt", form="aoti")
    with pytest.raises(UsageError, match=r"-o model\.pt`"):
        export(ethanol_checkpoint, tmp_path / "model.pt2")
