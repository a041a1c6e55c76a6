#!/usr/bin/env bash
# Build the images of singularity/ on a machine that may have neither Apptainer nor a way to Docker Hub, and run their
# %test: `make test-image`, as root.
#
#   tests/singularity/build.sh [native] [llava_next]
#
# The docker header is swapped for a root file system made by debootstrap, PyTorch is its CPU build, and flash-attn,
# which only nvcc compiles, is left out; all else is the definition as it stands. Where Apptainer is not installed
# it comes from Debian sid, in a root of its own. Both roots are kept in the user's cache.
set -euo pipefail
cd "$(dirname "$0")/../.."
repository=$PWD
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ndino/images
mirrors=${XDG_CACHE_HOME:-$HOME/.cache}/ndino
die() {
  echo "test-image: $*" >&2
  exit 1
}
[ "$(id -u)" = 0 ] || die "needs root, for debootstrap"
command -v debootstrap >/dev/null || die "debootstrap is not here (remedy: apt-get install debootstrap)"
mkdir -p "$cache"

# root_of NAME SUITE PACKAGES: a Debian root in the cache, made once.
root_of() {
  if [ ! -d "$cache/$1" ]; then
    echo "Making a root of Debian $2 ..." >&2
    rm -rf "$cache/$1.partial"
    # A release that is out of date is still good for a test.
    APT_CONFIG=<(echo 'Acquire::Check-Valid-Until "false";') \
      debootstrap --variant=minbase --include="$3" "$2" "$cache/$1.partial" >"$cache/$1.log" 2>&1 ||
      die "debootstrap of $2 failed (its words: $cache/$1.log)"
    # A user namespace may make no devices.
    rm -rf "$cache/$1.partial/dev"
    mkdir "$cache/$1.partial/dev"
    mv "$cache/$1.partial" "$cache/$1"
  fi
  echo "$cache/$1"
}

# What this machine trusts and where its pip looks, in the base: %post installs packages from there.
base=$(root_of base bookworm ca-certificates)
binds=()
if [ -d /usr/local/share/ca-certificates ]; then
  cp -r /usr/local/share/ca-certificates/. "$base/usr/local/share/ca-certificates/"
  chroot "$base" update-ca-certificates >/dev/null 2>&1
fi
settings=$(python3 -m pip config list | sed -n "s/^[a-z:.]*\.\(find-links\|index-url\|extra-index-url\|cert\)='\(.*\)'$/\1 = \2/p")
printf '[global]\n%s\n' "$settings" | awk '!seen[$0]++' >"$base/etc/pip.conf"
# An index that is a folder names its files by paths beside it.
while read -r folder; do
  [ ! -d "$folder" ] || binds+=("$folder")
done < <(grep -oE '(file://)?/[^ ]+' <<<"$settings" | sed -E 's|^file://(.*)/[^/]+/?$|\1|' | sort -u)
arguments=(--build-arg "BASE=/base" --build-arg TORCH_INDEX= --build-arg FLASH_ATTN=none)
arguments+=(--build-arg "COMMIT=$(git rev-parse HEAD)")
options=()
for folder in "${binds[@]}"; do
  mkdir -p "$base$folder"
  options+=(--bind "$folder")
done
# The mirrors that make setup has made; without one, %post asks the repository's own address.
for tree in LLaVA-NeXT lmms-eval; do
  for mirror in "$mirrors/$tree"/*.git; do
    [ -d "$mirror" ] || continue
    mkdir -p "$base/mirrors/$tree"
    binds+=("$mirror")
    options+=(--bind "$mirror:/mirrors/$tree:ro")
    arguments+=(--build-arg "$(tr 'a-z-' 'A-Z_' <<<"$tree")_URL=/mirrors/$tree")
    break
  done
done

# apptainer ARGUMENTS…: this machine's own, or that of a root of Debian sid.
if command -v apptainer >/dev/null; then
  shown=$repository
  apptainer() { command apptainer "$@"; }
  arguments[1]="BASE=$base"
else
  sid=$(root_of apptainer sid apptainer,ca-certificates)
  shown=/repository
  for file in subuid subgid; do grep -qs '^root:' "$sid/etc/$file" || echo root:0:65536 >>"$sid/etc/$file"; done
  mkdir -p "$sid/repository" "$sid/base" "$sid/out" "$sid/old"
  apptainer() {
    # pivot_root, since Apptainer takes a plain chroot for a weak one.
    # shellcheck disable=SC2016
    unshare --mount --propagation private bash -euc '
      root=$1 repository=$2 base=$3 out=$4 count=$5
      shift 5
      mount --bind "$root" "$root"
      for folder in proc sys dev; do mount --rbind "/$folder" "$root/$folder"; done
      cp /etc/resolv.conf /etc/hosts "$root/etc/"
      mount --rbind "$repository" "$root/repository"
      mount --rbind "$base" "$root/base"
      mount --rbind "$out" "$root/out"
      for folder in "${@:1:count}"; do mkdir -p "$root$folder" && mount --rbind "$folder" "$root$folder"; done
      shift "$count"
      cd "$root" && pivot_root . old && cd /repository && umount -l /old
      export TMPDIR=/out/tmp APPTAINER_TMPDIR=/out/tmp APPTAINER_CACHEDIR=/out/cache
      exec unshare --user --map-users=0:0:65536 --map-groups=0:0:65536 --setuid 0 --setgid 0 apptainer "$@"
    ' -- "$sid" "$repository" "$base" "$out" "${#binds[@]}" "${binds[@]}" "$@"
  }
fi
out=$cache/out
mkdir -p "$out/tmp"
seen() { if [ "$shown" = /repository ]; then echo "/out/$1"; else echo "$out/$1"; fi; }

apptainer --version
for image in "${@:-native llava_next}"; do for name in $image; do
  [ -f "singularity/$name.def" ] || die "$name: no such definition (remedy: native or llava_next)"
  sed 's/^Bootstrap: docker$/Bootstrap: localimage/' "singularity/$name.def" >"$out/$name.def"
  SECONDS=0
  # The build runs %test by itself; it is run once more from the finished image.
  apptainer build --force "${options[@]}" "${arguments[@]}" "$(seen "$name.sif")" "$(seen "$name.def")" \
    >"$out/$name.log" 2>&1 || { tail -n 25 "$out/$name.log" >&2 && die "$name: not built (all of it: $out/$name.log)"; }
  took=$SECONDS
  apptainer test "$(seen "$name.sif")"
  apptainer inspect --labels "$(seen "$name.sif")"
  echo "$name: built in $took s, $(du -m "$out/$name.sif" | cut -f1) MB"
done; done
