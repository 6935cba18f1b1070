"""Build the plugins and libraries against what is installed, and load each once as a smoke test."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from transip_md.common.errors import EnvironmentFaultError
from transip_md.common.trusted_paths import why_untrusted
from transip_md.plugins import locate
from transip_md.plugins.kinds import (
    KINDS,
    RECORD_NAME,
    PluginKind,
    cache_folder,
    expected_record,
    folder_of,
    is_built,
    make_cache_folder,
    source_folder,
    why_unbuildable,
)

#: Lines of a failed build that are shown; the rest is in the log.
SHOWN_LINES = 15

#: A model file that is not there: to report that, the plugin must have been loaded.
ABSENT_MODEL = "smoke-test-of-the-build.pt"
EXPECTED_ANSWER = f"No such model file: {ABSENT_MODEL}"

OPENMM_SMOKE_TEST = f"""
import sys
import openmm
openmm.Platform.loadPluginLibrary(sys.argv[1])
xml = '<Force type="TransIPForce" version="1" file="{ABSENT_MODEL}"><Particles/></Force>'
system = openmm.System()
system.addParticle(1.0)
system.addForce(openmm.XmlSerializer.deserialize(xml))
openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
"""

#: Each of them answers what is expected where it loads.
LIBRARY_SMOKE_TEST = f"""
import ctypes
import sys
library = ctypes.CDLL(sys.argv[1])
library.transip_message.restype = ctypes.c_char_p
library.transip_load({ABSENT_MODEL.encode()!r}, None, ctypes.byref(ctypes.c_void_p()))
print(library.transip_message().decode())
"""
TORCH_SMOKE_TEST = f"""
import ctypes
import sys
print({EXPECTED_ANSWER!r} if ctypes.CDLL(sys.argv[1]).transip_torch_functions else "")
"""
SMOKE_TESTS = {"openmm": OPENMM_SMOKE_TEST, "library": LIBRARY_SMOKE_TEST, "torch": TORCH_SMOKE_TEST}

#: The plugin lies beside the deck: the name of its folder may hold what LAMMPS would take for a command.
LAMMPS_SMOKE_TEST = f"plugin load ./{{name}}\npair_style transip {ABSENT_MODEL}\n"


def find_tool(name: str) -> Path:
    """A command: the one installed beside this Python before any other on the PATH."""
    beside = Path(sysconfig.get_path("scripts")) / name
    found = beside if beside.is_file() else shutil.which(name)
    if not found:
        raise EnvironmentFaultError(f"The command {name} is not there. Type `pip install {name}`.")
    return Path(found)


def _run(command: list[str], log: Path, what: str) -> None:
    with log.open("a") as output:
        print("$", " ".join(command), file=output, flush=True)
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-SHOWN_LINES:])
        raise EnvironmentFaultError(f"{what} failed. The end of {log}:\n{tail}")


def smoke_test(kind: PluginKind, library: Path) -> None:
    """Load a plugin in a process of its own, as its engine would.

    Raises:
        EnvironmentFaultError: it does not load.
    """
    with tempfile.TemporaryDirectory() as folder:
        if kind.name == "lammps":
            deck = Path(folder) / "in.smoke"
            (Path(folder) / kind.library).symlink_to(library.resolve())
            deck.write_text(LAMMPS_SMOKE_TEST.format(name=kind.library))
            command = [str(find_tool("lmp")), "-log", "none", "-in", deck.name]
        else:
            command = [sys.executable, "-c", SMOKE_TESTS[kind.name], str(library)]
        # An empty cache: the plugin that LAMMPS would load by itself must not be there beside this one.
        environment = {**os.environ, "TRANSIP_MD_CACHE": folder, "LAMMPS_PLUGIN_PATH": ""}
        result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    answer = result.stdout + result.stderr
    if EXPECTED_ANSWER not in answer:
        said = "\n".join(answer.strip().splitlines()[-SHOWN_LINES:])
        raise EnvironmentFaultError(
            f"The {kind.title} was compiled but does not load (exit {result.returncode}):\n{said}"
        )


def _check_environment(kinds: list[PluginKind]) -> None:
    if not (os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")):
        raise EnvironmentFaultError(
            "Building needs a C++20 compiler. Install g++ 11 or newer (Debian, Ubuntu: `apt install g++`)."
        )
    for kind in kinds:
        if reason := why_unbuildable(kind):
            raise EnvironmentFaultError(reason)


def build(
    names: list[str], *, force: bool = False, folder: Path | None = None, say: Callable[[str], None] = print
) -> dict[str, Path]:
    """Build plugins that are missing or stale.

    Args:
        names: keys of `transip_md.plugins.kinds.KINDS`; with a plugin comes the torch library, where torch is
            installed.
        force: build even what is there.
        folder: CMake's folder, kept, so that the next build compiles what changed. None: a temporary one.
        say: takes one line at a time.

    Returns:
        The library of every plugin asked for.

    Raises:
        EnvironmentFaultError: no compiler, an engine that is not installed, a build or a smoke test that fails, sources
            that change meanwhile.
    """
    kinds = [KINDS[name] for name in _with_torch(names)]
    wanted = [kind for kind in kinds if force or not is_built(kind)]
    for kind in kinds:
        if kind not in wanted:
            say(f"{kind.title}: up to date, {folder_of(kind)}")
    if wanted:
        _check_environment(wanted)
        if reason := why_untrusted(make_cache_folder()):
            raise EnvironmentFaultError(f"Plugins are kept in {cache_folder()}, but {reason}")
        with _one_build_at_a_time(say):
            # Another build may have made them while this one waited.
            wanted = [kind for kind in wanted if force or not is_built(kind)]
            _build_and_keep(wanted, force, folder, say)
    return {kind.name: folder_of(kind) / kind.library for kind in kinds}


def _with_torch(names: list[str]) -> list[str]:
    """The same with the torch library, which every other uses for files that native kernels do not know."""
    if "torch" in names or locate.version_of("torch") is None:
        return names
    return [*names, "torch"]


@contextlib.contextmanager
def _one_build_at_a_time(say: Callable[[str], None]) -> Iterator[None]:
    lock = FileLock(cache_folder() / "build.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"Waiting for another `transip-md build` that uses {cache_folder()} ...")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build_and_keep(kinds: list[PluginKind], force: bool, folder: Path | None, say: Callable[[str], None]) -> None:
    if not kinds:
        return
    log = cache_folder() / "build.log"
    log.unlink(missing_ok=True)
    records = {kind.name: expected_record(kind) for kind in kinds}
    with _folder_to_compile_in(folder, say) as built:
        _compile(kinds, built, log, force, say)
        for kind in kinds:
            smoke_test(kind, built / kind.name / kind.library)
            # What was compiled may be of neither, and would be taken for that of today.
            if expected_record(kind) != records[kind.name]:
                raise EnvironmentFaultError(
                    f"{kind.title}: its sources, or what it is built against, changed while it was compiled. Type "
                    f"`transip-md build {kind.name}` again."
                )
            _keep(kind, built)
            say(f"{kind.title}: built and loaded, {folder_of(kind)}")


@contextlib.contextmanager
def _folder_to_compile_in(kept: Path | None, say: Callable[[str], None]) -> Iterator[Path]:
    """The folder to keep, unless there is none or others may write it (it holds machine code): then a temporary one."""
    if kept is not None:
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (reason := why_untrusted(kept)) is None:
            yield kept.resolve()
            return
        say(f"Nothing that is compiled is kept: {reason}")
    with tempfile.TemporaryDirectory(prefix="building-", dir=cache_folder()) as temporary:
        yield Path(temporary)


def _compile(kinds: list[PluginKind], folder: Path, log: Path, force: bool, say: Callable[[str], None]) -> None:
    names = {kind.name for kind in kinds}
    say(f"Compiling {', '.join(kind.title for kind in kinds)} (about a minute; log: {log}) ...")
    configure = [
        str(find_tool("cmake")),
        "-S", str(source_folder()),
        "-B", str(folder),
        "-G", "Ninja",
        f"-DCMAKE_MAKE_PROGRAM={find_tool('ninja')}",
        f"-DPython3_EXECUTABLE={sys.executable}",
        f"-DTRANSIP_LOCATE={Path(locate.__file__).resolve()}",
        f"-DTRANSIP_LAMMPS={'ON' if 'lammps' in names else 'OFF'}",
        f"-DTRANSIP_OPENMM={'ON' if 'openmm' in names else 'OFF'}",
        f"-DTRANSIP_LIBRARY={'ON' if 'library' in names else 'OFF'}",
        f"-DTRANSIP_TORCH={'ON' if 'torch' in names else 'OFF'}",
    ]  # fmt: skip
    _run(configure, log, "Configuring the build")
    command = [str(find_tool("cmake")), "--build", str(folder), "--target", *(kind.target for kind in kinds)]
    _run([*command, "--clean-first"] if force else command, log, "Compiling")


def _keep(kind: PluginKind, built: Path) -> None:
    """Put a plugin into its folder, each file by a rename: there is no moment without one, and none half-written."""
    final = folder_of(kind)
    final.mkdir(exist_ok=True)
    record = built / RECORD_NAME
    record.write_text(json.dumps(expected_record(kind), indent=1) + "\n")
    record.replace(final / RECORD_NAME)
    for name in (*kind.parts, kind.library):
        if name != kind.library and not (built / kind.name / name).is_file():
            (final / name).unlink(missing_ok=True)
            continue
        unfinished = final / f"{name}.unfinished"
        shutil.copy2(built / kind.name / name, unfinished)
        unfinished.replace(final / name)
    if kind.name == "torch":
        _link_torch(final)


def _link_torch(folder: Path) -> None:
    """Let `torch` in the cache be the torch library built last: where plugins look that no Python started."""
    link = cache_folder() / "torch"
    unfinished = link.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    unfinished.symlink_to(folder.name)
    unfinished.replace(link)
