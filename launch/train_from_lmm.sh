#!/usr/bin/env bash
# Train a stage from a LLaVA-NeXT that an earlier stage trained.
#
#   sbatch launch/train_from_lmm.sh                       it, from RUNS/mlp-pt
#   FROM=mlp-it sbatch launch/train_from_lmm.sh long      long, from RUNS/mlp-it
#
#   launch/train_from_lmm.sh --check     check only; without --check and without sbatch: check, then submit
#
# Settings come from the environment and then from launch/cluster.env: ENGINE, IMAGE, FROM, OUT, ... The lines below
# ask for 2 nodes of 4 GPUs; sbatch options before the script's name override them. A job that is warned of its time
# limit or of preemption saves a checkpoint, requeues itself and resumes.

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
# In a job this file is SLURM's copy of the script, in a folder of SLURM's.
if [ -n "${SLURM_JOB_ID:-}" ]; then root=$SLURM_SUBMIT_DIR; else root=$(cd "$(dirname "$0")/.." && pwd); fi
[ -f "$root/launch/body/train.sh" ] || {
  echo "train_from_lmm.sh: $root is not the repository (remedy: run sbatch in the repository's folder)" >&2
  exit 2
}
exec bash "$root/launch/body/train.sh" lmm "$@"
