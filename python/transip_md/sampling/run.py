"""One file of frames, from the first to the last, over interruptions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import ase
import ase.io
from ase.calculators.calculator import CalculatorError

from transip_md.common.errors import UsageError
from transip_md.common.locks import exclusive
from transip_md.common.whole_files import naming, write_whole
from transip_md.data.structures import read_structure
from transip_md.sampling.candidates import Candidate, Candidates
from transip_md.sampling.dimers import dimer_candidates
from transip_md.sampling.errors import FewerFramesError, NothingToSampleError, SamplingError
from transip_md.sampling.frame_files import Dropped, dropped, whole_frames
from transip_md.sampling.labels import Labeller, Refusal
from transip_md.sampling.langevin import dynamics_frames
from transip_md.sampling.normal_modes import normal_mode_candidates
from transip_md.sampling.recipe import SamplingRecipe, completed, electrons_of
from transip_md.sampling.scans import bond_candidates, compressed_candidates, pair_candidates, torsion_candidates
from transip_md.sampling.teacher import at_rest, bare

#: Candidates in a row that may be dropped before a mode counts as exhausted.
MOST_DROPPED = 100
#: Modes that change a structure at rest and need no partner.
SINGLE: dict[str, Callable[[ase.Atoms, SamplingRecipe], Candidates]] = {
    "bonds": bond_candidates,
    "torsions": torsion_candidates,
    "compress": compressed_candidates,
}


def sample(
    structure: Path | str, output: Path | str, frames: int, recipe: SamplingRecipe, partners: Sequence[Path] = ()
) -> Iterator[int]:
    """Sample frames in the recipe's mode and append them to an extended XYZ file.

    The file holds positions (Angstrom), of dynamics momenta (amu^(1/2) eV^(1/2), ase's), energy (eV) and forces
    (eV/Angstrom), the cell (Angstrom) of a crystal, and charge (e) and multiplicity where they are not 0 and 1. A
    molecule's centre of mass stays at the origin; a crystal keeps its cell unless it is compressed, and its atoms are
    not wrapped into it. Of the structure's own columns only masses (amu) count; constraints are dropped.
    A recipe is written beside it first; called again with the same recipe, sampling resumes behind the last whole
    frame and gives the frames that an uninterrupted run would have given. ``OUTPUT.dropped`` lists candidates that
    became no frame.

    Args:
        structure: starting structure, an isolated molecule or a crystal that is periodic in all three directions.
        output: extended XYZ file to write.
        frames: number of frames that the file shall hold in the end.
        recipe: teacher, mode, temperature, seed and the rest.
        partners: structures that dimers are made with.

    Yields:
        The number of frames in the file, after each one.

    Raises:
        UsageError: bad structure, or the file was sampled with another recipe.
        EnvironmentFaultError: the teacher is not installed, or another process samples into the file.
        NothingToSampleError: the structure has nothing of what the mode changes.
        FewerFramesError: the mode is exhausted before it has given all frames.
        SamplingError: the teacher fails on the structure, as when its self-consistent field does not converge.
    """
    structure, output, partners = Path(structure), Path(output), tuple(partners)
    first = read_structure(structure)
    recipe = completed(recipe, first, structure, partners)
    with naming(output), exclusive(output):
        done = _frames_in(output, recipe)
        if done >= frames:
            return
        try:
            if recipe.mode == "langevin":
                new = dynamics_frames(first, output, done, frames, recipe)
            else:
                new = _candidate_frames(_candidates(structure, recipe, partners), output, done, frames, recipe)
            for frame in new:
                done = frame
                yield done
        except CalculatorError as error:
            raise SamplingError(
                f"{recipe.teacher} fails on {structure} after frame {done}: {str(error).rstrip('.')}. Check the "
                "geometry, charge and multiplicity, or sample it at a lower temperature or with the other teacher."
            ) from error
        except (NothingToSampleError, FewerFramesError) as error:
            raise type(error)(f"{structure} gives {done} of {frames} frames: {error}.") from error


def _frames_in(output: Path, recipe: SamplingRecipe) -> int:
    """Number of frames in the file, which is there for this recipe or not at all; writes the recipe beside it."""
    recipe_file = output.with_name(output.name + ".recipe.json")
    done = 0
    if output.exists():
        if not recipe_file.exists() or json.loads(recipe_file.read_text()) != recipe.key():
            raise UsageError(
                f"{output} exists and was not sampled with this recipe (see {recipe_file.name}). "
                "Remove it or choose another output file."
            )
        done = whole_frames(output)
    elif recipe_file.exists() and json.loads(recipe_file.read_text()) != recipe.key():
        # What was dropped by another recipe does not concern this one.
        output.with_name(output.name + ".dropped").unlink(missing_ok=True)
    write_whole(recipe_file, json.dumps(recipe.key(), indent=1) + "\n")
    return done


def _candidates(structure: Path, recipe: SamplingRecipe, partners: Sequence[Path]) -> Candidates:
    """The candidates of a mode that is no dynamics, made of structures at rest."""
    if recipe.mode == "pair":
        # Two atoms may have nowhere to come to rest.
        return pair_candidates(bare(read_structure(structure)), recipe)
    if recipe.mode == "normal-modes":
        return normal_mode_candidates(structure, recipe)
    start = at_rest(structure, recipe.state())
    if recipe.mode != "dimers":
        return SINGLE[recipe.mode](start, recipe)
    others = []
    for path in partners:
        atoms = read_structure(path)
        # A partner's state is that of its own file.
        charge, multiplicity = electrons_of(
            recipe.model_copy(update={"charge": None, "multiplicity": None}), atoms, path
        )
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        changed = {"charge": charge, "multiplicity": multiplicity, "structure_sha256": digest}
        others.append(Candidate(at_rest(path, recipe.model_copy(update=changed).state()), charge, multiplicity))
    return dimer_candidates(start, others, recipe)


def _candidate_frames(
    candidates: Candidates, output: Path, done: int, frames: int, recipe: SamplingRecipe
) -> Iterator[int]:
    """Label candidates in the order of their numbers and append those that are good; see `sample`."""
    labeller = Labeller(recipe)
    last = -1
    if done:
        for frame in ase.io.read(output, index=":"):
            labeller.remember(frame)
            last = int(frame.info["candidate"])
    refused = Dropped(output, last)
    number = max([last, *refused.numbers]) + 1
    info: dict[str, object] = {"mode": recipe.mode}
    if recipe.mode == "normal-modes":
        info["temperature_K"] = recipe.temperature
    while done < frames:
        if number - last > MOST_DROPPED:
            raise FewerFramesError(f"{MOST_DROPPED} candidates in a row are no frames ({_counts_of_dropped(output)})")
        frame = labeller.label(candidates(number), {**info, "candidate": number})
        if isinstance(frame, Refusal):
            refused.add(number, *frame)
        else:
            labeller.remember(frame)
            ase.io.write(output, frame, append=True, format="extxyz")
            done, last = done + 1, number
            yield done
        number += 1


def _counts_of_dropped(output: Path) -> str:
    """What was dropped, in words."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(dropped(output).items()))
