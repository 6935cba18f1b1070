"""Machine code from folders that others may write is not loaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lammps_decks import LMP
from transip_md.common.errors import EnvironmentFaultError
from transip_md.common.trusted_paths import why_untrusted
from transip_md.evaluators.torch_model import ExportedModel
from transip_md.plugins.kinds import KINDS, folder_of, lammps_plugin_folder, make_cache_folder, why_unusable

OTHER = 12345
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


@pytest.fixture
def library(tmp_path) -> Path:
    """A file three folders deep."""
    file = tmp_path / "cache" / "plugin" / "code.so"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"code")
    for place in (tmp_path, tmp_path / "cache", file.parent):
        place.chmod(0o755)
    return file


def test_own_files_are_trusted(library):
    assert why_untrusted(library) is None


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize(("mode", "command"), [(0o777, "chmod o-w"), (0o757, "chmod o-w")])
def test_what_all_may_write(library, depth, mode, command):
    place = (library, *library.parents)[depth]
    place.chmod(mode)
    reason = why_untrusted(library)
    assert reason and f"{command} {place}" in reason
    place.chmod(0o755)


@needs_root
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_what_belongs_to_another_user(library, depth):
    place = (library, *library.parents)[depth]
    os.chown(place, OTHER, -1)
    reason = why_untrusted(library)
    assert reason and f"belongs to another user (uid {OTHER})" in reason


@needs_root
def test_what_a_group_may_write(library):
    os.chown(library.parent, -1, OTHER)
    library.parent.chmod(0o775)
    assert f"chmod g-w {library.parent}" in (why_untrusted(library) or "")


def test_a_sticky_folder_stands_above_only(library):
    library.parents[1].chmod(0o1777)
    assert why_untrusted(library) is None
    library.parents[1].chmod(0o755)
    library.parent.chmod(0o1777)
    assert why_untrusted(library) is not None


def test_links_are_followed(library, tmp_path):
    link = tmp_path / "link.so"
    link.symlink_to(library)
    library.parent.chmod(0o777)
    assert why_untrusted(link) is not None


def test_the_cache_is_made_for_its_user_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSIP_MD_CACHE", str(tmp_path / "new" / "cache"))
    assert make_cache_folder().stat().st_mode & 0o777 == 0o700


@pytest.fixture
def foreign_cache(lammps_plugin, tmp_path, monkeypatch):
    """A cache that all may write, with the plugin in it."""
    kind = KINDS["lammps"]
    before = folder_of(kind)
    monkeypatch.setenv("TRANSIP_MD_CACHE", str(tmp_path / "cache"))
    # Of tests before, which had LAMMPS's module in this process.
    monkeypatch.delenv("LAMMPS_PLUGIN_PATH", raising=False)
    shutil.copytree(before, folder_of(kind))
    (tmp_path / "cache").chmod(0o777)
    return tmp_path / "cache"


def test_a_plugin_from_a_folder_that_all_may_write(foreign_cache, capfd):
    assert f"chmod o-w {foreign_cache}" in (why_unusable(KINDS["lammps"]) or "")
    assert lammps_plugin_folder() == os.devnull
    assert "chmod o-w" in capfd.readouterr().err


def test_lammps_does_not_load_it(foreign_cache, tmp_path, toy_file):
    (tmp_path / "in.test").write_text(f"pair_style transip {toy_file}\n")
    result = subprocess.run([LMP, "-in", "in.test", "-log", "none"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode != 0
    assert "Unrecognized pair style" in result.stdout and "chmod o-w" in result.stderr


def test_compiled_models(local_files, tmp_path, cpp_build):
    folder = tmp_path / "shared"
    folder.mkdir()
    file = shutil.copy(local_files["aoti"], folder / "m.pt2")
    folder.chmod(0o777)
    with pytest.raises(EnvironmentFaultError, match=f"holds machine code, and {folder} may be written by every user"):
        ExportedModel(file, "cpu")
    said = subprocess.run([cpp_build / "load_model", "auto", file], capture_output=True, text=True).stdout
    assert said.startswith("refused: ") and f"chmod o-w {folder}" in said
    folder.chmod(0o755)
    ExportedModel(file, "cpu")


def test_two_builds_at_once(tmp_path):
    """The second waits for the first; the plugin is there at every moment after."""
    cache = tmp_path / "cache"
    code = (
        "import transip_md.plugins.build as b; from pathlib import Path; from transip_md.plugins.kinds import KINDS\n"
        "def compile(kinds, folder, log, force, say):\n"
        "    for kind in kinds:\n"
        "        (folder / kind.name).mkdir(); (folder / kind.name / kind.library).write_bytes(b'x' * 1000)\n"
        "b._compile, b.smoke_test, b._check_environment = compile, lambda *a: None, lambda *a: None\n"
        "for _ in range(20): b.build(['openmm'], force=True)\n"
    )
    environment = {**os.environ, "TRANSIP_MD_CACHE": str(cache)}
    builds = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    library = None
    while any(build.poll() is None for build in builds):
        found = list(cache.glob("openmm-*/*.so"))
        if library is not None:
            assert library.is_file() and library.stat().st_size == 1000
        elif found:
            library = found[0]
    assert all(build.returncode == 0 for build in builds), [build.stderr.read() for build in builds]
