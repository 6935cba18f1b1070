"""transip-md: trained TransIP interatomic potentials in LAMMPS, OpenMM and ASE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from transip_md.common import former_names
from transip_md.common.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import ase

    from transip_md.dynamics.run import NveResult
    from transip_md.engines.ase import TransIPCalculator
    from transip_md.evaluators.evaluation import Model
    from transip_md.model.checkpoint import Checkpoint
    from transip_md.modelfile.metadata import Metadata
    from transip_md.validation.findings import Validation

__version__ = VERSION
__all__ = [
    "TransIPCalculator",
    "__version__",
    "export",
    "load_model",
    "pretrained",
    "run_dynamics",
    "validate",
]

former_names.install()


def load_model(path: Path | str, *, device: str = "auto", kernels: str = "auto", threads: int = 0) -> Model:
    """Load an exported model and compare the structure that it brings with its numbers.

    Examples:
        >>> model = transip_md.load_model("ethanol.pt")
        >>> energies, forces, virial = model.evaluate(numbers, positions)

    Args:
        path: a file made by ``transip-md export``.
        device: "auto", "cpu", "cuda" or "cuda:N".
        kernels: "native": native kernels, without torch, on the CPU, or with a CUDA device on that; without a driver a
            warning reports that the CPU evaluates. No GPU has run the CUDA kernels yet. "torch": TorchScript or
            compiled code. "auto": the kernels of the CPU where they are built (`transip-md build library`) and know the
            network; torch on a CUDA device.
        threads: CPU threads of one evaluation by the kernels; the numbers do not depend on it. 0: OMP_NUM_THREADS, or
            all cores; small molecules stay on one.

    Returns:
        The model: ``evaluate`` takes atomic numbers [N], positions [N, 3] in Angstrom, and charge, multiplicity, cell,
        periodic; it gives energies (eV), forces (eV/Angstrom) and virial (eV). Where the native CUDA kernels run,
        ``evaluate_on_device`` does the same with arrays on the device (`LibraryModel.evaluate_on_device`).

    Raises:
        transip_md.common.errors.UsageError: the file cannot be used, no such device or kernels.
        transip_md.common.errors.CheckFailedError: it does not give the numbers here that it gave where it was exported.
        transip_md.common.errors.EnvironmentFaultError: a device that is not there, or native kernels that are not
            built.
    """
    from transip_md.evaluators.choose import load_evaluator

    model = load_evaluator(path, device=device, kernels=kernels, threads=threads)
    model.check_reference()
    return model


def pretrained(name: str) -> Checkpoint:
    """Load a model that ships with the package.

    Args:
        name: one of ``transip_md.model.checkpoint.shipped_names()``, for example ``"ethanol"``.

    Returns:
        The checkpoint: ``.model`` (a torch module), ``.config`` and ``.training``.

    Raises:
        transip_md.common.errors.UsageError: no shipped model has that name.
    """
    from transip_md.model.checkpoint import load_shipped

    return load_shipped(name)


def export(
    checkpoint: Path | str,
    path: Path | str,
    *,
    dtype: Literal["float32", "float64"] = "float64",
    form: Literal["torchscript", "aoti"] = "torchscript",
    device: Literal["cpu", "cuda"] = "cpu",
) -> Metadata:
    """Write a self-describing model file, read it back and compare it with the network.

    Examples:
        >>> transip_md.export("ethanol", "ethanol.pt")

    Args:
        checkpoint: a file written by ``transip-md train``, or the name of a shipped model.
        path: file to write, by convention ``*.pt``, compiled ``*.pt2``.
        dtype: dtype of the weights; positions are float64 always.
        form: "torchscript" runs wherever torch does; "aoti" is compiled for this machine.
        device: what a compiled file is for.

    Returns:
        The file's metadata.

    Raises:
        transip_md.common.errors.UsageError: no such checkpoint, or a file name of the other form.
        transip_md.common.errors.CheckFailedError: the file read back does not give the network's energies and forces.
        transip_md.common.errors.EnvironmentFaultError: the model cannot be compiled here.
    """
    from transip_md.exporting.export import export as write
    from transip_md.model.checkpoint import load_named

    return write(load_named(str(checkpoint)), path, dtype, form, device)


def validate(model: Path | str, structures: Sequence[Path | str], **options: Any) -> Validation:
    """Measure what a model breaks: forces, symmetries, locality, smoothness, conservation.

    Examples:
        >>> transip_md.validate("ethanol.pt", ["ethanol.xyz"], only=["forces", "rotation"]).verdict

    Args:
        model: an exported model file.
        structures: files that ase reads, at least one.
        **options: ``only`` and ``skip`` (names of checks), ``device``, ``checkpoint``, ``seed``, ``symmetry`` and
            ``progress``; see `transip_md.validation.run.validate`.

    Returns:
        Findings with their verdicts, and curves.

    Raises:
        transip_md.common.errors.UsageError: a file or name that cannot be used.
        transip_md.common.errors.EnvironmentFaultError: PyYAML is not installed.
    """
    from pathlib import Path

    from transip_md.validation.run import validate as run

    return run(Path(model), [Path(structure) for structure in structures], **options)


def run_dynamics(
    model: Path | str, atoms: ase.Atoms, folder: Path | str, engines: Sequence[str] = ("ase",), **settings: Any
) -> NveResult:
    """Run dynamics in one or more engines and judge conservation of energy.

    Examples:
        >>> result = transip_md.run_dynamics("ethanol.pt", atoms, "nve", ["lammps"], timestep=0.5, time=5.0)
        >>> result.passed

    Args:
        model: an exported model file.
        atoms: the structure; periodic for models with a cutoff only.
        folder: for records (``<engine>.csv``), frames and a plot of energies; made if need be. A run that was
            interrupted resumes from it.
        engines: of "ase", "lammps" and "openmm".
        **settings: fields of `transip_md.dynamics.run.NveSettings`: ``timestep`` (fs), ``time`` (ps), ``temperature``
            (K), ``seed`` and others.

    Returns:
        Records and verdicts by engine.

    Raises:
        transip_md.common.errors.UsageError: settings, structure or model that cannot be used.
        transip_md.common.errors.EnvironmentFaultError: an engine or its plugin is missing.
    """
    from pathlib import Path

    from transip_md.dynamics.run import NveSettings, run_nve

    return run_nve(Path(model), atoms, list(engines), Path(folder), NveSettings(**settings))


def __getattr__(name: str) -> Any:
    """The calculator, which imports ase, when it is asked for."""
    if name == "TransIPCalculator":
        from transip_md.engines.ase import TransIPCalculator

        return TransIPCalculator
    raise AttributeError(f"module 'transip_md' has no attribute {name!r}")
