# Unpacks a bundle on a CUDA machine without network into an environment of its own; gpu_check.sh and gpu_train.sh read
# this file. They set PYTHON, bundle, usage.

missing() { echo "$1" >&2; exit 3; }

# What the bundle leaves to the machine.
require_torch() {
  command -v "$PYTHON" > /dev/null || missing "There is no $PYTHON. Name the Python that has torch: PYTHON=/path/to/python"
  for module in torch numpy scipy matplotlib; do
    "$PYTHON" -c "import $module" 2> /dev/null || missing "$PYTHON has no $module; the bundle leaves it to this machine."
  done
  device=yes
  "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || device=no
  [ $device = yes ] || [ "${GPU:-}" = optional ] ||
    missing "torch of $PYTHON sees no CUDA device. GPU=optional goes on without one."
}

# The environment sees the packages beside torch, wherever they are, after its own. Sets work, site and packages, and enters
# the unpacked bundle.
unpack() {
  work=$(mktemp -d)
  [ "${KEEP:-}" = 1 ] && echo "Kept: $work" || trap 'rm -rf "$work"' EXIT
  tar -xf "$bundle" -C "$work"
  cd "$work/gpu-bundle"
  "$PYTHON" -m venv --without-pip venv
  site=$(venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  packages=$("$PYTHON" -c 'import os, torch; print(os.path.dirname(os.path.dirname(torch.__file__)))')
  echo "$packages" > "$site/torch.pth"
  "$PYTHON" -m pip --python venv/bin/python install --quiet --no-index --no-deps --no-warn-script-location \
    --ignore-installed wheels/*.whl ||
    missing "The wheels of $bundle do not fit $("$PYTHON" --version); the bundle's script takes --python."
  tools=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')
  export PATH="$work/gpu-bundle/venv/bin:$tools:/usr/local/cuda/bin:$PATH" TRANSIP_MD_CACHE="$work/cache"
  mkdir -m 700 "$work/cache"
  # The checkout's Python package, whose C++ sources are built too.
  export PYTHONPATH="$work/gpu-bundle/python"
}
