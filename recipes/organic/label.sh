#!/bin/sh
# Frames of the broad list, labelled with GFN2-xTB, each part in a folder and a file of its name:
#
#     held_out      molecules that are held out: normal modes at 600 K, scans, dimers; held_out_300: their dynamics at 300 K
#     train         some 22,600 frames of those that are trained on: normal modes, scans, dimers
#     conformers, dynamics      more of these: normal modes of conformers, and dynamics at 500 K
#     many          some 125,000 frames of those that are trained on: normal modes and scans
#
#     sh recipes/organic/label.sh [FOLDER [JOBS [PART...]]]
#
# FOLDER is recipes/organic/data/broad unless it is given; all parts but `many` are made unless some are named.
# Resumes where it was interrupted.
set -eu
here=$(dirname "$0")
folder=${1:-$here/data/broad}
jobs=${2:-1}
if [ $# -ge 2 ]; then shift 2; else set --; fi
mkdir -p "$folder"

# A molecule that the teacher cannot do is reported at the end and costs nothing but itself.
frames() {
  list=$1 into=$2
  shift 2
  transip-md sample --smiles "$here/$list" -o "$folder/$into" --jobs "$jobs" "$@" || [ $? = 1 ]
  find "$folder/$into" -maxdepth 1 -name '*.extxyz' | sort | xargs cat > "$folder/$into.extxyz.part"
  mv "$folder/$into.extxyz.part" "$folder/$into.extxyz"
}

[ $# -gt 0 ] || set -- held_out train held_out_300 conformers dynamics
for part in "$@"; do
  case $part in
  held_out)
    frames broad_held_out.smi held_out --seed 2 --frames 2 \
      --normal-modes 600 --scan bonds --scan torsions --dimers molecules
    ;;
  train)
    frames broad_train.smi train --seed 1 --frames 3 \
      --normal-modes 300 --normal-modes 600 --normal-modes 1200 --scan bonds --scan torsions --dimers molecules
    ;;
  many)
    frames broad_train.smi many --seed 5 --frames 20 \
      --normal-modes 300 --normal-modes 600 --normal-modes 1200 --scan bonds --scan torsions
    ;;
  held_out_300)
    frames broad_held_out.smi held_out_300 --seed 2 --frames 2 \
      --temperature 300 --equilibration 300 --stride 60 --stop-at-dissociation
    ;;
  conformers)
    frames broad_train.smi conformers --seed 3 --conformers 3 --frames 1 --normal-modes 600 --dimers molecules
    ;;
  dynamics)
    frames broad_train.smi dynamics --seed 4 --frames 4 \
      --temperature 500 --equilibration 300 --stride 50 --stop-at-dissociation
    ;;
  *)
    echo "No part is called $part. Choose of held_out, train, many, held_out_300, conformers, dynamics." >&2
    exit 2
    ;;
  esac
done
