"""What tests of engines on emulated CUDA devices share."""

from __future__ import annotations

from pathlib import Path

import pytest

from made_once import built_by_cmake


@pytest.fixture(scope="module")
def build(tmp_path_factory) -> Path:
    """The folder of the build, with libtransip and the pair style on emulated devices in its folder emulated."""
    return built_by_cmake(tmp_path_factory, "cuda_tests")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[tuple[str, str], Path]:
    """Shipped models by name and dtype: the emulator has kernels for their shapes."""
    import transip_md
    from transip_md.exporting.export import export

    folder = tmp_path_factory.mktemp("models")
    found = {}
    for name, dtype in (("water", "float64"), ("water", "float32"), ("ethanol", "float64")):
        found[name, dtype] = folder / f"{name}_{dtype}.pt"
        export(transip_md.pretrained(name), found[name, dtype], dtype)
    return found


@pytest.fixture
def emulated_library(build, monkeypatch):
    """libtransip on emulated devices, instead of the one that is built for Python."""
    from transip_md.evaluators import binding

    monkeypatch.setattr(binding, "plugin_library", lambda kind: build / "emulated" / "libtransip.so")
    binding.library.cache_clear()
    yield
    binding.library.cache_clear()


@pytest.fixture(scope="module")
def committees(tmp_path_factory) -> dict[str, list[Path]]:
    """Committees of three models in float64, whose weights differ a little from those of shipped models."""
    import transip_md
    from committees import perturbed

    return {
        name: perturbed(lambda name=name: transip_md.pretrained(name), tmp_path_factory.mktemp(name), 0.003, 3)
        for name in ("water", "ethanol")
    }
