"""What a user asks of the symmetry, as every engine spells it: "none", "average 12", "frame", "random 1"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from transip_md.common.errors import UsageError
from transip_md.symmetry.sets import EXACT_TO

Mode = Literal["none", "average", "frame", "random"]
EXPECTED = 'none, "average N", "average N inversion", frame, "random SEED" or "random SEED forced"'


@dataclass(frozen=True)
class SymmetryRequest:
    """A mode and its numbers; the twin of ``libtransip/include/transip/symmetry.h``.

    Attributes:
        mode: "none": the model as it is. "average": over a set of rotations. "frame": in the molecule's own frame.
            "random": rotated anew at every evaluation.
        count: rotations to average over, before inversion doubles them.
        inversion: average over the set and its product with the inversion.
        seed: of random rotations.
        forced: random rotations even where nothing takes up the energy that they bring.
    """

    mode: Mode = "none"
    count: int = 1
    inversion: bool = False
    seed: int = 0
    forced: bool = False

    @classmethod
    def parse(cls, text: str) -> SymmetryRequest:
        """Read what a user typed.

        Raises:
            UsageError: it is none of `EXPECTED`, or there is no such set of rotations.
        """
        words = text.split()
        mode: Mode | None = next((known for known in get_args(Mode) if words[:1] == [known]), None)
        if mode is None:
            raise UsageError(f"symmetry must be {EXPECTED}; got {text!r}.")
        rest = words[1:]
        extra = {"average": "inversion", "random": "forced"}.get(mode)
        numbered = extra is not None
        fits = len(rest) in ((1, 2) if numbered else (0,)) and rest[1:] in ([], [extra])
        if not fits or (numbered and not rest[0].isdigit()):
            raise UsageError(f"symmetry must be {EXPECTED}; got {text!r}.")
        if mode == "average":
            if int(rest[0]) not in EXACT_TO:
                raise UsageError(f"symmetry average takes one of {list(EXACT_TO)} rotations; got {rest[0]}.")
            return cls("average", count=int(rest[0]), inversion=len(rest) == 2)
        if mode == "random":
            return cls("random", seed=int(rest[0]), forced=len(rest) == 2)
        return cls(mode)

    @property
    def text(self) -> str:
        """What `parse` reads."""
        if self.mode == "average":
            return f"average {self.count}" + (" inversion" if self.inversion else "")
        if self.mode == "random":
            return f"random {self.seed}" + (" forced" if self.forced else "")
        return self.mode

    def check_repeatable(self, use: str, instead: str) -> None:
        """Raise UsageError for random rotations, where one structure must have one energy.

        Args:
            use: what needs that, the beginning of the error.
            instead: what to type, its end.
        """
        if self.mode == "random":
            raise UsageError(f"{use}: symmetry random rotates anew at every evaluation. {instead}")

    def check_thermostat(self, present: bool | None, instead: str) -> None:
        """Raise UsageError for random rotations that are not forced, unless something takes up the energy they bring.

        Args:
            present: whether there is a thermostat; None: the caller cannot see one.
            instead: what to type instead of forcing it.
        """
        if self.mode == "random" and not self.forced and not present:
            lacks = "whether there is a thermostat is not seen here" if present is None else "there is no thermostat"
            raise UsageError(
                f"symmetry random brings energy at every step, which something must take up, and {lacks}. {instead}, "
                f'or type symmetry "{self.text} forced".'
            )

    def check_offered(self, offered: tuple[str, ...], model: object) -> None:
        """Raise UsageError unless a model file offers the mode; `model` is named in the error."""
        if self.mode == "none" or self.mode in offered:
            return
        if not offered:
            raise UsageError(
                f"{model} offers no symmetry: it was exported before there was any. Export it anew: `transip-md export "
                f"CHECKPOINT -o {model}`."
            )
        raise UsageError(
            f"{model} offers symmetry {', '.join(offered)}; got {self.mode}. The frame is for isolated "
            "molecules: models without a cutoff whose forces are the gradient of their energy."
        )


def offered_modes(*, cutoff: float | None, conservative: bool) -> tuple[str, ...]:
    """Modes that the exported file of such a model has."""
    return ("average", "frame", "random") if cutoff is None and conservative else ("average", "random")
