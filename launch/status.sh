#!/usr/bin/env bash
# Show the family's jobs as a table: state, step, loss, time left.
#
#   launch/status.sh
set -euo pipefail
me=status.sh
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=launch/body/common.sh
. "$root/launch/body/common.sh"
if [ "${1:-}" = --help ]; then
  show_help "$root/launch/$me"
  exit 0
fi
cd "$root"
read_settings
site=("$FAMILY" --runs "$RUNS" --engine "$ENGINE" --models "$MODELS")
site+=(--language-model "$LANGUAGE_MODEL" --vision-tower "$VISION_TOWER")
[ -z "${OVERRIDES:-}" ] || site+=(--overrides "$OVERRIDES")
queue=''
if command -v squeue >/dev/null; then
  # A job that is not seen in the queue would be shown as failed.
  queue=$(squeue --noheader --me --format '%i|%T|%L|%r' 2>/dev/null) ||
    die "squeue fails, so what is in the queue is not known (remedy: see what squeue --me says, then try again)"
fi
python -m ndino.cluster status "${site[@]}" <<<"$queue"
