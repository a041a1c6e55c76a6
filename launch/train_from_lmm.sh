#!/usr/bin/env bash
# Train a stage from a LLaVA-NeXT that an earlier stage has trained.
#
#   sbatch launch/train_from_lmm.sh                       it, from RUNS/mlp-pt
#   FROM=mlp-it sbatch launch/train_from_lmm.sh long      long, from RUNS/mlp-it
#
#   launch/train_from_lmm.sh --check     check only; without --check and without sbatch: check, then submit
#
# Settings come from launch/cluster.env and, before it, from the environment: ENGINE, IMAGE, FROM, OUT, ... The
# lines below suit 2 nodes of 4 GPUs; sbatch's own options go before them. A job that is told of its time limit
# or of preemption saves, puts itself back into the queue and goes on from there.

#SBATCH --job-name=ndino-lmm
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@600
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=launch/logs/%x-%j.log
set -euo pipefail
me=train_from_lmm.sh
# In a job this script is a copy of SLURM's, and its folder is not the repository's.
if [ -n "${SLURM_JOB_ID:-}" ]; then root=$SLURM_SUBMIT_DIR; else root=$(cd "$(dirname "$0")/.." && pwd); fi
if [ ! -f "$root/launch/body/train.sh" ]; then
  echo "$me: $root is not the repository (remedy: call sbatch in the repository's folder)" >&2
  exit 2
fi
# shellcheck source=launch/body/train.sh
. "$root/launch/body/train.sh"
if [ "${1:-}" = --help ]; then
  show_help "$root/launch/$me"
  exit 0
fi
train lmm "$@"
