#!/bin/sh
# Frames of the broad list, labelled with GFN2-xTB: about 25,000 of the molecules that are trained on and 1,500 of those
# that are held out, in train.extxyz and held_out.extxyz; then dynamics of the former in dynamics.extxyz.
#
#     sh recipes/organic/label.sh [FOLDER] [JOBS]
#
# FOLDER is recipes/organic/data/broad unless it is given. Goes on where it was interrupted.
set -eu
here=$(dirname "$0")
folder=${1:-$here/data/broad}
jobs=${2:-1}
mkdir -p "$folder"

gather() {
  find "$folder/$1" -name '*.extxyz' | sort | xargs cat > "$folder/$1.extxyz.part"
  mv "$folder/$1.extxyz.part" "$folder/$1.extxyz"
}

# A molecule that the teacher cannot do is told at the end and costs nothing but itself.
transip-md sample --smiles "$here/broad_held_out.smi" -o "$folder/held_out" --seed 2 --jobs "$jobs" \
  --frames 2 --normal-modes 600 --scan bonds --scan torsions --dimers molecules || [ $? = 1 ]
transip-md sample --smiles "$here/broad_train.smi" -o "$folder/train" --seed 1 --jobs "$jobs" --conformers 2 \
  --frames 2 --normal-modes 300 --normal-modes 600 --normal-modes 1200 --scan bonds --scan torsions \
  --dimers molecules || [ $? = 1 ]
gather train
transip-md sample --smiles "$here/broad_held_out.smi" -o "$folder/held_out" --seed 2 --jobs "$jobs" \
  --frames 5 --temperature 300 --equilibration 500 --stride 100 --stop-at-dissociation || [ $? = 1 ]
gather held_out
transip-md sample --smiles "$here/broad_train.smi" -o "$folder/dynamics" --seed 3 --jobs "$jobs" \
  --frames 4 --temperature 500 --equilibration 300 --stride 50 --stop-at-dissociation || [ $? = 1 ]
gather dynamics
