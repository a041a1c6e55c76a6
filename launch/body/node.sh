#!/usr/bin/env bash
# One node's part of a training job, started by srun: node.sh OUT STAGE-ARGUMENTS…
# train.sh exports the other settings.
set -euo pipefail
# SLURM signals every process of the step; only the ranks act on it, once they have installed their handlers.
trap '' USR1 TERM
me=node.sh root=$NDINO_ROOT out=$1
shift
# shellcheck source=launch/body/common.sh
. "$root/launch/body/common.sh"

gpus=${SLURM_GPUS_ON_NODE:-0} ranks=$((SLURM_NNODES * ${SLURM_GPUS_ON_NODE:-0}))
if [ "$ENGINE" = native ]; then
  program=python
  module=(-m ndino.rank "$@")
else
  [ -f "$out/arguments" ] || exit 0 # already trained; the rest is not this step's job
  mapfile -d '' -t arguments <"$out/arguments"
  module=(-m llava.train.train_mem "${arguments[@]}")
  cd "$out"
  if [ -n "$IMAGE" ]; then
    program=in_engine
  else
    program=$root/.venv-llava/bin/python
    export PYTHONPATH=$root/third_party/LLaVA-NeXT
  fi
fi
in_engine() { inside "$IMAGE" python "$@"; }
"$program" -m ndino cluster gpus --nodes "$SLURM_NNODES" --gpus "$gpus" --device "$DEVICE"
if [ "$ranks" = 1 ] && [ "$DISTRIBUTED" != zero3_offload ]; then
  "$program" "${module[@]}"
else
  "$program" -m ndino.cluster.launch --config_file "$root/launch/accelerate/$DISTRIBUTED.yaml" \
    --num_machines "$SLURM_NNODES" --num_processes "$ranks" --machine_rank "$SLURM_NODEID" \
    --main_process_ip "$MASTER_ADDR" --main_process_port "$MASTER_PORT" "${module[@]}"
fi
