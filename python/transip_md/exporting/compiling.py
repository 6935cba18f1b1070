"""Compilation of models ahead of time: energy and forces in one graph, by AOTInductor, for the machine at hand."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from transip_md.common.errors import EnvironmentFaultError
from transip_md.evaluators.compiled import SMALLEST, SYMMETRY_ENTRY
from transip_md.exporting.cxx_library import shared_by_all
from transip_md.modelfile.metadata import METADATA_NAME, REFERENCE_NAME, Metadata
from transip_md.symmetry.module import Symmetry

#: Loads the package that is named.
LOADING = "import sys; from transip_md.evaluators.compiled import load_package; load_package(sys.argv[1])"


def compile_model(
    eager: nn.Module, example: tuple[Tensor, ...], metadata: Metadata, path: Path, reference: str
) -> None:
    """Trace, compile and package a module with the engines' forward.

    The gradient with respect to positions is traced into the graph. The numbers of tokens, rows and neighbour slots
    stay free; the code runs in one thread, whatever the caller's number of threads.

    Args:
        eager: a module with the forward of `transip_md.exporting.engine_model.EngineModel`.
        example: its arguments for some structure of a few atoms, on the device to compile for.
        metadata: of the file; goes into the package.
        path: file to write, ``*.pt2``.
        reference: text of its ``reference.json``.

    Raises:
        EnvironmentFaultError: there is no working C++ compiler, or torch cannot compile the model.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch.fx.experimental.proxy_tensor import make_fx

    tokens = torch.export.Dim("tokens", min=SMALLEST)
    local = metadata.cutoff is not None
    rows = torch.export.Dim("rows", min=SMALLEST) if local else tokens
    slots = {0: tokens, 1: torch.export.Dim("slots", min=SMALLEST)} if local else {0: tokens}
    shapes = ({0: tokens}, {0: rows}, {0: rows}, {0: tokens}, slots, None, None)

    def forward(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        return eager(*inputs)

    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            warnings.catch_warnings(),
            shared_by_all(get_cpp_compiler()) as libraries,
        ):
            # torch warns of its own code here.
            warnings.simplefilter("ignore")
            with torch.enable_grad():
                graph = make_fx(forward, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*example)
            # torch 2.11 makes of some sizes of all-to-all models a guard that it then cannot prove.
            program = torch.export.export(
                graph, example, dynamic_shapes=shapes, prefer_deferred_runtime_asserts_over_guards=True
            )
            package = torch._inductor.aoti_compile_and_package(
                program,
                package_path=str(Path(folder) / "model.pt2"),
                inductor_configs={
                    "cpp.threads": 1,
                    "aot_inductor.custom_op_libs": libraries,
                    # Precompiled for one source each, headers take longer than the sources.
                    "aot_inductor.precompile_headers": False,
                },
            )
            symmetry = io.BytesIO()
            torch.jit.save(torch.jit.script(Symmetry()), symmetry)
            extra = {f"extra/{METADATA_NAME}": metadata.to_json(), f"extra/{REFERENCE_NAME}": reference}
            _repack(Path(package), path, {**extra, SYMMETRY_ENTRY: symmetry.getvalue()})
    except (RuntimeError, torch._inductor.exc.InductorError) as error:
        raise EnvironmentFaultError(
            f"torch {torch.__version__} could not compile the model: {str(error).splitlines()[0]}. A C++ compiler "
            "(g++) is needed; a TorchScript file (`--format torchscript`) is not compiled."
        ) from error


def _repack(package: Path, path: Path, extra: dict[str, str | bytes]) -> None:
    """Copy a package with extra files, and of sources, which nothing needs, the names: torch 2.11 wants them."""
    with zipfile.ZipFile(package) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            target.writestr(name, b"" if name.endswith(".cpp") else source.read(name))
        top = source.namelist()[0].split("/")[0]
        for name, content in extra.items():
            target.writestr(f"{top}/{name}", content)


def check_loading(path: Path, device: str) -> None:
    """Load a compiled file in a process of its own: should torch crash, it is not the caller that ends.

    Raises:
        EnvironmentFaultError: that process was ended by a signal.
    """
    command = [sys.executable, "-c", LOADING, str(path)]
    code = subprocess.run(command, capture_output=True, check=False).returncode
    if code < 0:
        raise EnvironmentFaultError(
            f"torch {torch.__version__} compiled the model for device {device} and crashes when it loads what it made "
            f"({signal.Signals(-code).name}). Use a TorchScript file (`--format torchscript`), or another torch."
        )
