"""Errors that end a command, each with the exit code that it means.

Exit codes: 0 pass, 1 a check failed, 2 usage (bad input), 3 environment (something is not installed or built).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class TransIPError(Exception):
    """Base of every error that transip-md raises on purpose."""

    exit_code = 1


class CheckFailedError(TransIPError):
    """A check was carried out and its answer is no."""

    exit_code = 1


class UsageError(TransIPError, ValueError):
    """The input cannot be used: what was expected, what came, what to type next."""

    exit_code = 2


class EnvironmentFaultError(TransIPError):
    """Something that the command needs is missing, not built or does not fit what is installed."""

    exit_code = 3


def validation_message(error: ValidationError) -> str:
    """What pydantic found wrong, on one line: ``key: problem; key: problem``."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'configuration'}: {problem['msg']}"
        for problem in error.errors()
    )
