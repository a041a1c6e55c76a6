#!/usr/bin/env bash
# Show the family's jobs as a table: state, step, loss, time left.
#
#   launch/status.sh
set -euo pipefail
me=status.sh
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=launch/body/common.sh
. "$root/launch/body/common.sh"
case ${1:-} in
  --help) show_help "$root/launch/$me" && exit 0 ;;
  '') ;;
  *) die "unknown option $1 (remedy: none, or --help)" ;;
esac
cd "$root"
read_settings
site=("$FAMILY" --runs "$RUNS" --engine "$ENGINE" --models "$MODELS")
site+=(--language-model "$LANGUAGE_MODEL" --vision-tower "$VISION_TOWER")
[ -z "${OVERRIDES:-}" ] || site+=(--overrides "$OVERRIDES")
queue=$(in_queue --format '%i|%T|%L|%r')
python -m ndino cluster status "${site[@]}" <<<"$queue"
