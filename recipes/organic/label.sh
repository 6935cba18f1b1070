#!/bin/sh
# Frames of the broad list, labelled with GFN2-xTB: some 25,000 of the molecules that are trained on in train.extxyz and
# 1,500 of those that are held out in held_out.extxyz; then dynamics of the former in dynamics.extxyz.
#
#     sh recipes/organic/label.sh [FOLDER] [JOBS]
#
# FOLDER is recipes/organic/data/broad unless it is given. Goes on where it was interrupted.
set -eu
here=$(dirname "$0")
folder=${1:-$here/data/broad}
jobs=${2:-1}
mkdir -p "$folder"

# A molecule that the teacher cannot do is told at the end and costs nothing but itself.
frames() {
  list=$1 into=$2
  shift 2
  transip-md sample --smiles "$here/$list" -o "$folder/$into" --jobs "$jobs" "$@" || [ $? = 1 ]
}

# One file of the frames of several folders.
gather() {
  name=$1
  shift
  for into in "$@"; do find "$folder/$into" -maxdepth 1 -name '*.extxyz'; done | sort | xargs cat > "$folder/$name.part"
  mv "$folder/$name.part" "$folder/$name"
}

frames broad_held_out.smi held_out --seed 2 --frames 2 \
  --normal-modes 600 --scan bonds --scan torsions --dimers molecules
frames broad_train.smi train --seed 1 --frames 3 \
  --normal-modes 300 --normal-modes 600 --normal-modes 1200 --scan bonds --scan torsions --dimers molecules
gather train.extxyz train
frames broad_held_out.smi held_out --seed 2 --frames 3 \
  --temperature 300 --equilibration 500 --stride 100 --stop-at-dissociation
gather held_out.extxyz held_out
frames broad_train.smi conformers --seed 3 --conformers 3 --frames 1 --normal-modes 600 --dimers molecules
gather train.extxyz train conformers
frames broad_train.smi dynamics --seed 4 --frames 4 \
  --temperature 500 --equilibration 300 --stride 50 --stop-at-dissociation
gather dynamics.extxyz dynamics
