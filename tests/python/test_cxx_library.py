"""What a compiler links that has no shared C++ library, or does not take it, uses the process's own all the same."""

import os

import pytest
import torch._inductor.config

from transip_md.exporting.cxx_library import links_shared, loaded_library, shared_by_all

#: A compiler with other options for what it links.
SCRIPT = '#!/bin/sh\ncase " $* " in *" -shared "*) exec c++ {before} "$@" {after};; esac\nexec c++ "$@"\n'
#: As one that has been told so once and for all.
STATIC = SCRIPT.format(before="", after="-static-libstdc++")
#: As one whose folder has the archive only: the linker takes what it finds.
BARE = SCRIPT.format(before="-nodefaultlibs", after="-l:libstdc++.a -lm -lgcc_s -lc")


def compiler_of(script, folder):
    """The command that a script becomes."""
    command = folder / "compiler"
    command.write_text(script)
    command.chmod(0o755)
    return str(command)


@pytest.fixture(params=[STATIC, BARE], ids=["static", "bare"])
def compiler(request, tmp_path):
    """A compiler whose libraries bring their own copy."""
    return compiler_of(request.param, tmp_path)


def test_shared_library_is_linked(compiler):
    assert not links_shared(compiler)
    with shared_by_all(compiler) as names:
        assert links_shared(compiler, *(f"-l{name}" for name in names))


def test_ordinary_compiler_is_left_alone(monkeypatch):
    monkeypatch.setenv("LIBRARY_PATH", "/somewhere")
    with shared_by_all("c++") as names:
        assert names == []
        assert os.environ["LIBRARY_PATH"] == "/somewhere"


def test_search_path_is_put_back(compiler, monkeypatch):
    monkeypatch.setenv("LIBRARY_PATH", "/somewhere")
    with shared_by_all(compiler):
        assert os.environ["LIBRARY_PATH"].endswith(":/somewhere")
    assert os.environ["LIBRARY_PATH"] == "/somewhere"
    monkeypatch.delenv("LIBRARY_PATH")
    with shared_by_all(compiler):
        assert loaded_library().samefile(f"{os.environ['LIBRARY_PATH']}/libstdc++.so.6")
    assert "LIBRARY_PATH" not in os.environ


def test_no_compiler_is_no_concern_of_this(tmp_path):
    assert not links_shared(str(tmp_path / "none"))


@pytest.mark.long
def test_compiled_model_of_such_a_compiler_loads(ethanol_checkpoint, tmp_path):
    """Without help torch ends with bad_cast, or a signal, when it loads the file."""
    from transip_md.exporting.export import export

    with torch._inductor.config.patch({"cpp.cxx": (None, compiler_of(STATIC, tmp_path))}):
        export(ethanol_checkpoint, tmp_path / "ethanol.pt2", form="aoti")
