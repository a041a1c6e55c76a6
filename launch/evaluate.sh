#!/usr/bin/env bash
# Score a model on the tasks of a language, measure its perplexity, or compare what has been scored.
#
#   sbatch launch/evaluate.sh tasks PT+IT=runs/italian/mlp-pt-it/model
#   sbatch launch/evaluate.sh perplexity PT+IT=runs/italian/mlp-pt-it/model
#   sbatch launch/evaluate.sh tasks mblip=models/mblip-mt0-xl --backend lmms:mblip
#   sbatch launch/evaluate.sh report
#
# Results go to RUNS/eval, RUNS/ppl and RUNS/report; finished work is not repeated. Settings come from the environment
# and then from launch/cluster.env: RUNS, BENCHMARKS, LANGUAGE, TASKS, PERPLEXITY_SETS, LIMIT, ...

#SBATCH --job-name=ndino-evaluate
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=launch/logs/%x-%j.log
set -euo pipefail
me=evaluate.sh
# In a job this file is SLURM's copy of the script, in a folder of SLURM's.
if [ -n "${SLURM_JOB_ID:-}" ]; then root=$SLURM_SUBMIT_DIR; else root=$(cd "$(dirname "$0")/.." && pwd); fi
[ -f "$root/launch/body/common.sh" ] || {
  echo "evaluate.sh: $root is not the repository (remedy: run sbatch in the repository's folder)" >&2
  exit 2
}
# shellcheck source=launch/body/common.sh
. "$root/launch/body/common.sh"
case ${1:-} in
  --help) show_help "$root/launch/$me" && exit 0 ;;
  '') die "no command given (remedy: tasks, perplexity or report, as $me --help explains)" ;;
  tasks | perplexity) [ $# -ge 2 ] || die "$1: no model given (remedy: $me $1 NAME=FOLDER)" ;;
  report) ;;
  *) die "unknown command $1 (remedy: tasks, perplexity or report)" ;;
esac
cd "$root"
read_settings
need_image "$NATIVE_IMAGE"
what=$1
shift
name=${1:-}
name=${name%%=*}
[ "$what" = report ] || score_settings

case $what in
  tasks)
    options=(--model "$@" --tasks "$TASKS" --shuffle --out "$RUNS/eval")
    [ ! -d "$BENCHMARKS" ] || options+=(--data "$BENCHMARKS")
    [ -z "${LIMIT:-}" ] || options+=(--limit "$LIMIT")
    python -m ndino evaluate "${options[@]}"
    ;;
  perplexity)
    for set in $PERPLEXITY_SETS; do
      data=${set#*=}
      [ ! -d "$BENCHMARKS/$data" ] || data=$BENCHMARKS/$data
      for shuffled in '' .shuffled; do
        python -m ndino perplexity --model "${1#*=}" --data "$data" ${shuffled:+--shuffle} ${LIMIT:+--limit "$LIMIT"} \
          --out "$RUNS/ppl/$name/${set%%=*}$shuffled.jsonl"
      done
    done
    ;;
  report)
    python -m ndino report "$RUNS"
    ;;
esac
# Only the family's own jobs count as done: a run by hand may cover other tasks or a few questions.
# They say what they scored: with other languages or tasks they have to be repeated.
case $what in tasks) scored=$TASKS ;; perplexity) scored=$PERPLEXITY_SETS ;; *) scored= ;; esac
[ -z "${NDINO_FAMILY:-}" ] || echo "$scored" >"$RUNS/family/$what${name:+-$name}.done"
