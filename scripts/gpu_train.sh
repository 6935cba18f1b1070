#!/bin/sh
# Trains for some minutes on one GPU, without network, and leaves behind what the next call resumes from.
#
#   scripts/gpu_train.sh gpu-train.tar [-o RESULTS] [--seconds 540] [--set key=value]...
#
# The bundle comes from `make gpu-train`. PYTHON names the Python that has torch (default python3). RESULTS (default
# gpu-train) holds the state of the training in files of 15 MB, state.part.NN, and the log; once trained, model.ckpt. Give the
# same RESULTS again to resume, on this machine or another. GPU=optional trains on the CPU where there is no device. KEEP=1
# keeps the unpacked bundle. Exit: 0 trained to the end, 1 stopped by the time with its state saved, or failed; 2 usage,
# 3 something is missing here.
set -eu

PYTHON=${PYTHON:-python3}
here=$(cd "$(dirname "$0")" && pwd)
usage="Usage: gpu_train.sh gpu-train.tar [-o RESULTS] [--seconds N] [--set key=value]... Make the bundle with: make gpu-train"
[ $# -ge 1 ] && [ -f "$1" ] || { echo "$usage" >&2; exit 2; }
bundle=$1 results=gpu-train seconds=540
shift
while [ $# -gt 0 ]; do
  case $1 in
  -o) results=${2:?$usage}; shift 2 ;;
  --seconds) seconds=${2:?$usage}; shift 2 ;;
  --set) settings="${settings:-} --set ${2:?$usage}"; shift 2 ;;
  *) echo "$usage" >&2; exit 2 ;;
  esac
done
start=$(date +%s)
. "$here/gpu_environment.sh"
require_torch
mkdir -p "$results"
results=$(cd "$results" && pwd)
if [ -f "$results/model.ckpt" ]; then
  echo "$results/model.ckpt is trained already."
  exit 0
fi
unpack

mkdir -p model.ckpt.run
ls "$results"/state.part.* > /dev/null 2>&1 && cat "$results"/state.part.* > model.ckpt.run/state.ckpt
left=$((seconds - $(date +%s) + start))
echo "Trains for $left s."
# shellcheck disable=SC2086
timeout -k 30 -s INT "$left" venv/bin/transip-md train recipe.yaml -o model.ckpt ${settings:-} 2>&1 |
  tee -a "$results/train.log"
rm -f "$results"/state.part.*
if [ -f model.ckpt ]; then
  cp model.ckpt "$results"
  echo "Trained: $results/model.ckpt"
elif [ -f model.ckpt.run/state.ckpt ]; then
  split -b 15M -d model.ckpt.run/state.ckpt "$results/state.part."
  echo "Not yet trained to the end: give the same command again to resume from $results."
  exit 1
else
  echo "Training failed: see $results/train.log" >&2
  exit 1
fi
