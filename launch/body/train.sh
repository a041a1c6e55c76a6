#!/usr/bin/env bash
# A training job from check to published model: train.sh llm|lmm [--check] [RECIPE]
# train_from_llm.sh and train_from_lmm.sh replace themselves with it, so that SLURM's signals reach it.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
me=train_from_$1.sh
# shellcheck source=launch/body/common.sh
. "$root/launch/body/common.sh"

# train llm|lmm [--check] [RECIPE]
train() {
  local kind=$1 only_check='' recipe='' from name folder
  shift
  if [ "${1:-}" = --help ]; then
    show_help "$root/launch/$me"
    return
  fi
  while [ $# -gt 0 ]; do
    case $1 in
      --check) only_check=1 ;;
      -*) die "unknown option $1 (remedy: --check or --help)" ;;
      *)
        [ -z "$recipe" ] || die "two recipes, $recipe and $1 (remedy: one for each job)"
        recipe=$1
        ;;
    esac
    shift
  done
  cd "$root" || exit
  read_settings
  if [ "$kind" = llm ]; then recipe=${recipe:-pt}; else recipe=${recipe:-it}; fi
  [[ $recipe == */* ]] || recipe=$(dirname "$FAMILY")/$recipe.yaml
  name=$(basename "$recipe" .yaml)
  if [ "$kind" = llm ]; then from=${FROM:-$RUNS/mlp}; else from=${FROM:-$RUNS/mlp-pt}; fi
  [[ $from == */* ]] || from=$RUNS/$from
  folder=$([ "$ENGINE" = native ] && echo model || echo upstream)

  stage=("$recipe" --engine "$ENGINE")
  [ -z "${OVERRIDES:-}" ] || stage+=(--overrides "$OVERRIDES")
  if [ "$kind" = llm ] && [ "$name" = mlp ]; then
    out=${OUT:-$RUNS/mlp}
    stage+=(--language-model "$LANGUAGE_MODEL" --vision-tower "$VISION_TOWER")
  else
    out=${OUT:-$RUNS/$(basename "$from")-$name}
    # FROM is the folder of one of our runs, or a model from elsewhere.
    [ -f "$from/config.json" ] || from=$from/$folder
    stage+=(--model "$from")
    # A checkpoint of the original code from elsewhere names its CLIP by a name on the hub.
    if [ "$ENGINE" = llava-next ] && [ ! -f "$from/training.json" ] && [ -d "$VISION_TOWER" ]; then
      stage+=(--vision-tower "$VISION_TOWER")
    fi
  fi
  stage+=(--out "$out")

  need_image "$IMAGE"
  need_image "$NATIVE_IMAGE"
  if [ -n "$only_check" ] || [ -z "${SLURM_JOB_ID:-}" ]; then
    python -m ndino cluster check "${stage[@]}" --nodes "$NODES" --gpus "$GPUS_PER_NODE" --device "$DEVICE" \
      --distributed "$DISTRIBUTED" --container "$IMAGE"
    [ -z "$only_check" ] || return 0
    submit "$(basename "$out")" "launch/train_from_$kind.sh" --nodes "$NODES" --gres "gpu:$GPUS_PER_NODE" \
      ${TIME:+--time "$TIME"} -- "$recipe"
    return
  fi
  run_job
}

# The part that runs inside a job; reads $stage and $out.
run_job() {
  local gpus=${SLURM_GPUS_ON_NODE:-0} step status=0 verdict=0 warned=''
  local place=(--nodes "$SLURM_NNODES" --gpus "$gpus" --device "$DEVICE" --distributed "$DISTRIBUTED")
  place+=(--container "$IMAGE")
  # Sent ahead of the time limit, and before preemption where SLURM signals the batch script.
  trap 'warned=1' USR1 TERM
  echo "== $(date -Is) job $SLURM_JOB_ID, start ${SLURM_RESTART_COUNT:-0}, on $SLURM_JOB_NODELIST =="
  python -m ndino cluster check "${stage[@]}" "${place[@]}" --begin
  trap requeue USR1 TERM
  [ -z "$warned" ] || requeue
  if [ "$ENGINE" != native ]; then
    # Not in the foreground: its trap would wait for all rows to be indexed. What was indexed is kept.
    python -m ndino cluster prepare "${stage[@]}" "${place[@]}" &
    wait $!
  fi

  export NDINO_ROOT=$root IMAGE NATIVE_IMAGE BINDS SQUASHFS ENGINE DISTRIBUTED DEVICE
  export MASTER_ADDR=${MASTER_ADDR:-$(first_address)}
  export MASTER_PORT=${MASTER_PORT:-$((20000 + (SLURM_JOB_ID * 7 + ${SLURM_RESTART_COUNT:-0}) % 20000))}
  # srun inherits neither the job's CPUs per task nor, after sbatch --export=NONE, its environment.
  srun --nodes "$SLURM_NNODES" --ntasks "$SLURM_NNODES" --ntasks-per-node 1 --kill-on-bad-exit=1 --export=ALL \
    ${SLURM_CPUS_PER_TASK:+--cpus-per-task "$SLURM_CPUS_PER_TASK"} \
    bash "$root/launch/body/node.sh" "$out" "${stage[@]}" &
  step=$!
  # A rank that is still importing has no handler yet, so the signal is repeated until the step has ended.
  trap 'while kill -USR1 "$step"; do sleep 5; done 2>/dev/null &' USR1 TERM
  wait "$step" || status=$?
  while kill -0 "$step" 2>/dev/null; do
    status=0
    wait "$step" || status=$?
  done
  # From here on an interrupted step is repeated from its start.
  trap requeue USR1 TERM
  # The run's folder decides, not the exit status: a rank can abort after the manifest is written, and a crash
  # after progress is worth another start.
  python -m ndino cluster outcome "${stage[@]}" --status "$status" &
  wait $! || verdict=$?
  [ "$verdict" != 75 ] || requeue
  exit "$verdict"
}

# Requeue the job, unless it was cancelled: scancel also sends TERM.
requeue() {
  local now
  trap '' USR1 TERM
  now=$(scontrol show job "$SLURM_JOB_ID")
  if [[ $now != *JobState=RUNNING* && $now != *Reason=TimeLimit* ]]; then
    die "$out: cancelled (remedy: submit the same command again to resume from the newest checkpoint)"
  fi
  scontrol requeue "$SLURM_JOB_ID" || die "$out: cannot be requeued (remedy: submit the same command again)"
  exit 0
}

# The first node's name, or its address where node names do not resolve.
first_address() {
  local name
  name=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
  if getent hosts "$name" >/dev/null; then
    echo "$name"
  else
    scontrol show node "$name" | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p'
  fi
}

train "$@"
