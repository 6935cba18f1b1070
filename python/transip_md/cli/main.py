"""Entry point of the command ``transip-md``."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer
from rich.text import Text

from transip_md.cli import (
    bench_commands,
    deviation_commands,
    distance_commands,
    engine_commands,
    evaluation_commands,
    guard_commands,
    import_commands,
    installation_commands,
    label_commands,
    learning_commands,
    model_commands,
    nve_commands,
    progress,
    sampling_commands,
    training_commands,
    validation_commands,
)
from transip_md.cli.console import errors
from transip_md.common.errors import EnvironmentFaultError, TransIPError
from transip_md.common.text import indented
from transip_md.common.version import VERSION
from transip_md.common.whole_files import describe

app = typer.Typer(
    name="transip-md",
    help="Trained TransIP interatomic potentials in LAMMPS and OpenMM.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"transip-md {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors, no progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print what the package logs, too.")] = False,
) -> None:
    """Trained TransIP interatomic potentials in LAMMPS and OpenMM.

    Exit codes: 0 pass, 1 a check failed, 2 usage, 3 environment. First steps: `transip-md doctor` checks the
    installation, `transip-md models` lists the models that are shipped.
    """
    progress.QUIET = quiet
    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")


installation_commands.register(app)
model_commands.register(app)
engine_commands.register(app)
bench_commands.register(app)
sampling_commands.register(app)
label_commands.register(app)
training_commands.register(app)
learning_commands.register(app)
evaluation_commands.register(app)
guard_commands.register(app)
deviation_commands.register(app)
distance_commands.register(app)
import_commands.register(app)
nve_commands.register(app)
validation_commands.register(app)


def run() -> None:
    """Run the command; errors become one paragraph and an exit code."""
    # Before torch is imported: with more threads than one a step of a small molecule takes longer, not shorter.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        app()
    except TransIPError as error:
        errors.print(Text(indented(f"Error: {error}")), soft_wrap=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python would complain when it closes the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        errors.print(Text(indented(f"Error: {describe(error)}")), soft_wrap=True)
        sys.exit(EnvironmentFaultError.exit_code)
    except KeyboardInterrupt:
        errors.print("Interrupted.")
        sys.exit(130)


if __name__ == "__main__":
    run()
