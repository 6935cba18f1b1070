"""Model files that the C++ tests take. As a program it makes all of them in a folder, for CTest: ``FOLDER``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from made_once import compiler_key
from networks import make_model, small_checkpoint
from toys import bad_model_files, write_toy
from transip_md.exporting.export import export
from transip_md.model.checkpoint import Checkpoint

#: Networks with 4, 8 and 16 heads a vector, in both precisions, with and without each part that a network may lack.
NETWORKS = {
    "local": ("float64", {"heads": 2, "layers": 3, "cutoff": 3.0}),
    "local-float32": ("float32", {"dim": 64, "heads": 4, "feedforward": 48, "cutoff": 3.0}),
    "local-plain-values": ("float64", {"dim": 96, "heads": 6, "rotary_values": False, "cutoff": 3.0}),
    "molecule": ("float64", {"dim": 96, "heads": 12, "feedforward": 40, "radial_bias": False, "layers": 1}),
    "molecule-float32": ("float32", {"dim": 96, "heads": 6, "feedforward": 40}),
    "molecule-coordinates": ("float64", {"coordinates": True}),
}
#: Small models that are written as TorchScript and compiled. One layer: each takes a quarter of a minute to compile.
BOTH_FORMS = {"local": {"layers": 1, "cutoff": 3.0}, "molecule": {"layers": 1}}


def write_networks(folder: Path) -> dict[str, Path]:
    """Files of `NETWORKS` by name."""
    made = {}
    for name, (dtype, shape) in NETWORKS.items():
        model = make_model(radial_functions=8, radial_hidden=8, **shape)
        energies = (model.energy_scale, model.reference_energies)
        model.float()
        model.energy_scale, model.reference_energies = energies
        made[name] = folder / f"{name}.pt"
        export(Checkpoint(model.config, model), made[name], dtype)
    return made


def write_both_forms(folder: Path, name: str, shape: dict) -> dict[str, Path]:
    """A small model as TorchScript and compiled, by the name of the form.

    It is compiled in half the time: without vector instructions, for which torch would ask the compiler one after the
    other, and with glue that is not optimised. The long tests take shipped models as users compile them.
    """
    from torch._inductor import config

    files = {"torchscript": folder / f"{name}.pt", "aoti": folder / f"{name}.pt2"}
    with config.patch({"cpp.vec_isa_ok": False, "aot_inductor.compile_wrapper_opt_level": "O0"}):
        for form, file in files.items():
            export(small_checkpoint(**shape), file, form=form)
    return files


def main(folder: Path) -> None:
    """Make all files, unless they are there and are those of these sources."""
    key = folder / f"made-{compiler_key(BOTH_FORMS)}"
    if key.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "networks").mkdir(parents=True)
    write_toy(folder / "springs.pt")
    bad_model_files(folder / "bad")
    write_networks(folder / "networks")
    for name, shape in BOTH_FORMS.items():
        write_both_forms(folder, name, shape)
    key.touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
