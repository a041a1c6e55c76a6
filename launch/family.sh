#!/usr/bin/env bash
# Submit the whole family as dependent jobs: eight shared training runs, then every model's scores and perplexity, then
# the comparison.
#
#   launch/family.sh --dry-run     print the graph, submit nothing
#   launch/family.sh               submit what is neither done nor in the queue
#   launch/status.sh               show progress
#
# A stage that fails cancels the jobs that need it; once the cause is fixed, the same command submits what is missing.
# Settings come from the environment and then from launch/cluster.env: FAMILY, RUNS, ENGINE, LANGUAGE, ...
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
score_settings
site=("$FAMILY" --runs "$RUNS" --engine "$ENGINE" --models "$MODELS")
site+=(--language-model "$LANGUAGE_MODEL" --vision-tower "$VISION_TOWER")
[ -z "${OVERRIDES:-}" ] || site+=(--overrides "$OVERRIDES")
site+=(--nodes "$NODES" --gpus "$GPUS_PER_NODE" --device "$DEVICE" --distributed "$DISTRIBUTED" --container "$IMAGE")
site+=(--tasks "$TASKS" --perplexity-sets "$PERPLEXITY_SETS" --benchmarks "$BENCHMARKS")
queue=$(in_queue --array-unique --format %i | tr '\n' ' ')
if [ "${1:-}" = --dry-run ]; then
  python -m ndino cluster family "${site[@]}" --queue "$queue"
  exit
fi
declare -A numbers
# Everything that needs no trained parent is checked before anything is submitted.
plan=$(python -m ndino cluster family "${site[@]}" --queue "$queue" --submit)
mkdir -p "$RUNS/family"
# Marks these jobs as the family's; scores made by hand may be incomplete and do not count (evaluate.sh).
export NDINO_FAMILY=1
while IFS= read -r line; do
  [ -n "$line" ] || continue
  eval "words=($line)" # the planner has quoted it with shlex
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
  # Written at once, so that a second call sees the job even if this one is interrupted.
  printf '%s\t%s\n' "$name" "$number" >>"$RUNS/family/jobs.tsv"
  echo "$number  $name${waits:+  after $waits}"
done <<<"$plan"
