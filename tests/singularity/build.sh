#!/usr/bin/env bash
# Build the images of singularity/ on a machine that may have neither Apptainer nor a way to Docker Hub, and run their
# %test: `make test-image`, as root.
#
#   tests/singularity/build.sh [native] [llava_next]
#
# The docker header is swapped for a root file system made by debootstrap, PyTorch is its CPU build, and flash-attn,
# which only nvcc compiles, is left out; everything else is unchanged. Where Apptainer is not installed
# it comes from Debian sid, in a root of its own. Both roots are kept in the user's cache. The upstream trees come from
# the mirrors that `make setup` keeps there, or from their own addresses. Where LLaVA-NeXT can be had from neither,
# llava_next is not built, and native without it.
set -euo pipefail
cd "$(dirname "$0")/../.."
what=test-image
# shellcheck source=tests/debian_root.sh
. tests/debian_root.sh
repository=$PWD images=$cache/images
read -ra wanted <<<"${*:-native llava_next}"
for image in "${wanted[@]}"; do
  [ -f "singularity/$image.def" ] || die "$image: no such definition (remedy: native or llava_next)"
done
need_root

# mirror_of TREE: its mirror in the cache, at the pinned commit; nothing where there is none.
mirror_of() {
  local commit
  commit=$(sed -n "/^\[$1\]/,/^\[/s/^commit = \"\(.*\)\"/\1/p" upstream.toml)
  [ ! -d "$cache/$1/$commit.git" ] || echo "$cache/$1/$commit.git"
}

# can_be_had TREE: whether a build will find it.
can_be_had() {
  [ -n "$(mirror_of "$1")" ] ||
    timeout 15 git ls-remote --quiet "$(sed -n "/^\[$1\]/,/^\[/s/^url = \"\(.*\)\"/\1/p" upstream.toml)" HEAD >/dev/null 2>&1
}

llava_next=yes
if ! can_be_had LLaVA-NeXT; then
  llava_next=no
  remedy='remedy: make setup LLAVA_NEXT_URL=<mirror or clone>'
  without="LLaVA-NeXT is in no mirror and its address does not answer"
  kept=()
  for image in "${wanted[@]}"; do [ "$image" = llava_next ] || kept+=("$image"); done
  [ ${#kept[@]} -gt 0 ] || die "$without, which llava_next is made of ($remedy)"
  wanted=("${kept[@]}")
  echo "test-image: $without: llava_next is not built, and native without it ($remedy)"
fi

need_debootstrap
mkdir -p "$images"

# root_of NAME SUITE PACKAGES: a Debian root in the cache, made once.
root_of() {
  if [ ! -d "$images/$1" ]; then
    make_root "$images/$1.new" "$2" "$3"
    # A user namespace may make no devices.
    rm -rf "$images/$1.new/dev"
    mkdir "$images/$1.new/dev"
    mv "$images/$1.new" "$images/$1"
  fi
  echo "$images/$1"
}

# What this machine trusts and where its pip looks, in the base: %post installs packages from there.
base=$(root_of base bookworm ca-certificates)
settle "$base"
mapfile -t binds < <(pip_folders "$base/etc/pip.conf")
arguments=(--build-arg "BASE=/base" --build-arg TORCH_INDEX= --build-arg FLASH_ATTN=none)
arguments+=(--build-arg "COMMIT=$(git rev-parse HEAD)")
options=()
for folder in "${binds[@]}"; do
  mkdir -p "$base$folder"
  options+=(--bind "$folder")
done
for tree in LLaVA-NeXT lmms-eval; do
  mirror=$(mirror_of "$tree")
  [ -n "$mirror" ] || continue
  mkdir -p "$base/mirrors/$tree"
  binds+=("$mirror")
  options+=(--bind "$mirror:/mirrors/$tree:ro")
done
# upstream_arguments DEFINITION: where it is to find the trees; Apptainer refuses what a definition does not declare.
upstream_arguments() {
  local tree name
  for tree in LLaVA-NeXT lmms-eval; do
    name=$(tr 'a-z-' 'A-Z_' <<<"$tree")_URL
    grep -q "^    $name=" "$1" || continue
    if [ -n "$(mirror_of "$tree")" ]; then
      echo "--build-arg=$name=/mirrors/$tree"
    elif [ "$tree-$llava_next" = LLaVA-NeXT-no ]; then
      echo "--build-arg=$name=none"
    fi
  done
}

# apptainer ARGUMENTS…: this machine's own, or that of a root of Debian sid.
if command -v apptainer >/dev/null; then
  shown=$repository
  apptainer() { command apptainer "$@"; }
  arguments[1]="BASE=$base"
else
  sid=$(root_of apptainer sid apptainer,ca-certificates)
  cp -L /etc/resolv.conf /etc/hosts "$sid/etc/"
  shown=/repository
  for file in subuid subgid; do grep -qs '^root:' "$sid/etc/$file" || echo root:0:65536 >>"$sid/etc/$file"; done
  apptainer() {
    local bound=() folder
    for folder in "${binds[@]}"; do bound+=("$folder:$folder"); done
    # shellcheck disable=SC2016
    inside "$sid" "$repository:/repository" "$base:/base" "$out:/out" "${bound[@]}" -- bash -euc '
      cd /repository
      export TMPDIR=/out/tmp APPTAINER_TMPDIR=/out/tmp APPTAINER_CACHEDIR=/out/cache
      exec unshare --user --map-users=0:0:65536 --map-groups=0:0:65536 --setuid 0 --setgid 0 apptainer "$@"
    ' -- "$@"
  }
fi
out=$images/out
mkdir -p "$out/tmp"
seen() { if [ "$shown" = /repository ]; then echo "/out/$1"; else echo "$out/$1"; fi; }

apptainer --version
for name in "${wanted[@]}"; do
  mapfile -t trees < <(upstream_arguments "singularity/$name.def")
  sed 's/^Bootstrap: docker$/Bootstrap: localimage/' "singularity/$name.def" >"$out/$name.def"
  SECONDS=0
  # The build runs %test by itself; it is run once more from the finished image.
  apptainer build --force "${options[@]}" "${arguments[@]}" "${trees[@]}" "$(seen "$name.sif")" "$(seen "$name.def")" \
    >"$out/$name.log" 2>&1 || { tail -n 25 "$out/$name.log" >&2 && die "$name: not built (all of it: $out/$name.log)"; }
  took=$SECONDS
  apptainer test "$(seen "$name.sif")"
  apptainer inspect --labels "$(seen "$name.sif")"
  echo "$name: built in $took s, $(du -m "$out/$name.sif" | cut -f1) MB"
done
