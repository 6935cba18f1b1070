"""Pack a training recipe, its data and what a CUDA machine without network needs to run it, into one tar file.

    python scripts/gpu_train_bundle.py recipe.yaml -o build/gpu-train.tar

The other machine brings Linux on x86_64 and a Python with a CUDA build of torch, numpy, scipy and matplotlib. There:
``scripts/gpu_train.sh gpu-train.tar``, as often as it takes: each time it resumes where the last one ended.
"""

from __future__ import annotations

import argparse
import lzma
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from gpu_bundle import COMMON, REPOSITORY, build_own_wheel, download, pack, trim

from transip_md.common.errors import TransIPError, UsageError
from transip_md.training.config import TrainConfig, read_config

#: Packages of training, beside those of the command line.
TRAINING = (
    "absl-py", "fsspec", "lightning", "lightning-utilities", "protobuf", "tensorboard", "torchmetrics", "tqdm",
)  # fmt: skip
SOURCES = ("pyproject.toml", "README.md", "python")
#: Bytes of a bundle that a lent machine still takes.
LARGEST = 60_000_000


def packed(file: Path, folder: Path, number: int) -> str:
    """Name of a data file in a folder, where it is put compressed."""
    if not file.is_file():
        raise UsageError(f"{file} is no file; a folder of .aselmdb cannot be packed. Write its frames as extended XYZ.")
    if file.suffix in (".xz", ".gz", ".bz2"):
        name = f"{number:04d}_{file.name}"
        shutil.copy(file, folder / name)
    else:
        name = f"{number:04d}_{file.name}.xz"
        with file.open("rb") as source, lzma.open(folder / name, "wb") as target:
            shutil.copyfileobj(source, target)
    return name


def write_recipe(config: TrainConfig, folder: Path) -> None:
    """Write `recipe.yaml` with its data beside it; it asks for CUDA only if the recipe does."""
    values: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True)
    data = folder / "data"
    data.mkdir()
    files = [*config.data.train, *config.data.test]
    names = [f"data/{packed(file, data, number)}" for number, file in enumerate(files)]
    values["data"]["train"] = names[: len(config.data.train)]
    values["data"]["test"] = names[len(config.data.train) :]
    if config.start_from is not None and Path(config.start_from).is_file():
        shutil.copy(config.start_from, folder / "start.ckpt")
        values["start_from"] = "start.ckpt"
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path, help="as `transip-md train` takes it")
    parser.add_argument("-o", "--output", type=Path, default=REPOSITORY / "build" / "gpu-train.tar")
    parser.add_argument("--python", default="3.12", help="Python of the other machine (default 3.12)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        wheels, added = Path(temporary, "wheels"), Path(temporary, "added")
        wheels.mkdir()
        added.mkdir()
        try:
            write_recipe(read_config(arguments.recipe), added)
        except TransIPError as error:
            print(f"Error: {error}", file=sys.stderr)
            sys.exit(error.exit_code)
        download(wheels, arguments.python, [*COMMON, *TRAINING])
        build_own_wheel(wheels)
        for wheel in wheels.glob("*.whl"):
            trim(wheel)
        pack(wheels, arguments.output, SOURCES, added)
    size = arguments.output.stat().st_size
    print(f"{arguments.output}: {size / 1e6:.1f} MB, for Python {arguments.python}")
    if size > LARGEST:
        print(
            f"More than {LARGEST / 1e6:.0f} MB: fewer frames (`data.frames` draws some, but packs all).",
            file=sys.stderr,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
