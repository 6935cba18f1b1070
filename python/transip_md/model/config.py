"""Configuration of a TransIP model, as stored in checkpoints and exported files."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_ATOMIC_NUMBER = 118
#: Centre of the first radial basis function, Angstrom: shorter than any bond.
FIRST_RADIAL_CENTRE = 0.5
#: Centre of the last radial basis function of an all-to-all model, Angstrom, unless the configuration states otherwise.
DEFAULT_RADIAL_RANGE = 8.0
#: End of a repulsion that a training adds, in sums of covalent radii, unless its recipe states otherwise. A bond to
#: hydrogen is as long as the sum, a triple bond 0.78 of it: neither comes to this end in dynamics. With less the
#: network is left alone where bonds are pressed harder than training data go.
DEFAULT_SHORT_RANGE_END = 0.75


class ModelConfig(BaseModel):
    """Shape of a TransIP network.

    Lengths in Angstrom, rotary frequencies in rad/Angstrom, charge in e.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    species: tuple[int, ...] = Field(min_length=1, description="atomic numbers the model knows, in order")
    dim: int = Field(64, gt=0, description="width of a token")
    layers: int = Field(3, gt=0)
    heads: int = Field(4, gt=0)
    feedforward: int = Field(160, gt=0, description="hidden width of the SwiGLU feed-forward")
    rotary_values: bool = Field(True, description="rotate the values too: translation invariance becomes exact")
    min_frequency: float = Field(0.3, gt=0, description="smallest initial rotary frequency, rad/Angstrom")
    max_frequency: float = Field(6.0, gt=0, description="largest initial rotary frequency, rad/Angstrom")
    radial_bias: bool = Field(True, description="add an MLP of radial basis functions to the attention logits")
    radial_functions: int = Field(32, gt=1, description="number of Gaussian radial basis functions")
    radial_hidden: int = Field(64, gt=0)
    radial_range: float | None = Field(
        None,
        gt=FIRST_RADIAL_CENTRE,
        description="centre of the last radial basis function, Angstrom; null: the cutoff, or 8",
    )
    cutoff: float | None = Field(
        None, gt=1.0, description="Angstrom: attention over neighbours; null: over all atoms of an isolated molecule"
    )
    coordinates: bool = Field(False, description="feed centred coordinates into the tokens; all-to-all models only")
    force_head: Literal["gradient", "direct"] = Field(
        "gradient", description="gradient: forces are -dE/dr; direct: a head of their own, which conserves no energy"
    )
    short_range: Literal["zbl"] | None = Field(
        None, description="zbl: add Ziegler-Biersack-Littmark repulsion of atoms that are closer than a bond"
    )
    short_range_end: float = Field(
        1.0,
        gt=0.2,
        le=1.0,
        description="where the repulsion ends, in sums of the two covalent radii; a training that adds a repulsion "
        f"takes {DEFAULT_SHORT_RANGE_END}",
    )
    charge_energies: bool = Field(
        False,
        description="give each total charge a reference energy too, which the atoms share; all-to-all models only",
    )
    charge: tuple[int, int] = Field((0, 0), description="smallest and largest total charge, e")
    multiplicity: tuple[int, int] = Field((1, 1), description="smallest and largest spin multiplicity")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.dim % (2 * self.heads):
            raise ValueError(
                f"dim must be a multiple of 2 x heads (rotary features come in pairs): "
                f"got dim {self.dim}, heads {self.heads}"
            )
        unknown = [z for z in self.species if not 1 <= z <= MAX_ATOMIC_NUMBER]
        if unknown or len(set(self.species)) != len(self.species):
            raise ValueError(f"species must be distinct atomic numbers 1..118, got {self.species}")
        if self.min_frequency > self.max_frequency:
            raise ValueError("min_frequency must not exceed max_frequency")
        for name in ("charge", "multiplicity"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be (smallest, largest), got {(low, high)}")
        if self.multiplicity[0] < 1:
            raise ValueError("multiplicity counts from 1 (singlet)")
        if self.cutoff is not None and self.coordinates:
            raise ValueError("coordinates need an all-to-all model (cutoff: null): a periodic system has no centre")
        if self.short_range is not None and not self.conservative:
            raise ValueError("short_range is an energy: it needs force_head gradient")
        if self.short_range is None and self.short_range_end != 1.0:
            raise ValueError("short_range_end is of a repulsion: give `short_range: zbl` too")
        if self.charge_energies and self.cutoff is not None:
            raise ValueError(
                "charge_energies need an all-to-all model (cutoff: null): a periodic system has no number of atoms"
            )
        return self

    @property
    def conservative(self) -> bool:
        """True if forces are -dE/dr."""
        return self.force_head == "gradient"

    @property
    def interaction_range(self) -> float | None:
        """Layers x cutoff, Angstrom: how far an atom's energy sees; None for all-to-all attention."""
        return None if self.cutoff is None else self.layers * self.cutoff

    def last_radial_centre(self) -> float:
        """Centre of the last radial basis function, Angstrom."""
        if self.radial_range is not None:
            return self.radial_range
        return DEFAULT_RADIAL_RANGE if self.cutoff is None else self.cutoff
