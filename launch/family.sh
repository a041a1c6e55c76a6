#!/usr/bin/env bash
# Submit the whole family as jobs that wait for one another: eight shared training runs, then every model's scores
# and perplexity, then the comparison.
#
#   launch/family.sh --dry-run     print the graph, submit nothing
#   launch/family.sh               submit what is neither done nor in the queue
#   launch/status.sh               see how far it is
#
# A stage that fails ends those that need it; when its cause is mended, the same command submits what is missing.
# Settings come from launch/cluster.env and, before it, from the environment: FAMILY, RUNS, ENGINE, ...
set -euo pipefail
me=family.sh
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=launch/body/common.sh
. "$root/launch/body/common.sh"
case ${1:-} in
  --help) show_help "$root/launch/$me" && exit 0 ;;
  '' | --dry-run) ;;
  *) die "unknown option $1 (remedy: --dry-run or --help)" ;;
esac
cd "$root"
read_settings
need_image "$IMAGE"
need_image "$NATIVE_IMAGE"
site=("$FAMILY" --runs "$RUNS" --engine "$ENGINE" --models "$MODELS")
site+=(--language-model "$LANGUAGE_MODEL" --vision-tower "$VISION_TOWER")
[ -z "${OVERRIDES:-}" ] || site+=(--overrides "$OVERRIDES")
site+=(--nodes "$NODES" --gpus "$GPUS_PER_NODE" --device "$DEVICE" --distributed "$DISTRIBUTED" --image "$IMAGE")
site+=(--tasks "$TASKS" --perplexity-sets "$PERPLEXITY_SETS" --benchmarks "$BENCHMARKS")
queue=$(in_queue --array-unique --format %i | tr '\n' ' ')
if [ "${1:-}" = --dry-run ]; then
  python -m ndino.cluster family "${site[@]}" --queue "$queue"
  exit
fi
declare -A numbers
# What can be checked without a trained parent is checked before anything waits.
plan=$(python -m ndino.cluster family "${site[@]}" --queue "$queue" --submit)
mkdir -p "$RUNS/family"
# Only these jobs count as the family's: what is scored by hand may be less than the whole.
export NDINO_FAMILY=1
while IFS= read -r line; do
  [ -n "$line" ] || continue
  eval "words=($line)" # quoted by the planner
  # shellcheck disable=SC2154
  name=${words[0]} waits=${words[1]} script=${words[2]} count=${words[3]}
  options=()
  for parent in ${waits//,/ }; do options+=("${numbers[$parent]:-$parent}"); done
  dependency=$(IFS=:; echo "${options[*]}")
  options=(${dependency:+--dependency "afterok:$dependency"})
  case $script in
    */train_*) options+=(--nodes "$NODES" --gres "gpu:$GPUS_PER_NODE" ${TIME:+--time "$TIME"}) ;;
  esac
  number=$(
    for assignment in "${words[@]:4+count}"; do export "${assignment?}"; done
    submit "$name" "$script" "${options[@]}" -- "${words[@]:4:count}"
  )
  numbers[$name]=$number
  # At once, so that a second call knows of it even when this one is cut off.
  printf '%s\t%s\n' "$name" "$number" >>"$RUNS/family/jobs.tsv"
  echo "$number  $name${waits:+  after $waits}"
done <<<"$plan"
