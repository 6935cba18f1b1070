"""How far the learned symmetry goes: rotated structures, their embeddings, net force and torque."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ase
import numpy as np
import torch
from torch import Tensor

from transip_md.common.errors import UsageError
from transip_md.model.rotations import random_rotations
from transip_md.validation.findings import Curve, Finding
from transip_md.validation.registry import check
from transip_md.validation.subject import MILLI, Subject

#: Forces smaller than this (eV/Angstrom) have no direction.
NO_FORCE = 1e-8


def _rotations(subject: Subject, count: int) -> np.ndarray:
    return random_rotations(count, torch.Generator().manual_seed(subject.seed)).numpy()


def rotated(atoms: ase.Atoms, rotation: np.ndarray) -> ase.Atoms:
    """The structure rotated about its centre; its cell rotates along."""
    copy = atoms.copy()
    centre = atoms.positions.mean(axis=0)
    copy.positions = (atoms.positions - centre) @ rotation.T + centre
    copy.cell = atoms.cell.array @ rotation.T
    return copy


def _turned_points(subject: Subject) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotations [R, 3, 3] and, for each, the energy [R] and the forces rotated back [R, N, 3]."""
    rotations = _rotations(subject, subject.many(256, 48))
    points = [subject.evaluate(rotated(subject.shaken, rotation)) for rotation in rotations]
    energies = np.array([point.energy for point in points])
    return rotations, energies, np.stack([p.forces @ r for p, r in zip(points, rotations, strict=True)])


@check("rotation", "Rotated: energy and forces")
def rotation(subject: Subject) -> Iterator[Finding | Curve]:
    """|E(Rx) - E(x)| and |R^-1 F(Rx) - F(x)| over rotations drawn uniformly."""
    reference, count = subject.shaken_point, len(subject.atoms)
    _, energies, forces = _turned_points(subject)
    off = np.abs(forces - reference.forces)
    sizes = np.linalg.norm(forces, axis=-1) * np.linalg.norm(reference.forces, axis=-1)
    cosine = np.where(sizes > NO_FORCE**2, (forces * reference.forces).sum(-1) / np.maximum(sizes, NO_FORCE**2), 1.0)
    mean_force = np.abs(reference.forces).mean()
    share = 100.0 * off.mean() / mean_force if mean_force > NO_FORCE else 0.0
    yield subject.judge(
        "rotation.force",
        MILLI * off.mean(),
        f"{len(energies)} uniform rotations; {share:.2g} % of the mean force component",
    )
    yield subject.judge("rotation.force_worst", MILLI * off.max())
    yield subject.judge("rotation.cosine", max(1.0 - cosine.mean(), 0.0), f"worst cosine {cosine.min():.4f}")
    change = np.abs(energies - reference.energy)
    yield subject.judge(
        "rotation.energy", MILLI * change.mean() / count, f"worst {MILLI * change.max() / count:.3g} meV/atom"
    )
    if not subject.periodic:
        yield subject.judge("rotation.spread", MILLI * float(np.ptp(energies)))
    yield Curve(
        "rotation", subject.name, "mean change of a force component, by orientation", "",
        (MILLI * off.mean(axis=(1, 2))).tolist(), None, "|R⁻¹F(Rx) − F(x)| (meV/Å)", "orientations",
    )  # fmt: skip
    yield Curve(
        "rotation", subject.name, "energy by orientation", "", (MILLI * (energies - energies.mean())).tolist(), None,
        "E(Rx) − mean (meV)", "orientations",
    )  # fmt: skip


@check("net_force", "Net force")
def net_force(subject: Subject) -> Iterator[Finding]:
    """Sum of all forces."""
    yield subject.judge("net_force.force", float(np.linalg.norm(subject.shaken_point.forces.sum(axis=0))))


@check("net_torque", "Net torque")
def net_torque(subject: Subject) -> Iterator[Finding]:
    """Sum of r x F about the centroid, over orientations."""
    if subject.periodic:
        yield subject.skip("net_torque", "a periodic structure has no angular momentum to conserve")
        return
    arms = subject.shaken.positions - subject.shaken.positions.mean(axis=0)
    _, _, forces = _turned_points(subject)
    torques = np.cross(arms, forces).sum(axis=1)
    sizes = np.linalg.norm(torques, axis=1)
    yield subject.judge(
        "net_torque.torque",
        MILLI * float(np.sqrt((sizes**2).mean())),
        f"{len(sizes)} orientations, worst {MILLI * sizes.max():.3g} meV/rad",
    )


def _embedding(subject: Subject, atoms: ase.Atoms) -> Tensor:
    """Latent embedding of every atom, [N, dim]."""
    exported = subject.exported
    assert exported.scripted is not None
    neighbourhood = exported.neighbourhood(atoms.positions, atoms.cell.array, atoms.pbc)
    species, rows, owner, _, neighbours, charge, multiplicity = exported.inputs(
        atoms.numbers, atoms.positions, neighbourhood, subject.charge, subject.multiplicity
    )
    network = exported.scripted.model
    with torch.no_grad(), torch.jit.optimized_execution(False):
        if subject.cutoff is not None:
            return network.encode_local(species, rows, owner, neighbours, charge, multiplicity)
        return network.encode(species[None], rows[None], charge.view(1), multiplicity.view(1), None)[0]


def _trained_transport(subject: Subject) -> tuple[dict[str, Any], dict[str, Tensor]] | str:
    """Settings and weights of the network T, or why there are none."""
    from transip_md.model.checkpoint import SHIPPED_FOLDER, load_checkpoint

    wanted = subject.exported.metadata.source_sha256
    if subject.checkpoint is not None:
        loaded = load_checkpoint(subject.checkpoint)
        if loaded.sha256 != wanted:
            raise UsageError(
                f"{subject.checkpoint} is not the checkpoint that the model file was made from: sha256 "
                f"{loaded.sha256[:12]}, expected {wanted[:12]}."
            )
    else:
        shipped = (load_checkpoint(path) for path in sorted(SHIPPED_FOLDER.glob("*.ckpt")))
        found = next((checkpoint for checkpoint in shipped if wanted and checkpoint.sha256 == wanted), None)
        if found is None:
            return "T is not part of a model file: give its checkpoint with --checkpoint"
        loaded = found
    if loaded.transport is None:
        return "the model was trained without T (no latent-equivariance loss)"
    settings = ((loaded.training.get("recipe") or {}).get("objective") or {}).get("equivariance") or {}
    return settings, loaded.transport


@check("embedding", "Rotated: latent embedding")
def embedding(subject: Subject) -> Iterator[Finding]:
    """How much of the latent embedding a rotation changes, and how much of it T explains."""
    from transip_md.training.objective import Transport

    if subject.symmetry.mode != "none":
        yield subject.skip("embedding", f"of the network alone; here it is symmetry {subject.symmetry.text}")
        return
    if not subject.exported.embeds:
        yield subject.skip("embedding", "the file gives no embedding: compiled code, or no TransIP network")
        return
    rotations = _rotations(subject, subject.many(64, 8))
    straight = _embedding(subject, subject.shaken).double()
    other = torch.stack([_embedding(subject, rotated(subject.shaken, one)).double() for one in rotations])
    variance = (straight - straight.mean(dim=0)).square().sum()
    changed = (other - straight).square().sum(dim=(1, 2)).mean() / variance
    yield subject.judge("embedding.invariant", float(changed), f"{len(rotations)} rotations")
    trained = _trained_transport(subject)
    if isinstance(trained, str):
        yield subject.skip("embedding", trained)
        return
    settings, weights = trained
    hidden, inputs = weights["hidden.weight"].shape
    transport = Transport(inputs - 9, hidden).double()
    transport.load_state_dict(weights)
    matrices = torch.from_numpy(rotations)
    if settings.get("embedding", "pooled") == "pooled":
        source, target = straight.mean(dim=0).expand(len(matrices), -1), other.mean(dim=1)
    else:
        source = straight.expand(len(matrices), -1, -1).flatten(0, 1)
        matrices, target = matrices.repeat_interleave(len(straight), dim=0), other.flatten(0, 1)
    with torch.no_grad():
        predicted = transport(source, matrices)
    if settings.get("normalise", True) or settings.get("loss") == "contrastive":
        source, target, predicted = (
            torch.nn.functional.layer_norm(x, x.shape[-1:]) for x in (source, target, predicted)
        )
    left = (predicted - target).square().sum()
    change = (source - target).square().sum()
    yield subject.judge(
        "embedding.transport",
        float(left / (target - target.mean()).square().sum()),
        f"T explains {float(1 - left / change):.1%} of what rotation changes"
        if change > 0
        else "rotation changes nothing",
    )
