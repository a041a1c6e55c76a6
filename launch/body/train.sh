# shellcheck shell=bash
# A training job from check to model; shared by train_from_llm.sh and train_from_lmm.sh. Expects $root, the
# repository, and $me, the script.
# shellcheck disable=SC2154
# shellcheck source=launch/body/common.sh
. "$root/launch/body/common.sh"

# train llm|lmm [--check] [RECIPE]
train() {
  local kind=$1 only_check='' recipe='' from name folder
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      --check) only_check=1 ;;
      -*) die "unknown option $1 (remedy: --check or --help)" ;;
      *) recipe=$1 ;;
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
    # A run's folder, or a model of elsewhere.
    if [ -f "$from/config.json" ]; then stage+=(--model "$from"); else stage+=(--model "$from/$folder"); fi
  fi
  stage+=(--out "$out")

  need_image "$IMAGE"
  need_image "$NATIVE_IMAGE"
  if [ -n "$only_check" ] || [ -z "${SLURM_JOB_ID:-}" ]; then
    python -m ndino.cluster check "${stage[@]}" --nodes "$NODES" --gpus "$GPUS_PER_NODE" --device "$DEVICE" \
      --distributed "$DISTRIBUTED" --image "$IMAGE"
    [ -z "$only_check" ] || return 0
    submit "$(basename "$out")" "launch/train_from_$kind.sh" --nodes "$NODES" --gres "gpu:$GPUS_PER_NODE" \
      ${TIME:+--time "$TIME"} -- "$recipe"
    return
  fi
  run_job
}

# Inside a job. Uses $stage and $out.
run_job() {
  local gpus=${SLURM_GPUS_ON_NODE:-0} step status=0 verdict=0 told=''
  local place=(--nodes "$SLURM_NNODES" --gpus "$gpus" --device "$DEVICE" --distributed "$DISTRIBUTED")
  place+=(--image "$IMAGE")
  # Ahead of the time limit, and before preemption where SLURM tells the batch script.
  trap 'told=1' USR1 TERM
  echo "== $(date -Is) job $SLURM_JOB_ID, start ${SLURM_RESTART_COUNT:-0}, on $SLURM_JOB_NODELIST =="
  python -m ndino.cluster check "${stage[@]}" "${place[@]}" --begin
  [ "$ENGINE" = native ] || python -m ndino.cluster prepare "${stage[@]}" "${place[@]}"
  [ -z "$told" ] || start_again

  export NDINO_ROOT=$root IMAGE NATIVE_IMAGE BINDS SQUASHFS ENGINE DISTRIBUTED DEVICE
  export MASTER_ADDR=${MASTER_ADDR:-$(first_address)}
  export MASTER_PORT=${MASTER_PORT:-$((20000 + (SLURM_JOB_ID * 7 + ${SLURM_RESTART_COUNT:-0}) % 20000))}
  # A step takes neither the job's CPUs a task nor, after sbatch --export=NONE, its environment by itself.
  srun --nodes "$SLURM_NNODES" --ntasks "$SLURM_NNODES" --ntasks-per-node 1 --kill-on-bad-exit=1 --export=ALL \
    ${SLURM_CPUS_PER_TASK:+--cpus-per-task "$SLURM_CPUS_PER_TASK"} \
    bash "$root/launch/body/node.sh" "$out" "${stage[@]}" &
  step=$!
  # A rank that is still loading hears nothing, so it is told until it has ended.
  trap 'while kill -USR1 "$step"; do sleep 5; done 2>/dev/null &' USR1 TERM
  wait "$step" || status=$?
  while kill -0 "$step" 2>/dev/null; do
    status=0
    wait "$step" || status=$?
  done
  # What is interrupted from here on is done from its beginning.
  trap start_again USR1 TERM
  if [ "$status" != 0 ]; then
    python -m ndino.cluster outcome "${stage[@]}" >/dev/null 2>&1 || true
    die "$out: training failed with status $status (remedy: read the log above; the same command goes on)"
  fi
  python -m ndino.cluster outcome "${stage[@]}" &
  wait $! || verdict=$?
  [ "$verdict" != 75 ] || start_again
  exit "$verdict"
}

# Back into the queue, unless the job was cancelled: scancel, too, sends TERM to what it ends.
start_again() {
  local now
  trap '' USR1 TERM
  now=$(scontrol show job "$SLURM_JOB_ID")
  if [[ $now != *JobState=RUNNING* && $now != *Reason=TimeLimit* ]]; then
    die "$out: cancelled (remedy: submit the same command again; it goes on from the newest checkpoint)"
  fi
  scontrol requeue "$SLURM_JOB_ID" || die "$out: cannot be requeued (remedy: submit the same command again)"
  exit 0
}

# The first node's name, or its address where names do not resolve.
first_address() {
  local name
  name=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
  if getent hosts "$name" >/dev/null; then
    echo "$name"
  else
    scontrol show node "$name" | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p'
  fi
}
