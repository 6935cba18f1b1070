"""What this machine's processor can do."""

from __future__ import annotations

import platform
from pathlib import Path


def instructions_here() -> list[str]:
    """Instruction sets whose kernels this processor runs, by what Linux says of it."""
    if platform.machine() != "x86_64":
        return ["baseline"]
    flags = set(Path("/proc/cpuinfo").read_text().split())
    wanted = {"avx2": {"avx2", "fma"}, "avx512": {"avx512f", "avx512dq", "avx512vl", "avx512bw"}}
    return ["baseline", *(name for name, needed in wanted.items() if needed <= flags)]
