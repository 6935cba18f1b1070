"""What a step of the CUDA kernels should cost, by kernel: `python benchmarks/cuda/estimate.py`.

An ESTIMATE: nothing here is measured. FLOP and bytes are counted by formulas for the launch plan as it is. The time of
a launch is that of its arithmetic or that of its bytes, whichever is longer, at the rates below, and never less than a
launch takes; that few blocks wait for memory it does not see. What a device really takes is for a profile on one. The
plan comes from `print_plan`, which CMake's target `cuda_tests` builds.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: What an H100 is assumed to reach. FLOP/s: products in float32 by 3xTF32 (three instructions each, mma.sync), in
#: float64 by tensor cores, other arithmetic in float32 and float64; bytes/s: of the L2 cache.
PRODUCTS = {4: 75e12, 8: 40e12}
OTHER = {4: 25e12, 8: 13e12}
CACHE = 5.5e12
#: Seconds from one small kernel of a CUDA graph to the next that waits for it.
LAUNCH = 4e-6
#: Angstrom beyond the cutoff that the lists of neighbours reach.
SKIN = 1.0
#: Tokens of a block of a linear layer, as tiles.h has it; each block reads the whole matrix.
TILE = 32


@dataclass(frozen=True)
class Network:
    """Shape of a network and what its structures look like.

    Attributes:
        cutoff: Angstrom; None: all to all.
        density: of atoms, 1/Angstrom^3.
    """

    dim: int
    layers: int
    heads: int
    feedforward: int
    cutoff: float | None
    density: float = 0.0
    size: int = 4  # bytes of a number

    def counts(self, atoms: int) -> tuple[int, int, int]:
        """Rows, listed edges, and those within the cutoff, of a cubic periodic box or of a molecule."""
        if self.cutoff is None:
            return atoms, atoms * (atoms - 1), atoms * (atoms - 1)
        box, reach = (atoms / self.density) ** (1 / 3), self.cutoff + SKIN
        rows = round(atoms * (1 + 2 * reach / box) ** 3)
        listed, near = (round(atoms * self.density * 4 / 3 * math.pi * far**3) for far in (reach, self.cutoff))
        return rows, listed, near


@dataclass
class Work:
    """FLOP of matrix products, FLOP of all else, and bytes that are read and written."""

    products: float = 0.0
    other: float = 0.0
    bytes: float = 0.0

    def __iadd__(self, more: Work) -> Work:
        self.products += more.products
        self.other += more.other
        self.bytes += more.bytes
        return self


#: Shipped models, and a wide network, of which there is none.
NETWORKS = {
    "water": Network(64, 3, 4, 160, 4.5, 0.0997),
    "organic": Network(96, 3, 6, 240, None),
    "wide": Network(256, 3, 8, 640, 4.5, 0.0997),
}


def kernels(network: Network, tokens: int, rows: int, listed: int, edges: int) -> dict[str, Callable[[int], Work]]:
    """Work of a launch, of a layer, by the kernel's name.

    Args:
        network: its shape.
        tokens: atoms of the structure.
        rows: tokens and images.
        listed: edges from tokens to rows, those in the skin too.
        edges: those that attention walks.
    """
    d, f, n = network.dim, math.ceil(network.feedforward / 16) * 16, network.size

    def product(inner: int, outer: int, read: float, written: float) -> Work:
        """A linear layer; so many numbers are read and written for each token."""
        matrix = math.ceil(tokens / TILE) * inner * outer
        return Work(2.0 * tokens * inner * outer, 10.0 * tokens * inner, n * (tokens * (read + written) + matrix))

    def total(*parts: Work) -> Work:
        together = Work()
        for part in parts:
            together += part
        return together

    def gathers(flop: float, numbers: float, own: float, items: int) -> Work:
        """Attention: of each edge and of each item; exponential, envelope and table are 60 FLOP an edge and head."""
        gathered = n * d * (edges * numbers + items * own) + 12 * edges
        return Work(0.0, edges * (flop * d + 60.0 * network.heads), gathered)

    project = product(d, 3 * d, 2 * d, 5 * d) if rows == tokens else product(d, 3 * d, 2 * d, d + 4 * d * rows / tokens)
    output, gate, back = product(d, d, 3 * d, d), product(d, 2 * f, d, d + 2 * f), product(3 * d, d, 3 * d, d)
    last, head = product(f, d, 2 * f + d, d), product(d, d, d, 2 * d)
    last_back, gate_back = product(d, f, 3 * d + 2 * f, d + 2 * f), product(2 * f, d, 2 * f, d)
    output_back, head_back = product(d, d, 4 * d, 2 * d), product(d, d, d, d)
    energies = Work(0.0, 6.0 * tokens * d, n * tokens * d)
    return {
        # A phase takes about 30 FLOP in float64, counted as 60 in float32; with a cutoff both ends measure an edge.
        "begin": lambda _: Work(
            0.0,
            30.0 * network.layers * rows * d + 40.0 * listed,
            network.layers * n * rows * d + 32.0 * tokens * d + (96.0 if network.cutoff else 48.0) * listed,
        ),
        "project": lambda _: project,
        "attend": lambda _: gathers(4, 2, 2, tokens),
        "attention_output": lambda _: output,
        "gate": lambda _: gate,
        "feedforward_output": lambda _: last,
        "energy_hidden": lambda _: head,
        "energies": lambda _: energies,
        "after_attention": lambda layer: total(
            output, gate, last, *([project] if layer + 1 < network.layers else [head, energies])
        ),
        "energy_sum": lambda _: Work(0.0, tokens, 12 * tokens),
        "energy_hidden_back": lambda _: head_back,
        "feedforward_output_back": lambda _: last_back,
        "gate_back": lambda _: gate_back,
        "attention_output_back": lambda _: output_back,
        "after_attention_back": lambda layer: total(
            back if layer + 1 < network.layers else head_back, last_back, gate_back, output_back
        ),
        "attend_back_tokens": lambda _: gathers(6, 2, 4, tokens),
        "attend_back_rows": lambda _: gathers(8, 2, 4, rows),
        "fold": lambda _: Work(0.0, 60.0 * rows * d, n * (tokens * 12 * d + (rows - tokens) * 5 * d)),
        "project_back": lambda _: back,
        "pull": lambda _: Work(0.0, 12.0 * tokens * d, n * tokens * 3 * d),
        "forces": lambda _: Work(0.0, 40.0 * edges, 80.0 * edges),
    }


def launches(program: Path, network: Network, tokens: int, rows: int, edges: int) -> list[tuple[str, int, int]]:
    """Kernel, layer and blocks of each launch, as the code plans them."""
    local, radial, rotated, coordinates = int(network.cutoff is not None), 1, 1, 0
    numbers = [network.dim, network.layers, network.heads, network.feedforward, local, radial, rotated, coordinates]
    command = [program, *numbers, network.size, tokens, rows, edges]
    printed = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in printed.splitlines()]
    return [(kernel, int(layer), int(x) * int(y)) for kernel, layer, x, y, _ in lines]


def seconds(work: Work, size: int) -> float:
    """Estimate for a launch."""
    arithmetic = work.products / PRODUCTS[size] + work.other / OTHER[size]
    return max(LAUNCH, arithmetic, work.bytes / CACHE)


def report(name: str, network: Network, atoms: int, program: Path, every: bool) -> None:
    """Print the table of one structure; `every`: as if attention walked the edges in the skin too."""
    rows, listed, near = network.counts(atoms)
    edges = listed if every else near
    work_of = kernels(network, atoms, rows, listed, edges)
    plan = launches(program, network, atoms, rows, listed)
    print(f"\nESTIMATE: {name}, float{8 * network.size}, {atoms} atoms, {rows} rows, {edges} of {listed} edges")
    print(f"{'kernel':<24}{'launches':>9}{'blocks':>9}{'MFLOP':>10}{'products':>10}{'MB':>9}{'us':>9}")

    def line(kernel: str, count: int, blocks: object, work: Work, took: float) -> None:
        flop = (work.products + work.other) / 1e6
        print(f"{kernel:<24}{count:>9}{blocks:>9}{flop:>10.1f}{work.products / 1e6:>10.1f}"
              f"{work.bytes / 1e6:>9.2f}{1e6 * took:>9.1f}")  # fmt: skip

    whole, time = Work(), 0.0
    for kernel in dict.fromkeys(kernel for kernel, _, _ in plan):
        mine = [(layer, blocks) for other, layer, blocks in plan if other == kernel]
        sums, took = Work(), 0.0
        for layer, _ in mine:
            work = work_of[kernel](layer)
            sums += work
            took += seconds(work, network.size)
        whole += sums
        time += took
        line(kernel, len(mine), mine[0][1], sums, took)
    line("all", len(plan), "", whole, time)


def main() -> int:
    """Print it."""
    default = Path(os.environ.get("TRANSIP_MD_TEST_BUILD", ROOT / "build" / "tests")) / "cmake" / "print_plan"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=default, help="print_plan (default: %(default)s)")
    parser.add_argument("--network", choices=NETWORKS, default="water", help="shape (default: %(default)s)")
    parser.add_argument("--atoms", type=int, nargs="+", default=[192, 12288], help="sizes (default: 192 12288)")
    parser.add_argument("--every-edge", action="store_true", help="as if attention walked the edges in the skin too")
    arguments = parser.parse_args()
    if not arguments.program.is_file():
        folder = arguments.program.parent
        print(
            f"{arguments.program} is not there. Type `make build` and "
            f"`cmake -S {ROOT} -B {folder} -D TRANSIP_TESTS=ON && cmake --build {folder} --target print_plan`.",
            file=sys.stderr,
        )
        return 3
    for atoms in arguments.atoms:
        report(arguments.network, NETWORKS[arguments.network], atoms, arguments.program, arguments.every_edge)
    return 0


if __name__ == "__main__":
    sys.exit(main())
