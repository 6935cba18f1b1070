#!/usr/bin/env bash
# Runs `make demo` and `make test` as on a stranger's machine: a fresh clone of the last commit in a temporary folder, an
# empty home, no environment but PATH. Arguments NAME=VALUE are set there, for pip's index say. Prints both times.
set -euo pipefail
repository=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
folder=$(mktemp -d)
times=""
trap 'rm -rf "$folder"' EXIT
if [[ -n $(git -C "$repository" status --porcelain) ]]; then
  echo "fresh: there are uncommitted changes; the last commit is what is tested." >&2
fi
git clone --quiet "$repository" "$folder/transip-md"
mkdir "$folder/home"
for goal in demo test; do
  start=$SECONDS
  env -i PATH="$PATH" HOME="$folder/home" TMPDIR="$folder" "$@" make -C "$folder/transip-md" "$goal"
  times+="make $goal: $((SECONDS - start)) s"$'\n'
done
printf '%s' "$times"
