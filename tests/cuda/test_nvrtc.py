"""The kernels through NVRTC, for the architectures that they are for: no spills, and no silent growth of registers.

`python tests/cuda/test_nvrtc.py` writes the table of registers anew, for whoever has a reason for a growth.
"""

from __future__ import annotations

import json
from pathlib import Path

import nvrtc
import pytest

TABLE = Path(__file__).with_name("registers.json")
#: What a kernel may grow by before someone has to look at it.
ALLOWED_GROWTH = 1.1
SHAPES = {
    "water, float32": "float,64,4,320,true,true,true,false",
    "water, float64": "double,64,4,320,true,true,true,false",
    "ethanol, float32": "float,64,4,160,false,true,true,false",
    "large, float32": "float,768,12,2048,true,true,true,false",
    "no bias, coordinates, float64": "double,128,8,352,false,false,false,true",
}
#: The most common network for every architecture, the others for one.
CASES = [("water, float32", architecture) for architecture in ("sm_80", "sm_90", "sm_100", "sm_120")]
CASES += [(shape, "sm_90") for shape in SHAPES if shape != "water, float32"]


#: What does not depend on the network: the search for neighbours, the totals of a structure.
FILES = {"search of neighbours": "search.cu", "totals": "totals.cu"}
CASES += [(name, architecture) for name in FILES for architecture in ("sm_80", "sm_90", "sm_120")]

#: Whole steps of small molecules.
MOLECULES = {
    "molecules, ethanol, float32": "float,64,4,160,false,true,true,false",
    "molecules, ethanol, float64": "double,64,4,160,false,true,true,false",
    "molecules, organic, float32": "float,96,6,240,false,true,true,false",
    "molecules, no bias, coordinates, float64": "double,128,8,352,false,false,false,true",
}
CASES += [("molecules, ethanol, float32", architecture) for architecture in ("sm_80", "sm_90", "sm_100", "sm_120")]
CASES += [(shape, "sm_90") for shape in MOLECULES if shape != "molecules, ethanol, float32"]


def _compile(shape: str, architecture: str) -> dict[str, nvrtc.Usage]:
    if shape in FILES:
        cubin, usage = nvrtc.compile_kernels(FILES[shape], architecture)
    else:
        file, template = ("molecule.cu", MOLECULES[shape]) if shape in MOLECULES else ("step.cu", SHAPES[shape])
        cubin, usage = nvrtc.compile_kernels(file, architecture, f"TRANSIP_SHAPE=transip::cuda::Shape<{template}>")
    assert cubin.startswith(b"\x7fELF")
    return usage


needs_nvrtc = pytest.mark.skipif(
    nvrtc.library() is None, reason="NVRTC is not installed (pip install nvidia-cuda-nvrtc)"
)


#: Every shape but one for one architecture, and the most common network for the oldest; the others take seconds each
#: and differ little from them: they are for the long tests.
QUICK = {(shape, "sm_90") for shape, _ in CASES if "no bias" not in shape} | {("water, float32", "sm_80")}


@needs_nvrtc
@pytest.mark.parametrize(
    ("shape", "architecture"),
    [pytest.param(*case, marks=() if case in QUICK else pytest.mark.long) for case in CASES],
)
def test_kernels_compile_without_spills_and_do_not_grow(shape, architecture):
    usage = _compile(shape, architecture)
    content = json.loads(TABLE.read_text())
    table = content["registers"][f"{shape}, {architecture}"]
    print(f"{shape}, {architecture}, NVRTC {nvrtc.version()}")
    for name, found in usage.items():
        print(f"  {name:<24} {found.registers:4d} registers, {table.get(name)} in the table")
    assert usage.keys() == table.keys()
    assert {name: found.spilled for name, found in usage.items() if found.spilled} == {}
    if nvrtc.version() != content["nvrtc"]:
        pytest.skip(f"no spills; registers were counted by NVRTC {content['nvrtc']}, this is {nvrtc.version()}")
    grown = {name: found.registers for name, found in usage.items() if found.registers > ALLOWED_GROWTH * table[name]}
    assert grown == {}


@needs_nvrtc
def test_a_shape_that_does_not_fit_is_refused():
    shape = "TRANSIP_SHAPE=transip::cuda::Shape<float,66,4,160,true,true,true,false>"
    with pytest.raises(nvrtc.CompilationError, match="a shape that the kernels are not made for"):
        nvrtc.compile_kernels("step.cu", "sm_90", shape)


@needs_nvrtc
def test_a_gpu_without_these_tensor_cores_is_refused():
    with pytest.raises(nvrtc.CompilationError, match=r"compute capability 8\.0 .* use kernels torch"):
        _compile("water, float32", "sm_75")


def _write_table() -> None:
    registers = {}
    for shape, architecture in CASES:
        usage = _compile(shape, architecture)
        spilled = {name: found.spilled for name, found in usage.items() if found.spilled}
        print(shape, architecture, "spilled:", spilled or "nothing")
        registers[f"{shape}, {architecture}"] = {name: found.registers for name, found in sorted(usage.items())}
    TABLE.write_text(json.dumps({"nvrtc": nvrtc.version(), "registers": registers}, indent=2) + "\n")


if __name__ == "__main__":
    _write_table()
