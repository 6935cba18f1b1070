"""``transip-md learn``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from transip_md.cli.console import console
from transip_md.cli.summary import add_command, record


def learn(
    project: Annotated[Path, typer.Argument(help="YAML file; docs/uncertainty.md has an example.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of everything that is made.")],
    jobs: Annotated[int, typer.Option(min=1, help="Models trained at the same time, one CPU thread each.")] = 1,
) -> None:
    """Learn from what a committee is unsure of: dynamics, labels, training, again. Resumes when it was interrupted."""
    from transip_md.learning.project import read_project

    plan = read_project(project)
    from transip_md.training import require_lightning

    require_lightning()
    from transip_md.learning.label import WaitingError
    from transip_md.learning.loop import Steps, learn, models_of
    from transip_md.learning.report import write_report

    def say(line: str) -> None:
        console.print(line, soft_wrap=True)

    def labelling(done: int, total: int) -> None:
        if done == total or done % 10 == 0:
            say(f"  labelled {done} of {total}")

    try:
        iterations = learn(plan, output, jobs=jobs, steps=Steps(say, labelling))
    except WaitingError as waiting:
        record().verdict = "WAIT"
        record().details["waiting"] = str(waiting)
        say(str(waiting))
        return
    write_report(output / "report.html", plan, iterations)
    last, made = iterations[-1], models_of(output, iterations)
    converged = bool(last.number) and last.share <= plan.converged
    noted = record()
    noted.numbers |= {
        "iterations": last.number,
        "share_flagged": last.share,
        "frames": last.frames,
        "labels_failed": sum(iteration.failed for iteration in iterations),
    }
    noted.details |= {"converged": converged, "iterations": [asdict(iteration) for iteration in iterations]}
    noted.files += [*made, output / "report.html"]
    if converged:
        say(f"converged: a share of {last.share:.3f} is flagged, {plan.converged:g} was asked for")
    else:
        say(
            f"not converged after {last.number} iterations: a share of {last.share:.3f} is flagged. Raise `iterations`."
        )
    say("models: " + " ".join(map(str, made)))
    say(f"report: {output / 'report.html'}")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    add_command(app, learn)
