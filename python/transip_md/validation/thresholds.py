"""Thresholds of the checks: data with their sources, from ``thresholds.yaml``."""

from __future__ import annotations

import functools
import math
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict

from transip_md.common.errors import EnvironmentFaultError

#: One number, or one for each dtype of the weights.
Level = float | dict[str, float]


class Threshold(BaseModel):
    """When a number is good and when it is bad.

    Attributes:
        label: what is measured.
        unit: of good and bad.
        good: PASS up to here (or, if good > bad, from here on); None: the number is reported and not judged.
        bad: FAIL beyond; between the two WARN. None beside a good: what is not good is a WARN, however far off.
        source: where the numbers come from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str
    unit: str
    good: Level | None = None
    bad: Level | None = None
    source: str

    def levels(self, dtype: str) -> tuple[float | None, float | None]:
        """Good and bad for weights of a dtype."""
        good, bad = (level[dtype] if isinstance(level, dict) else level for level in (self.good, self.bad))
        return good, bad

    def judge(self, value: float, dtype: str) -> str:
        """PASS, WARN, FAIL or, without levels, INFO; a value that is not a number fails."""
        good, bad = self.levels(dtype)
        if good is None:
            return "INFO"
        sign = 1.0 if bad is None or good <= bad else -1.0
        if sign * value <= sign * good:
            return "PASS"
        # No number is less than infinity if it is none.
        return "WARN" if sign * value <= (math.inf if bad is None else sign * bad) else "FAIL"


@functools.cache
def thresholds() -> dict[str, Threshold]:
    """All thresholds, by ``check.quantity``.

    Raises:
        EnvironmentFaultError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise EnvironmentFaultError("PyYAML is not installed. Type `pip install 'transip-md[validate]'`.") from error
    text = resources.files("transip_md.validation").joinpath("thresholds.yaml").read_text()
    values: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return {
        f"{check}.{quantity}": Threshold.model_validate(entry)
        for check, quantities in values.items()
        for quantity, entry in quantities.items()
    }
