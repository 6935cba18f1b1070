"""Validation and energy conservation of the shipped models, as numbers and pictures in docs/reports.

Type `make reports`, or `python scripts/reports.py ethanol`. The HTML reports go to build/reports; validations and
runs that lie there are not made again unless the model, the structure or the checks changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import transip_md.validation
from transip_md.data.structures import read_structure
from transip_md.dynamics.report import write_study_report
from transip_md.dynamics.results import Study, shared_name, shortened_name
from transip_md.dynamics.run import NveSettings
from transip_md.dynamics.shape import shape_of, trajectory_of
from transip_md.dynamics.study import Matrix, run_study
from transip_md.exporting.export import export
from transip_md.model.checkpoint import load_shipped
from transip_md.modelfile.metadata import read_metadata
from transip_md.reports import page
from transip_md.validation.certificate import certificate_of
from transip_md.validation.findings import Curve, Finding, Validation
from transip_md.validation.report import draw, write_report
from transip_md.validation.run import validate
from transip_md.validation.words import sentences

REPOSITORY = Path(__file__).resolve().parent.parent
WORK = REPOSITORY / "build" / "reports"
DOCS = REPOSITORY / "docs" / "reports"
#: Sources of the checks, and those among them that measure nothing.
CHECKS = Path(transip_md.validation.__file__).parent
TELLING = ("certificate.py", "report.py", "words.py")
#: Held-out frames of liquid water, by recipes/water/split.py.
WATER = REPOSITORY / "recipes" / "water" / "data" / "test.extxyz"
#: A molecule that the broad models never saw.
PARACETAMOL = REPOSITORY / "recipes" / "organic" / "held_out" / "paracetamol.xyz"


@dataclass(frozen=True)
class Recipe:
    """What a report looks at.

    Attributes:
        structure: file; its last frame is run, all frames are looked at for labels.
        engines: of the dynamics.
        timesteps: fs.
        time: ps.
        symmetry: what is set beside the model as it is.
        checks: that are made again with it.
    """

    structure: Path
    engines: tuple[str, ...]
    timesteps: tuple[float, ...]
    time: float
    symmetry: str
    checks: tuple[str, ...]


_MOLECULE = Recipe(
    REPOSITORY / "examples" / "ethanol.xyz", ("ase", "lammps", "openmm"), (1.0, 0.5), 3.0, "frame",
    ("forces", "permutation", "rotation", "net_torque", "conservation"),
)  # fmt: skip
_LIQUID = Recipe(WATER, ("lammps",), (1.0, 0.5), 1.0, "average 12", ("rotation",))
MODELS = {
    "ethanol": _MOLECULE,
    "organic": _MOLECULE,
    "organic_broad": replace(_MOLECULE, structure=PARACETAMOL),
    "organic_large": replace(_MOLECULE, structure=PARACETAMOL),
    "water": _LIQUID,
    "water_broad": _LIQUID,
}
#: Numbers that are told with and without symmetry.
COMPARED = (
    "rotation.force", "rotation.force_worst", "rotation.energy", "rotation.spread", "net_torque.torque",
    "permutation.exchange", "conservation.drift", "conservation.angular_momentum",
)  # fmt: skip
#: Panels of the validation that go into the documentation.
SHOWN = ("mean change of a force component, by orientation", "bond scans", "dimers")


def tell(*words: object) -> None:
    """Say what is done."""
    print(*words, flush=True)


def pictures(result: Validation, name: str) -> list[tuple[str, str]]:
    """Write pictures of a validation; file names and captions."""
    made = []
    page.style_figures()
    for panel in SHOWN:
        curves: list[Curve] = [curve for curve in result.curves if curve.panel == panel]
        if curves:
            file = f"{name}-{re.sub(r'[^a-z]+', '-', panel.lower())}.png"
            (DOCS / file).write_bytes(draw(curves))
            made.append((file, panel))
    return made


def validated(model: Path, recipe: Recipe, symmetry: str = "none") -> Validation:
    """The validation of a model file, or what an earlier one of the same file, structure and checks left."""
    kept = WORK / f"{model.stem}.{symmetry.replace(' ', '')}.validation.json"
    digest = hashlib.sha256(recipe.structure.read_bytes())
    for source in sorted(CHECKS.iterdir()):
        if source.is_file() and source.name not in TELLING:
            digest.update(source.read_bytes())
    if kept.is_file():
        values = json.loads(kept.read_text())
        if (
            values["metadata"] == json.loads(read_metadata(model).to_json())
            and values.pop("made_of", "") == digest.hexdigest()
        ):
            del values["verdict"]
            values["findings"] = [Finding(**finding) for finding in values["findings"]]
            values["curves"] = [Curve(**curve) for curve in values["curves"]]
            return Validation(**values)
    tell(f"{model.stem}: validating, symmetry {symmetry}")
    only = () if symmetry == "none" else recipe.checks
    result = validate(model, [recipe.structure], only=only, symmetry=symmetry, device="cpu")
    kept.write_text(json.dumps({**result.to_dict(), "made_of": digest.hexdigest()}, indent=1) + "\n")
    return result


def made(result: Validation, study: Study, recipe: Recipe) -> list[str]:
    """How the numbers came about."""
    versions = ", ".join(f"{name} {version}" for name, version in result.made_with.items())
    settings = study.runs[0].settings
    return [
        f"Made by `make reports ARGS={Path(result.model).stem}` on {result.date[:10]} from the shipped checkpoint, "
        f"sha256 `{result.metadata['source_sha256'][:16]}`, exported as TorchScript with {result.metadata['dtype']} "
        f"weights, on the CPU; {versions}. Structure: `{recipe.structure.relative_to(REPOSITORY)}`"
        + (", the last frame." if recipe.structure == WATER else ".")
        + f" Everything random from seed 0 in `validate`; velocities from seed {settings.seed} at "
        f"{settings.temperature:g} K in `nve`, energies every {settings.interval:g} fs. No number here is a time: how "
        "busy the machine was does not matter. What the numbers mean: [validation.md](../validation.md).",
        "",
    ]


def words(result: Validation, exact: Validation, study: Study, recipe: Recipe) -> list[str]:
    """What the numbers mean, for somebody who reads no further; with the symmetry and without."""
    lines = ["## In words", ""]
    for line in sentences(result):
        lines += [line, ""]
    longest = max(float(run.record.time[-1]) for run in study.runs)
    if angular := [run.angular for run in study.runs if run.angular is not None]:
        lines += [
            f"In the runs of {longest:g} ps below, which conserve energy as the table states, the angular momentum "
            f"moved away from its first value by up to {max(angular):.2g} of its thermal size. Longer runs, with and "
            "without exact symmetry: [benchmarks/symmetry.md](../../benchmarks/symmetry.md).",
            "",
        ]
    lines += [
        f"With and without `--symmetry {recipe.symmetry}` ([symmetry.md](../symmetry.md)), same file and structure:",
        "",
        f"| number | unit | as it is | {recipe.symmetry} |",
        "|---|---|---|---|",
    ]
    for key in COMPARED:
        pair = [
            next((f for f in one.findings if f.key == key and f.value is not None), None) for one in (result, exact)
        ]
        if pair[1] is not None:
            before, after = ("" if one is None else f"{one.value:.2g}" for one in pair)
            lines.append(f"| {key} | {pair[1].unit} | {before} | {after} |")
    return [*lines, ""]


def validation_lines(result: Validation, structure: Path) -> list[str]:
    """The table of the validation."""
    lines = [
        "## All numbers",
        "",
        f"`transip-md validate {result.model} {structure.name}`: **{result.verdict}**",
        "",
        f"    {certificate_of(result)['summary']}",
        "",
        "| number | value | unit | good | bad | |",
        "|---|---|---|---|---|---|",
    ]
    for finding in result.findings:
        if finding.value is not None:
            good, bad = ("" if level is None else f"{level:.2g}" for level in (finding.good, finding.bad))
            key = finding.key + (f" ({finding.note})" if finding.check == "engines" else "")
            lines.append(f"| {key} | {finding.value:.3g} | {finding.unit} | {good} | {bad} | {finding.verdict} |")
    skipped = "; ".join(f"{finding.check} ({finding.note})" for finding in result.of("SKIP"))
    return [*lines, "", *([f"Not applicable: {skipped}.", ""] if skipped else [])]


def study_lines(study: Study) -> list[str]:
    """The table of the runs."""
    lines = [
        f"`transip-md nve`, {shared_name(study)}: **{study.verdict}**",
        "",
        *(f"- {line}" for line in study.failures),
        *([""] if study.failures else []),
        "| run | drift (meV/atom/ps) | kT/ns/dof | fluctuation (meV/atom) | change of L | mean T (K) | |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in study.runs:
        found = run.conservation
        angular = "" if run.angular is None else f"{run.angular:.2g}"
        lines.append(
            f"| {shortened_name(study, run)} | {found.slope:+.5f} ± {found.slope_error:.5f} | "
            f"{found.kt_per_ns_dof:+.2g} | {found.fluctuation:.4f} | {angular} | {found.temperature:.0f} | "
            f"{'PASS' if run.passed else 'FAIL'} |"
        )
    orders = [f"Order of the integrator, {run}: {order.order:.2f}" for run, order in study.orders.items()]
    return [*lines, "", *(line for order in orders for line in (order, ""))]


def report(name: str) -> str:
    """Validate and run one model; its page."""
    recipe = MODELS[name]
    structure = recipe.structure
    model = WORK / f"{name}.pt"
    checkpoint = load_shipped(name)
    # A new export would be another file, to which no run belongs.
    if not model.is_file() or read_metadata(model).source_sha256 != checkpoint.sha256:
        export(checkpoint, model)
    result, exact = validated(model, recipe), validated(model, recipe, recipe.symmetry)
    write_report(result, WORK / f"{name}.validation.html")
    drawn = pictures(result, name)
    tell(f"{name}: dynamics")
    atoms = read_structure(structure)
    atoms.calc = None
    called = name if structure == WATER else structure.stem
    matrix = Matrix(
        {called: atoms}, list(recipe.engines), list(recipe.timesteps), [300.0], [1], [],
        NveSettings(time=recipe.time, device="cpu"),
    )  # fmt: skip
    folder = WORK / f"{name}-nve"
    study = run_study(model, matrix, folder, lambda run, done, total: None)
    frames = study.runs[0].record
    shapes = {}
    if frames.frames is not None and frames.frame_times is not None:
        shapes[called] = shape_of(trajectory_of(atoms, frames.frames, frames.frame_times), atoms)
    write_study_report(study, folder / "report.html", shapes)
    for picture in ("energies", "drift", "angular_momentum", "rdf"):
        if (folder / f"{picture}.png").is_file():
            file = f"{name}-{picture}.png"
            (DOCS / file).write_bytes((folder / f"{picture}.png").read_bytes())
            drawn.append((file, picture.replace("_", " ")))
    lines = [
        f"# Report of {name}",
        "",
        *made(result, study, recipe),
        *words(result, exact, study, recipe),
        *validation_lines(result, structure),
        *study_lines(study),
        "## Pictures",
        "",
    ]
    return "\n".join([*lines, *(f"![{caption} of {name}]({file})\n" for file, caption in drawn)])


def main() -> None:
    """Make reports."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("models", nargs="*", help=f"of {', '.join(MODELS)}; all without")
    chosen = options.parse_args().models or list(MODELS)
    if unknown := [name for name in chosen if name not in MODELS]:
        options.error(f"no report of {', '.join(unknown)}; expected {', '.join(MODELS)}")
    WORK.mkdir(parents=True, exist_ok=True)
    DOCS.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        if not MODELS[name].structure.is_file():
            tell(
                f"{name}: left out, there is no {MODELS[name].structure}. Type `make reports ARGS={name} "
                "WATER=path/to/water_pbe0_periodic.extxyz.xz`; see recipes/water/README.md for the data."
            )
            continue
        (DOCS / f"{name}.md").write_text(report(name))
        tell(f"{name}: {DOCS / name}.md, {WORK / name}.validation.html, {WORK / name}-nve/report.html")


if __name__ == "__main__":
    main()
