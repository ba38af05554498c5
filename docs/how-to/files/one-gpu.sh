#!/bin/sh
# One machine with one GPU. Usage: sh one-gpu.sh SUITE, for instance: sh one-gpu.sh suites/dr_grading.yaml
set -eu
export BENCHBENCH_DATA="${BENCHBENCH_DATA:-$HOME/data}"
export BENCHBENCH_WEIGHTS="${BENCHBENCH_WEIGHTS:-$HOME/weights}"
bench plan "$1"
bench run "$1" --device auto
