"""Reading structures: compressed files, empty frames."""

import bz2
import gzip
import lzma

import ase
import ase.io
import numpy as np
import pytest

from transip_md.common.errors import UsageError
from transip_md.data.structures import read_frames, read_structure

EMPTY = "0\nProperties=species:S:1:pos:R:3\n"


def molecules(count: int) -> list[ase.Atoms]:
    rng = np.random.default_rng(0)
    return [ase.Atoms("OH2", rng.normal(size=(3, 3))) for _ in range(count)]


@pytest.fixture
def no_seeking(monkeypatch):
    """Compressed streams that refuse to go anywhere but on."""

    def refuse(stream, *place):
        raise AssertionError("a compressed stream was told to seek")

    for stream in (gzip.GzipFile, bz2.BZ2File, lzma.LZMAFile):
        monkeypatch.setattr(stream, "seek", refuse)


@pytest.mark.parametrize("name", ["a.extxyz.xz", "a.xyz.gz", "a.extxyz.bz2", "a.traj.xz", "a.json.gz", "POSCAR.xz"])
def test_compressed_files_are_unpacked_once(tmp_path, no_seeking, name):
    """Text and binary formats, known by the suffix within or by the whole name."""
    frames = molecules(5)
    if name.startswith("POSCAR"):
        frames = [ase.Atoms("OH2", frames[0].positions, cell=[9, 9, 9], pbc=True)]
    plain, suffix = tmp_path / name.rpartition(".")[0], name.rpartition(".")[2]
    ase.io.write(plain, frames if len(frames) > 1 else frames[0])
    pack = {"xz": lzma.compress, "gz": gzip.compress, "bz2": bz2.compress}[suffix]
    (tmp_path / name).write_bytes(pack(plain.read_bytes()))
    plain.unlink()
    read = read_frames(tmp_path / name)
    assert len(read) == len(frames)
    for got, wanted in zip(read, frames, strict=True):
        assert got.get_chemical_formula() == "H2O"
        assert np.allclose(got.positions, wanted.positions, rtol=0, atol=1e-8)
    assert np.allclose(read_structure(tmp_path / name).positions, frames[-1].positions, rtol=0, atol=1e-8)


def test_labels_of_a_compressed_file(tmp_path):
    (tmp_path / "a.extxyz").write_text(
        '1\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-2.5 charge=1 pbc="F F F"\nO 0 0 0 1 2 3\n'
    )
    (tmp_path / "a.extxyz.gz").write_bytes(gzip.compress((tmp_path / "a.extxyz").read_bytes()))
    (plain,), (packed,) = read_frames(tmp_path / "a.extxyz"), read_frames(tmp_path / "a.extxyz.gz")
    assert packed == plain and packed.info == plain.info == {"charge": 1}
    assert packed.get_potential_energy() == -2.5 and packed.get_forces().tolist() == [[1, 2, 3]]


def test_an_at_sign_is_part_of_the_name(tmp_path):
    frames = molecules(3)
    path = tmp_path / "water@300K.xyz"
    ase.io.write(tmp_path / "water.xyz", frames)
    (tmp_path / "water.xyz").rename(path)
    assert len(read_frames(path)) == 3
    assert np.allclose(read_structure(path).positions, frames[2].positions, rtol=0, atol=1e-8)


def test_empty_frames_are_named(tmp_path):
    whole = "1\nProperties=species:S:1:pos:R:3\nO 0 0 0\n"
    path = tmp_path / "a.extxyz"
    for text, index in ((whole + whole + EMPTY + whole, 2), (EMPTY, 0)):
        path.write_text(text)
        with pytest.raises(UsageError, match=rf"a\.extxyz, frame {index} holds no atoms\. Expected at least one\."):
            read_frames(path)
    path.write_text(whole + EMPTY + whole)
    assert len(read_structure(path)) == 1
    path.write_text(whole + EMPTY)
    with pytest.raises(UsageError, match=r"a\.extxyz, last frame, holds no atoms"):
        read_structure(path)


def test_unreadable_files(tmp_path):
    cut = tmp_path / "a.xyz.xz"
    cut.write_bytes(lzma.compress(b"1\n\nO 0 0 0\n" * 100)[:-20])
    junk = tmp_path / "b.xyz.gz"
    junk.write_text("1\n\nO 0 0 0\n")
    nothing = tmp_path / "c.extxyz"
    nothing.write_text("")
    strange = tmp_path / "d.novel.gz"
    strange.write_bytes(gzip.compress(b"1\n\nO 0 0 0\n"))
    for path in (cut, junk, nothing, strange):
        with pytest.raises(UsageError, match=rf"{path.name} could not be read as a structure: \w.*Expected a file"):
            read_frames(path)
    with pytest.raises(UsageError, match=r"No such structure file: .*none\.xyz\.gz"):
        read_frames(tmp_path / "none.xyz.gz")
