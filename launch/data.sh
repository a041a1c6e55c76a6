#!/usr/bin/env bash
# Build a data set as a job array of n shards, and merge them.
#
#   launch/data.sh wit 8 --lang it       8 jobs side by side, and one behind them
#   launch/data.sh eurlex                one job
#   OUT=data/mtvqa launch/data.sh native mtvqa --split train --source data/hub/MTVQA
#
# What comes behind n goes to `ndino data SOURCE` as it is. The result lies in OUT, by default in DATA/SOURCE (DATA=data).
# A job that was cut off goes on when the same command is given again. Sources that download need nodes with a
# network: DATA_PARTITION in launch/cluster.env. The hub is off in jobs: what is on it is fetched before, on the login
# node (hf download, make stage-weights).

#SBATCH --job-name=ndino-data
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=launch/logs/%x-%A-%a.log
set -euo pipefail
me=data.sh
if [ -n "${SLURM_JOB_ID:-}" ]; then root=$SLURM_SUBMIT_DIR; else root=$(cd "$(dirname "$0")/.." && pwd); fi
if [ ! -f "$root/launch/body/common.sh" ]; then
  echo "$me: $root is not the repository (remedy: call sbatch in the repository's folder)" >&2
  exit 2
fi
# shellcheck source=launch/body/common.sh
. "$root/launch/body/common.sh"
case ${1:-} in --help | '') show_help "$root/launch/$me" && exit 0 ;; esac
cd "$root"
read_settings
need_image "$NATIVE_IMAGE"
source=$1
shift
out=${OUT:-${DATA:-data}/$source}

if [ -n "${SLURM_JOB_ID:-}" ]; then
  if [ "${NDINO_MERGE:-}" = 1 ]; then
    python -m ndino data merge "$out"
  else
    # The shard is read from SLURM's own variables of an array.
    python -m ndino data "$source" --out "$out" "$@"
  fi
  exit
fi

shards=1
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
  shards=$1
  shift
fi
[ "$shards" -ge 1 ] || die "$shards shards are none (remedy: 1 or more)"
PARTITION=${DATA_PARTITION:-${PARTITION:-}}
if [ "$shards" = 1 ]; then
  submit "data-$source" launch/data.sh -- "$source" "$@"
  exit
fi
array=$(submit "data-$source" launch/data.sh --array "0-$((shards - 1))" -- "$source" "$@")
export NDINO_MERGE=1
merge=$(submit "merge-$source" launch/data.sh --dependency "afterok:$array" -- "$source")
echo "$array $merge"
