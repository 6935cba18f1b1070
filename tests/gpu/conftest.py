"""What the GPU tests measured, as a table at the end."""

from __future__ import annotations

import pytest

_rows: list[tuple[str, float, float, str]] = []


@pytest.fixture
def measured():
    """Call with a check's name, its value, the largest allowed and the unit: printed at the end, and asserted."""

    def check(name: str, value: float, allowed: float, unit: str) -> None:
        _rows.append((name, value, allowed, unit))
        assert value <= allowed, f"{name}: {value:g} {unit}, allowed {allowed:g}"

    return check


def pytest_terminal_summary(terminalreporter) -> None:
    if not _rows:
        return
    import torch

    terminalreporter.section(f"measured on {torch.cuda.get_device_name()}, torch {torch.__version__}")
    width = max(len(row[0]) for row in _rows)
    for name, value, allowed, unit in _rows:
        verdict = "PASS" if value <= allowed else "FAIL"
        terminalreporter.write_line(f"{name:<{width}}  {value:10.3g}  <= {allowed:8.3g}  {unit:<16} {verdict}")
