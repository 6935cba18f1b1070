"""Validation and energy conservation of the shipped models, as numbers and pictures in docs/reports.

Type `make reports`, or `python scripts/reports.py ethanol`. The HTML reports go to build/reports; validations and
runs that lie there are not made again unless the model changed.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from transip_md import page
from transip_md.export import export
from transip_md.metadata import read_metadata
from transip_md.model.checkpoint import load_shipped
from transip_md.nve.report import write_study_report
from transip_md.nve.results import shared_name, shortened_name
from transip_md.nve.run import NveSettings
from transip_md.nve.shape import shape_of, trajectory_of
from transip_md.nve.study import Matrix, run_study
from transip_md.structures import read_structure
from transip_md.validation.certificate import certificate_of
from transip_md.validation.findings import Curve, Finding, Validation
from transip_md.validation.report import draw, write_report
from transip_md.validation.run import validate

REPOSITORY = Path(__file__).resolve().parent.parent
WORK = REPOSITORY / "build" / "reports"
DOCS = REPOSITORY / "docs" / "reports"
#: Structure, engines, time steps (fs) and time (ps) of each model.
MODELS = {
    "ethanol": (REPOSITORY / "examples" / "ethanol.xyz", ["ase", "lammps", "openmm"], [1.0, 0.5], 3.0),
    "organic": (REPOSITORY / "examples" / "ethanol.xyz", ["lammps"], [1.0, 0.5], 1.0),
    "water": (REPOSITORY / "examples" / "openmm" / "water.pdb", ["lammps"], [0.5], 1.0),
}
#: Panels of the validation that go into the documentation.
SHOWN = ("mean change of a force component, by orientation", "bond scans")


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


def validated(model: Path, structure: Path) -> Validation:
    """The validation of a model file, or what an earlier one of the same checkpoint left."""
    kept = WORK / f"{model.stem}.validation.json"
    if kept.is_file():
        values = json.loads(kept.read_text())
        if values["metadata"] == json.loads(read_metadata(model).to_json()):
            del values["verdict"]
            values["findings"] = [Finding(**finding) for finding in values["findings"]]
            values["curves"] = [Curve(**curve) for curve in values["curves"]]
            return Validation(**values)
    tell(f"{model.stem}: validating")
    result = validate(model, [structure])
    kept.write_text(json.dumps(result.to_dict(), indent=1) + "\n")
    return result


def report(name: str) -> str:
    """Validate and run one model; its page."""
    structure, engines, timesteps, time = MODELS[name]
    model = WORK / f"{name}.pt"
    checkpoint = load_shipped(name)
    # A new export would be another file, to which no run belongs.
    if not model.is_file() or read_metadata(model).source_sha256 != checkpoint.sha256:
        export(checkpoint, model)
    result = validated(model, structure)
    write_report(result, WORK / f"{name}.validation.html")
    drawn = pictures(result, name)
    tell(f"{name}: dynamics")
    atoms = read_structure(structure)
    matrix = Matrix({structure.stem: atoms}, engines, timesteps, [300.0], [1], [], NveSettings(time=time))
    folder = WORK / f"{name}-nve"
    study = run_study(model, matrix, folder, lambda run, done, total: None)
    frames = study.runs[0].record
    shapes = {}
    if frames.frames is not None and frames.frame_times is not None:
        shapes[structure.stem] = shape_of(trajectory_of(atoms, frames.frames, frames.frame_times), atoms)
    write_study_report(study, folder / "report.html", shapes)
    for picture in ("energies", "drift", "angular_momentum", "rdf"):
        if (folder / f"{picture}.png").is_file():
            file = f"{name}-{picture}.png"
            (DOCS / file).write_bytes((folder / f"{picture}.png").read_bytes())
            drawn.append((file, picture.replace("_", " ")))
    lines = [
        f"# Report of {name}",
        "",
        "Made by `make reports`; what the numbers mean: [validation.md](../validation.md). Checkpoint: sha256 "
        f"`{result.metadata['source_sha256'][:16]}`.",
        "",
        f"`transip-md validate {name}.pt {structure.name}`: **{result.verdict}**",
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
    lines += ["", f"`transip-md nve`, {shared_name(study)}: **{study.verdict}**", ""]
    lines += [
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
    lines += ["", *(f"Order of the integrator, {run}: {order.order:.2f}" for run, order in study.orders.items()), ""]
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
        (DOCS / f"{name}.md").write_text(report(name))
        tell(f"{name}: {DOCS / name}.md, {WORK / name}.validation.html, {WORK / name}-nve/report.html")


if __name__ == "__main__":
    main()
