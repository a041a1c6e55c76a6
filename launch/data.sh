#!/usr/bin/env bash
# Build a data set as a job array of n shards, and merge them.
#
#   launch/data.sh wit 8 --lang it       8 jobs in parallel, then one that merges their shards
#   launch/data.sh eurlex                one job
#   OUT=data/mtvqa launch/data.sh native mtvqa --split train --source data/hub/MTVQA
#
# Arguments after n are passed to `ndino data SOURCE`. The result goes to OUT, by default DATA/SOURCE (DATA=data).
# Rerun the same command to resume. Sources that download need nodes with a network: set DATA_PARTITION in
# launch/cluster.env. Jobs run with the hub switched off: fetch what is on it beforehand, on the login node
# (hf download, make stage-weights).

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
# In a job this file is SLURM's copy of the script, in a folder of SLURM's.
if [ -n "${SLURM_JOB_ID:-}" ]; then root=$SLURM_SUBMIT_DIR; else root=$(cd "$(dirname "$0")/.." && pwd); fi
[ -f "$root/launch/body/common.sh" ] || {
  echo "data.sh: $root is not the repository (remedy: run sbatch in the repository's folder)" >&2
  exit 2
}
# shellcheck source=launch/body/common.sh
. "$root/launch/body/common.sh"
case ${1:-} in
  --help) show_help "$root/launch/$me" && exit 0 ;;
  '') die "no source given (remedy: such as wit or eurlex, as $me --help explains)" ;;
esac
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
    # ndino data reads the shard from SLURM's array variables.
    python -m ndino data "$source" --out "$out" "$@"
  fi
  exit
fi

# Here rather than in each job: that there is no such source.
python -m ndino data "$source" --help >/dev/null
shards=1
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
  shards=$1
  shift
fi
[ "$shards" -ge 1 ] || die "$shards is not a number of shards (remedy: 1 or more)"
PARTITION=${DATA_PARTITION:-${PARTITION:-}}
if [ "$shards" = 1 ]; then
  submit "data-$source" launch/data.sh -- "$source" "$@"
  exit
fi
array=$(submit "data-$source" launch/data.sh --array "0-$((shards - 1))" -- "$source" "$@")
export NDINO_MERGE=1
merge=$(submit "merge-$source" launch/data.sh --dependency "afterok:$array" -- "$source")
echo "$array $merge"
