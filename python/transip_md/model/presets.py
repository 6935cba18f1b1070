"""Sizes of models by name."""

from __future__ import annotations

from typing import Any

#: Fields of ModelConfig by the name of a size. `transip-md presets` prints their numbers of weights.
PRESETS: dict[str, dict[str, Any]] = {
    "nano": {"dim": 64, "layers": 3, "heads": 4, "feedforward": 160},
    "small": {"dim": 256, "layers": 6, "heads": 8, "feedforward": 640},
    "medium": {"dim": 512, "layers": 8, "heads": 8, "feedforward": 1376},
    "large": {"dim": 768, "layers": 12, "heads": 12, "feedforward": 2048},
}
