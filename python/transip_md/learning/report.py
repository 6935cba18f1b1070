"""The report of a project: an HTML page with what each iteration found, labelled and learned."""

from __future__ import annotations

from pathlib import Path

from transip_md.common.version import VERSION
from transip_md.learning.loop import Iteration
from transip_md.learning.project import Project
from transip_md.reports import page


def write_report(path: Path, project: Project, iterations: list[Iteration]) -> None:
    """Write the page.

    Args:
        path: of the page.
        project: what was asked for.
        iterations: what came of it.
    """
    last = iterations[-1]
    verdict = "PASS" if last.number and last.share <= project.converged else "WARN"
    names = ", ".join(structure.stem for structure in project.structures)
    headings = [("iteration", True), ("judged", True), ("flagged", True), ("share", True), ("labelled", True)]
    headings += [("failed", True), ("frames", True), ("force MAE of the models (meV/Å)", False)]
    rows = [
        [
            str(one.number), str(one.judged), *((str(one.flagged), f"{one.share:.3f}") if one.number else ("", "")),
            str(one.labelled), str(one.failed), str(one.frames), ", ".join(f"{error:.1f}" for error in one.force_mae),
        ]
        for one in iterations
    ]  # fmt: skip
    facts = {
        "starts from": Path(project.start_from).name,
        "teacher": project.teacher,
        "models": str(project.members),
        "levels of trust": f"{project.trust.lower:g} and {project.trust.upper:g} eV/Angstrom",
        "ends at": f"a share of {project.converged:g} of judged structures above the lower one",
        "errors on": ", ".join(file.name for file in project.test) or "the models' own labels",
    }
    parts = [
        page.header(f"Active learning: {names}", f"{last.frames} labelled frames", verdict),
        page.facts(facts),
        "<h2>Iterations</h2>",
        page.table(headings, rows),
    ]
    if len(iterations) > 1:
        parts.append(page.picture(_picture(iterations), "Flagged share and errors by the number of labelled frames"))
    page.write_page(path, f"Active learning: {names}", parts, f"transip-md {VERSION}")


def _picture(iterations: list[Iteration]) -> bytes:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (share, error) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    judged = [one for one in iterations if one.number]
    share.plot([one.number for one in judged], [one.share for one in judged], "o-", color=page.SERIES[0])
    share.set_xlabel("iteration")
    share.set_ylabel("flagged share")
    share.set_ylim(bottom=0)
    learned = [one for one in iterations if one.force_mae]
    for member in range(len(learned[0].force_mae)):
        error.plot([one.frames for one in learned], [one.force_mae[member] for one in learned], "o-", linewidth=0.8)
    error.set_xlabel("labelled frames")
    error.set_ylabel("force MAE (meV/Å)")
    error.set_ylim(bottom=0)
    return page.png(figure)
