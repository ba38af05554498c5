#!/bin/sh
# One machine with several GPUs: a worker process for each. Usage: sh many-gpus.sh SUITE [WORKERS]
set -eu
export BENCHBENCH_DATA="${BENCHBENCH_DATA:-$HOME/data}"
export BENCHBENCH_WEIGHTS="${BENCHBENCH_WEIGHTS:-$HOME/weights}"
workers="${2:-$(python -c 'import torch; print(torch.cuda.device_count() or 2)')}"
bench plan "$1"
bench run "$1" --engine loky --jobs "$workers"
