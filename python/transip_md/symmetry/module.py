"""What model files carry for exact symmetry: TorchScript that rotates structures, and forces back.

Energy and forces stay derivatives of one energy: what is done here to positions is undone on forces by the chain rule.
"""

from __future__ import annotations

import ase.data
import numpy as np
import torch
from torch import Tensor, nn

from transip_md.symmetry.sets import EXACT_TO, rotation_set

#: The frame is refused where the gap of the superposition falls below this share of its size: a linear molecule has
#: none, carbon dioxide bent by 15 degrees 0.005, propyne 0.05, the molecules of the model organic 0.12 or more.
SMALLEST_GAP = 0.01
#: Two atoms are taken for bonded up to this multiple of the sum of their covalent radii.
BONDED = 1.5
#: Tokens (all-to-all models: pairs of atoms) that one pass of an average takes at most, unless one rotation has more:
#: larger batches leave the processor's cache and win nothing.
BATCH = 4096
#: The same on a CPU for models with a cutoff: more atoms do not fit into its caches, and then one by one is faster.
CPU_BATCH = 256


def _quaternion_form() -> Tensor:
    """[16, 9]: the superposition's 4 x 4 matrix as a linear function of S = sum m x r^T.

    Source: Horn, J. Opt. Soc. Am. A 4, 629 (1987), section 4.
    """
    xx, xy, xz, yx, yy, yz, zx, zy, zz = np.eye(9)
    matrix = [
        [xx + yy + zz, yz - zy, zx - xz, xy - yx],
        [yz - zy, xx - yy - zz, xy + yx, zx + xz],
        [zx - xz, xy + yx, yy - xx - zz, yz + zy],
        [xy - yx, zx + xz, yz + zy, zz - xx - yy],
    ]
    return torch.from_numpy(np.array(matrix).reshape(16, 9))


def _rotation_form() -> Tensor:
    """[9, 16]: the rotation matrix of a unit quaternion (w, x, y, z) as a linear function of its products q q^T."""
    ww, wx, wy, wz, _, xx, xy, xz, _, _, yy, yz, _, _, _, zz = np.eye(16)
    matrix = [
        [ww + xx - yy - zz, 2 * (xy - wz), 2 * (xz + wy)],
        [2 * (xy + wz), ww - xx + yy - zz, 2 * (yz - wx)],
        [2 * (xz - wy), 2 * (yz + wx), ww - xx - yy + zz],
    ]
    return torch.from_numpy(np.array(matrix).reshape(9, 16))


class Symmetry(nn.Module):
    """Sets of rotations, structures rotated by them, and the frame of an isolated molecule.

    Positions are in Angstrom, forces in eV/Angstrom, float64; a column vector r becomes R r.
    """

    def __init__(self) -> None:
        super().__init__()
        self.smallest_gap = SMALLEST_GAP
        self.bonded = BONDED
        self.counts = list(EXACT_TO)
        sets = [rotation_set(count) for count in self.counts]
        self.register_buffer("rotations", torch.from_numpy(np.concatenate([rotations for rotations, _ in sets])))
        self.register_buffer("weights", torch.from_numpy(np.concatenate([weights for _, weights in sets])))
        self.register_buffer("masses", torch.from_numpy(ase.data.atomic_masses.copy()))
        self.register_buffer("radii", torch.from_numpy(ase.data.covalent_radii.copy()))
        self.register_buffer("quaternion_form", _quaternion_form())
        self.register_buffer("rotation_form", _rotation_form())

    @torch.jit.export
    def rotation_set(self, count: int, inversion: bool) -> tuple[Tensor, Tensor]:
        """Rotations [N, 3, 3] and weights [N] to average over; with inversion N is twice `count`."""
        first = 0
        for known in self.counts:
            if known == count:
                rotations, weights = self.rotations[first : first + count], self.weights[first : first + count]
                if inversion:
                    return torch.cat([rotations, -rotations]), 0.5 * torch.cat([weights, weights])
                return rotations, weights
            first += known
        raise RuntimeError(f"symmetry average takes one of {self.counts} rotations; got {count}")

    @torch.jit.export
    def make_frame(self, species: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """What `into_frame` wants to know of a reference structure.

        Args:
            species: int64 [T], atomic numbers.
            reference: float64 [T, 3], one molecule.

        Returns:
            Standard atomic masses that sum to 1, [T, 1], and the reference about its centre of mass times them, [T, 3].

        Raises:
            RuntimeError: a linear molecule, fewer than three atoms among them, or several molecules.
        """
        count = species.shape[0]
        if count == 0 or reference.shape[0] != count:
            raise RuntimeError(
                f"symmetry frame takes a reference with all atoms of the molecule; got {reference.shape[0]} for {count}"
            )
        masses = self.masses[species][:, None]
        masses = masses / masses.sum()
        centred = reference - (masses * reference).sum(dim=0, keepdim=True)
        # Grow the first atom's molecule by its neighbours, theirs, and so on.
        radii = self.radii[species]
        near = torch.cdist(reference, reference) < self.bonded * (radii[:, None] + radii[None])
        inside = torch.zeros(count, dtype=torch.bool, device=species.device)
        inside[0] = True
        size = 1
        grown = int((inside | near[inside].any(dim=0)).sum())
        while grown > size:
            inside = inside | near[inside].any(dim=0)
            size = grown
            grown = int((inside | near[inside].any(dim=0)).sum())
        if size < count:
            raise RuntimeError(
                f"symmetry frame takes one molecule; only {size} of the reference's {count} atoms hang together by "
                "bonds. Several molecules have no common frame: use symmetry average N"
            )
        moments = masses * centred
        spread = torch.linalg.eigvalsh(centred.t() @ moments)
        if float(spread[0] + spread[1]) <= self.smallest_gap * float(spread.sum()):
            raise RuntimeError(
                "symmetry frame: the reference is linear or nearly so, and has no frame of its own. Use symmetry "
                "average N"
            )
        return masses, moments

    @torch.jit.export
    def into_frame(self, positions: Tensor, masses: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Superpose a molecule on the reference: the rotation R that makes sum m |R (x - c) - r|^2 smallest.

        By the eigenvector of the largest eigenvalue of a 4 x 4 matrix, a quaternion (Horn 1987).

        Args:
            positions: [T, 3].
            masses: [T, 1], from `make_frame`.
            reference: [T, 3], from `make_frame`.

        Returns:
            R (x - c), [T, 3], and R, [3, 3].

        Raises:
            RuntimeError: two of the largest eigenvalues nearly meet, so that R is not determined; another number of
                atoms than the reference has.
        """
        if positions.shape != reference.shape:
            raise RuntimeError(
                f"symmetry frame: the reference has {reference.shape[0]} atoms; got {positions.shape[0]}"
            )
        # The weighted reference sums to zero: positions need no centre here.
        matrix = self.quaternion_form @ (positions.t() @ reference).flatten()
        values, vectors = torch.linalg.eigh(matrix.view(4, 4))
        size = float(values[3])
        gap = 0.5 * (size - float(values[2]))
        # Positions that are not finite are reported by whoever looks at the energy.
        if gap <= self.smallest_gap * size:
            raise RuntimeError(
                "symmetry frame: the molecule has gone so far from the reference structure that its orientation is "
                f"not determined any more (gap {gap / size} of the superposition, allowed {self.smallest_gap}): it is "
                "linear, has come apart or has become its mirror image. Use symmetry average N"
            )
        quaternion = vectors[:, 3]
        rotation = (self.rotation_form @ torch.outer(quaternion, quaternion).flatten()).view(3, 3)
        return (positions - masses.t() @ positions) @ rotation.t(), rotation

    @torch.jit.export
    def out_of_frame(
        self, forces: Tensor, rotated: Tensor, rotation: Tensor, masses: Tensor, reference: Tensor
    ) -> Tensor:
        """Forces on the molecule from those on its rotated image, the rotation's own derivative included.

        When atoms move by dx, the image rotates by w = B^-1 sum m (R dx) x r, with M = sum m y r^T (symmetric at
        the optimum) and B = tr(M) - M, whose smallest eigenvalue is half the gap. The image's torque t does the
        work t.w, so that atom i feels m_i r_i x B^-T t more: with it the total torque is zero.

        Args:
            forces: [T, 3], on the image.
            rotated: the image y = R (x - c), [T, 3].
            rotation: R, [3, 3].
            masses: [T, 1].
            reference: m r, [T, 3].

        Returns:
            [T, 3].
        """
        torque = torch.linalg.cross(rotated, forces).sum(dim=0)
        overlap = reference.t() @ rotated
        trace = overlap.trace() * torch.eye(3, dtype=overlap.dtype, device=overlap.device)
        answer = torch.linalg.solve(trace - overlap, torque)
        along = torch.linalg.cross(reference, answer[None].expand_as(reference))
        return (forces + along - masses * forces.sum(dim=0, keepdim=True)) @ rotation

    @torch.jit.export
    def stack(
        self,
        species: Tensor,
        positions: Tensor,
        owner: Tensor,
        owned: Tensor,
        neighbours: Tensor,
        rotations: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Copies of a local model's structure, rotated, as one structure of N T tokens and N I rows.

        Arguments as those of the engines' forward; rotations [N, 3, 3]. Tokens of all copies come first, then
        images of all copies.
        """
        copies, tokens, rows = rotations.shape[0], species.shape[0], positions.shape[0]
        images = rows - tokens
        rotated = torch.matmul(positions, rotations.transpose(1, 2))
        rows = torch.cat([rotated[:, :tokens].reshape(-1, 3), rotated[:, tokens:].reshape(-1, 3)])
        copy = torch.arange(copies, device=species.device)[:, None]
        owners = owner[None] + tokens * copy
        owners = torch.cat([owners[:, :tokens].reshape(-1), owners[:, tokens:].reshape(-1)])
        slots = neighbours.reshape(1, -1)
        moved = torch.where(slots < tokens, slots + tokens * copy, slots + (tokens * (copies - 1) + images * copy))
        moved = torch.where(slots < 0, slots, moved).view(copies * tokens, neighbours.shape[1])
        return species.repeat(copies), rows, owners, owned.repeat(copies), moved

    @torch.jit.export
    def unstack(self, energies: Tensor, forces: Tensor, rotations: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sums over copies of energies [N T] and of forces [N I, 3], rotated back: [T] and [I, 3]."""
        copies = rotations.shape[0]
        tokens = energies.shape[0] // copies
        images = forces.shape[0] // copies - tokens
        on_tokens = forces[: copies * tokens].view(copies, tokens, 3)
        on_images = forces[copies * tokens :].view(copies, images, 3)
        per_copy = torch.cat([on_tokens, on_images], dim=1)
        return weights @ energies.view(copies, tokens), rotated_back(per_copy, rotations, weights)


def rotated_back(forces: Tensor, rotations: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of the forces on rotated copies, [N, I, 3], each rotated back by its rotation: [I, 3]."""
    return (weights[:, None, None] * torch.matmul(forces, rotations)).sum(dim=0)
