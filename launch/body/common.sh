# shellcheck shell=bash
# Shared by the scripts in launch/: settings, running programs inside or outside an image, submitting jobs.
# Expects $root (the repository) and $me (the script's name).
# shellcheck disable=SC2154

die() {
  echo "$me: $*" >&2
  exit 2
}

# The environment wins over launch/cluster.env.
read_settings() {
  local file=${CLUSTER_ENV:-$root/launch/cluster.env} before
  # Such as en_US:en. It is not ours but gettext's, and would win over the file's.
  case ${LANGUAGE:-} in *[_:.]*) unset LANGUAGE ;; esac
  if [ -f "$file" ]; then
    # Remember the environment, except the paths that `module load` in the file extends. -g, because declare
    # inside a function is local.
    before=$(export -p | sed -E '/^declare -x (PATH|[A-Z_]*LIBRARY_PATH|MANPATH|MODULEPATH|LOADEDMODULES|_LMFILES_)=/d
      s/^declare -x/declare -gx/')
    set -a
    # shellcheck source=/dev/null
    . "$file"
    set +a
    eval "$before"
  elif [ -n "${CLUSTER_ENV:-}" ]; then
    die "$file: no such settings file (remedy: cp launch/cluster.env.example launch/cluster.env)"
  fi
  : "${ENGINE:=llava-next}" "${DISTRIBUTED:=zero3}" "${DEVICE:=cuda}" "${IMAGE:=}" "${NATIVE_IMAGE:=}"
  : "${RUNS:=runs/italian}" "${FAMILY:=launch/recipes/family.yaml}" "${MODELS:=models}"
  : "${BENCHMARKS:=benchmarks-data}" "${NODES:=2}" "${GPUS_PER_NODE:=4}"
  : "${LANGUAGE_MODEL:=models/Meta-Llama-3-8B}" "${VISION_TOWER:=models/clip-vit-large-patch14-336}"
  case $ENGINE in native | llava-next) ;; *) die "ENGINE=$ENGINE is unknown (remedy: native or llava-next)" ;; esac
  [ -f "$root/launch/accelerate/$DISTRIBUTED.yaml" ] ||
    die "DISTRIBUTED=$DISTRIBUTED has no file in launch/accelerate (remedy: ddp, zero2, zero3, zero3_offload or fsdp)"
  # The upstream engine's image lacks what checks, conversion and evaluation need.
  [ "$ENGINE" != native ] || NATIVE_IMAGE=${NATIVE_IMAGE:-$IMAGE}
  # The upstream trainer runs in another working directory.
  IMAGE=$(absolute "$IMAGE") NATIVE_IMAGE=$(absolute "$NATIVE_IMAGE")
  BINDS=$(absolute "${BINDS:-}") SQUASHFS=$(absolute "${SQUASHFS:-}")
  # File names and texts are UTF-8, whatever the locale of a node says.
  export PYTHONUTF8=1
  # Compute nodes have no network, and the hub client would wait for one.
  export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} TOKENIZERS_PARALLELISM=false
}

# absolute PATHS: make each path of a comma-separated list absolute, relative to the repository.
absolute() {
  local item made=()
  while IFS= read -r -d , item; do
    case $item in
      '' | /*) made+=("$item") ;;
      *) made+=("$root/$item") ;;
    esac
  done <<<"$1,"
  (IFS=, && echo "${made[*]}")
}

# need_image IMAGE: stop if the image is missing or cannot be run.
need_image() {
  [ -n "$1" ] || return 0
  [ -e "$1" ] || die "$1: no such image (remedy: make image, or leave IMAGE= empty)"
  command -v apptainer >/dev/null || command -v singularity >/dev/null ||
    die "IMAGE= is set, but neither apptainer nor singularity was found (remedy: module load apptainer, or leave it empty)"
}

# inside IMAGE COMMAND…: run in the image, in the current folder; without an image, run directly. The code is always
# this repository's: an image holds only its dependencies and the patched upstream tree.
inside() {
  local image=$1 options=() item
  shift
  if [ -z "$image" ]; then
    "$@"
    return
  fi
  [ "$DEVICE" = cpu ] || options+=(--nv)
  # The image's upstream tree links to its own copy of overlay/; bind ours over it.
  options+=(--bind "$root" --bind "$root/overlay:/opt/ndino/overlay" --pwd "$PWD")
  for item in ${BINDS//,/ }; do options+=(--bind "$item"); done
  for item in ${SQUASHFS//,/ }; do options+=(--bind "${item%%:*}:${item#*:}:image-src=/"); done
  "$(command -v apptainer || command -v singularity)" exec "${options[@]}" --env "PYTHONPATH=$root" "$image" "$@"
}

# python ARGUMENTS…: Python of the main environment (everything but the upstream trainer).
python() {
  if [ -n "$NATIVE_IMAGE" ]; then
    inside "$NATIVE_IMAGE" python "$@"
  else
    [ -x "$root/.venv/bin/python" ] || die "$root/.venv does not exist (remedy: make setup, or set NATIVE_IMAGE=)"
    "$root/.venv/bin/python" "$@"
  fi
}

# What models are scored on, where TASKS and PERPLEXITY_SETS do not say it: all in the languages of LANGUAGE or FAMILY.
score_settings() {
  local found tasks sets
  [ -z "${TASKS:-}" ] || [ -z "${PERPLEXITY_SETS:-}" ] || return 0
  found=$(python -m ndino cluster questions "$FAMILY" ${LANGUAGE:+--lang "$LANGUAGE"})
  { read -r tasks && read -r sets; } <<<"$found"
  : "${TASKS:=$tasks}" "${PERPLEXITY_SETS:=$sets}"
}

# submit NAME SCRIPT [SBATCH OPTIONS…] -- ARGUMENTS…: submit a script, print the job id.
submit() {
  local script=$2 options=(--parsable --job-name "$1" --chdir "$root" --export=ALL --kill-on-invalid-dep=yes)
  shift 2
  [ -z "${ACCOUNT:-}" ] || options+=(--account "$ACCOUNT")
  [ -z "${PARTITION:-}" ] || options+=(--partition "$PARTITION")
  [ -z "${QOS:-}" ] || options+=(--qos "$QOS")
  # shellcheck disable=SC2206 # split into words on purpose
  options+=(${SBATCH_OPTIONS:-})
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  command -v sbatch >/dev/null || die "sbatch not found (remedy: run this on the cluster's login node)"
  sbatch "${options[@]}" "$script" "$@" | cut -d';' -f1
}

# in_queue SQUEUE OPTIONS…: the user's jobs; none where there is no SLURM. A squeue that fails stops the script: an
# unseen job would be submitted a second time, or shown as failed.
in_queue() {
  command -v squeue >/dev/null || return 0
  squeue --noheader --me "$@" 2>/dev/null ||
    die "squeue failed, so the queue is unknown (remedy: see what squeue --me says, then try again)"
}

# Print the script's opening comment as its help.
show_help() {
  sed -n '/^#SBATCH/d; 2,/^$/s/^# \{0,1\}//p' "$1"
}
