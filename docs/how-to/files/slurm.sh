#!/bin/sh
#SBATCH --job-name=bench
#SBATCH --cpus-per-task=2
#SBATCH --mem=16G
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
# The small job that gives out the work; slurm.yaml says what the workers ask for. It needs no GPU.
# Usage: sbatch slurm.sh SUITE. Run it again after an interruption: it carries on.
set -eu
. "$HOME/venv/bin/activate"
export BENCHBENCH_STORE=/shared/benchbench
export BENCHBENCH_DATA=/shared/data
export BENCHBENCH_WEIGHTS=/shared/weights
exec bench run "$1" --engine dask:slurm.yaml
