"""What a step of the CUDA kernels should cost, by kernel: `python benchmarks/cuda/estimate.py`.

An ESTIMATE: nothing here is measured. FLOP and bytes are counted by formulas for the launch plan as it is. The time of
a launch is that of its arithmetic or that of its bytes, whichever is longer, at the rates below, and never less than a
launch takes; that few blocks wait for memory it does not see. What a device really takes is for a profile on one. The
plan comes from `print_plan`, which CMake's target `cuda_tests` builds.

A step of a small molecule that is one launch is estimated by its stages, which wait for one another, and so are then
the many launches beside it; `--cluster N` prints what a cluster of N blocks would take, which the code does not have.
Of wide networks a line tells what their linear layers would take by a library of matrix products (cuBLASLt), which the
code does not use.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: What an H100 is assumed to reach. FLOP/s: products in float32 by 3xTF32 (three instructions each, mma.sync), in
#: float64 by tensor cores, other arithmetic in float32 and float64; bytes/s: of the L2 cache.
PRODUCTS = {4: 75e12, 8: 40e12}
#: What no library exceeds: peak rates of an H100 in float32 without TF32's rounding and in float64 by tensor cores
#: (NVIDIA, H100 Tensor Core GPU data sheet, SXM).
PEAK = {4: 67e12, 8: 67e12}
OTHER = {4: 25e12, 8: 13e12}
CACHE = 5.5e12
#: Seconds from one small kernel of a CUDA graph to the next that waits for it.
LAUNCH = 4e-6
#: Multiprocessors, and what each is assumed to reach: clocks/s, bytes/s from the L2 cache.
MULTIPROCESSORS = 132
CLOCK = 1.755e9
CACHE_OF_ONE = 64 * CLOCK
#: Seconds of a block between a barrier and the first numbers that come from what is behind it: loads from the cache, of
#: a norm its sums; a launch has one such stage in it. Within a cluster numbers come by the L2 cache, and its barrier
#: waits until they are there.
STAGE, STAGE_OF_CLUSTER = 0.6e-6, 1.1e-6
#: Seconds that a warp takes for 16 of the inner dimension of a product: six instructions of tensor cores, of which each
#: waits for the one before; and for a round of attention over as many edges as it has slots.
TILE_CHAIN, ROUND = 6 * 33 / CLOCK, 800 / CLOCK
#: The launches of a step in which positions become rows and rows atoms, beside those of the network.
LAUNCHES_BESIDE = 4
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
    "ethanol": Network(64, 3, 4, 160, None),
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


@dataclass(frozen=True)
class Launch:
    """A launch as the code plans it: the kernel, its layer (or part), its blocks and the threads of each."""

    kernel: str
    layer: int
    blocks: int
    threads: int


def launches(program: Path, network: Network, tokens: int, rows: int, edges: int, at_a_time: int) -> list[Launch]:
    """The launches of a step, on a device that works on so many blocks at a time (0: no molecule is one launch)."""
    local, radial, rotated, coordinates = int(network.cutoff is not None), 1, 1, 0
    numbers = [network.dim, network.layers, network.heads, network.feedforward, local, radial, rotated, coordinates]
    command = [program, *numbers, network.size, tokens, rows, edges, at_a_time]
    printed = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in printed.splitlines()]
    return [Launch(kernel, int(layer), int(x) * int(y), int(threads)) for kernel, layer, x, y, threads in lines]


def seconds(work: Work, size: int) -> float:
    """Estimate for a launch."""
    arithmetic = work.products / PRODUCTS[size] + work.other / OTHER[size]
    return max(LAUNCH, arithmetic, work.bytes / CACHE)


def library_seconds(network: Network, tokens: int, inner: int, outer: int) -> float:
    """Seconds of a linear layer by a library of matrix products at its peak.

    What comes before the product (a norm, an activation, a rotation) is a launch of its own then, whose numbers go
    through memory; what comes after counts as free.
    """
    before = Work(0.0, 10.0 * tokens * inner, 2.0 * network.size * tokens * inner)
    moved = network.size * (tokens * (inner + outer) + inner * outer)
    product = max(LAUNCH, 2.0 * tokens * inner * outer / PEAK[network.size], moved / CACHE)
    return seconds(before, network.size) + product


def report(name: str, network: Network, atoms: int, program: Path, every: bool) -> None:
    """Print the table of one structure; `every`: as if attention walked the edges in the skin too."""
    rows, listed, near = network.counts(atoms)
    edges = listed if every else near
    work_of = kernels(network, atoms, rows, listed, edges)
    plan = launches(program, network, atoms, rows, listed, 0)
    print(f"\nESTIMATE: {name}, float{8 * network.size}, {atoms} atoms, {rows} rows, {edges} of {listed} edges")
    print(f"{'kernel':<24}{'launches':>9}{'blocks':>9}{'MFLOP':>10}{'products':>10}{'MB':>9}{'us':>9}")

    def line(kernel: str, count: int, blocks: object, work: Work, took: float) -> None:
        flop = (work.products + work.other) / 1e6
        print(f"{kernel:<24}{count:>9}{blocks:>9}{flop:>10.1f}{work.products / 1e6:>10.1f}"
              f"{work.bytes / 1e6:>9.2f}{1e6 * took:>9.1f}")  # fmt: skip

    whole, time, linear, by_library = Work(), 0.0, 0.0, 0.0
    matrix_of = matrices(network)
    for kernel in dict.fromkeys(launch.kernel for launch in plan):
        mine = [launch for launch in plan if launch.kernel == kernel]
        sums, took = Work(), 0.0
        for launch in mine:
            work = work_of[kernel](launch.layer)
            sums += work
            took += seconds(work, network.size)
        whole += sums
        time += took
        if kernel in matrix_of:
            linear += took
            by_library += len(mine) * library_seconds(network, atoms, *matrix_of[kernel])
        line(kernel, len(mine), mine[0].blocks, sums, took)
    line("all", len(plan), "", whole, time)
    # Those of a narrow network are in one kernel, but for `project`.
    if any(launch.kernel == "gate" for launch in plan):
        print(f"linear layers: {1e6 * linear:.0f} us; by a library at its peak: {1e6 * by_library:.0f} us")


@dataclass(frozen=True)
class Stage:
    """A stage of a step that is one launch: how often, its work, and seconds of what waits for one another in it."""

    name: str
    count: int
    work: Work
    chain: float


def matrices(network: Network) -> dict[str, tuple[int, int]]:
    """Inner and outer dimension of the linear layers, by the names of their kernels."""
    d, f = network.dim, math.ceil(network.feedforward / 16) * 16
    forward = {"project": (d, 3 * d), "attention_output": (d, d), "gate": (d, 2 * f), "feedforward_output": (f, d)}
    forward["energy_hidden"] = (d, d)
    return forward | {f"{name}_back": (outer, inner) for name, (inner, outer) in forward.items()}


def chain(matrix: tuple[int, int], abreast: int) -> float:
    """Seconds that a product's instructions wait for one another, if so many warps share the columns."""
    inner, outer = matrix
    return math.ceil(math.ceil(outer / 16) / abreast) * math.ceil(inner / 16) * TILE_CHAIN


def stages(network: Network, tokens: int, warps: int) -> list[Stage]:
    """The stages of one molecule, shared by so many warps."""
    edges, layers = tokens * (tokens - 1), network.layers
    work_of = kernels(network, tokens, tokens, edges, edges)
    # As split_heads in tiles.h has it, for heads of up to 16 features.
    together = 1
    while 2 * together <= 32 and network.heads % (2 * together) == 0:
        together *= 2
    slots, groups = 32 // together, network.heads // together
    abreast = warps // min(2, math.ceil(tokens / 16))

    def shared(name: str, count: int, items: int, rounds: int) -> Stage:
        return Stage(name, count, work_of[name](0), math.ceil(items / warps) * rounds * ROUND)

    once = {"energy_hidden": 1, "energy_hidden_back": 1, "project_back": layers - 1}
    return [
        shared("begin", 1, tokens * layers, 2),
        *(
            Stage(name, once.get(name, layers), work_of[name](0), math.ceil(tokens / TILE) * chain(matrix, abreast))
            for name, matrix in matrices(network).items()
        ),
        shared("attend", layers, tokens * groups, math.ceil((tokens - 1) / slots)),
        shared("attend_back_tokens", layers, tokens * groups, math.ceil(tokens / slots)),
        shared("attend_back_rows", layers, tokens * groups, math.ceil(tokens / slots)),
        shared("fold", layers, tokens, 1),
        shared("energies", 1, tokens, 1),
        shared("forces", 1, tokens, 2),
        shared("energy_sum", 1 + LAUNCHES_BESIDE, 1, 1),  # and places of rows, and totals
    ]


def many_launches(network: Network, plan: list[Launch]) -> float:
    """Seconds of a molecule's step in many launches, with what waits for one another in them."""
    of, abreast = matrices(network), 4  # warps that share a block's columns in a launch
    linear = {
        "after_attention": ("attention_output", "gate", "feedforward_output", "project", "energy_hidden"),
        "after_attention_back": (
            "project_back", "energy_hidden_back", "feedforward_output_back", "gate_back", "attention_output_back",
        ),
    }  # fmt: skip
    time = LAUNCHES_BESIDE * LAUNCH
    for launch in plan:
        last = launch.layer + 1 == network.layers
        left_out = {"project", "project_back"} if last else {"energy_hidden", "energy_hidden_back"}
        names = [name for name in linear.get(launch.kernel, ()) if name not in left_out]
        names = names or [name for name in of if name == launch.kernel]
        time += LAUNCH + sum(STAGE + chain(of[name], abreast) for name in names) - (STAGE if names else 0.0)
    return time


def report_molecule(name: str, network: Network, atoms: int, program: Path, blocks: int) -> None:
    """Print the table of a molecule whose step is one launch, if the code plans it so.

    Args:
        name: of the network.
        network: its shape.
        atoms: of the molecule.
        program: print_plan.
        blocks: of a cluster, as if that shared the stages; 1: as the code has it.
    """
    edges = atoms * (atoms - 1)
    one = launches(program, network, atoms, atoms, edges, MULTIPROCESSORS)
    if len(one) > 1:
        return
    threads = one[0].threads
    by = "one block" if blocks == 1 else f"a cluster of {blocks} blocks (the code has none)"
    title = f"{name}, float{8 * network.size}, {atoms} atoms"
    print(f"\nESTIMATE: {title}, a whole step in one launch by {by} of {threads} threads")
    print(f"{'stage':<24}{'times':>9}{'MFLOP':>10}{'MB':>9}{'us':>9}")
    time = LAUNCH
    for stage in stages(network, atoms, blocks * threads // 32):
        work = stage.work
        arithmetic = work.products / PRODUCTS[network.size] + work.other / OTHER[network.size]
        share = max(arithmetic * MULTIPROCESSORS, work.bytes / CACHE_OF_ONE) / blocks
        took = stage.count * ((STAGE if blocks == 1 else STAGE_OF_CLUSTER) + max(stage.chain, share))
        flop, moved = stage.count * (work.products + work.other) / 1e6, stage.count * work.bytes / 1e6
        print(f"{stage.name:<24}{stage.count:>9}{flop:>10.1f}{moved:>9.2f}{1e6 * took:>9.1f}")
        time += took
    plan = launches(program, network, atoms, atoms, edges, 0)
    many = 1e6 * many_launches(network, plan)
    print(f"one launch: {1e6 * time:.0f} us; {LAUNCHES_BESIDE + len(plan)} launches: {many:.0f} us")


def main() -> int:
    """Print it."""
    default = Path(os.environ.get("TRANSIP_MD_TEST_BUILD", ROOT / "build" / "tests")) / "cmake" / "print_plan"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=default, help="print_plan (default: %(default)s)")
    parser.add_argument("--network", choices=NETWORKS, default="water", help="shape (default: %(default)s)")
    parser.add_argument("--atoms", type=int, nargs="+", default=[192, 12288], help="sizes (default: 192 12288)")
    parser.add_argument("--float64", action="store_true", help="of a model in float64 instead of float32")
    parser.add_argument("--every-edge", action="store_true", help="as if attention walked the edges in the skin too")
    parser.add_argument("--cluster", type=int, default=1, metavar="N", help="blocks that share a molecule (default: 1)")
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
        network = replace(NETWORKS[arguments.network], size=8 if arguments.float64 else 4)
        report(arguments.network, network, atoms, arguments.program, arguments.every_edge)
        report_molecule(arguments.network, network, atoms, arguments.program, arguments.cluster)
    return 0


if __name__ == "__main__":
    sys.exit(main())
