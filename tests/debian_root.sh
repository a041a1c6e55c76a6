# shellcheck shell=bash
# Root file systems of Debian and commands inside them, for tests/bare/run.sh and tests/singularity/build.sh. Sourced,
# with the caller's name in $what.

# shellcheck disable=SC2034 # the callers use it
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ndino

die() {
  echo "${what:?}: $*" >&2
  exit 1
}

need_root() {
  [ "$(id -u)" = 0 ] || die "needs root, to make a Debian root file system and to enter it (remedy: sudo make $what)"
}

need_debootstrap() {
  command -v debootstrap >/dev/null || {
    command -v apt-get >/dev/null || die "needs debootstrap, and there is no apt-get to install it with"
    echo "Installing this Debian package: debootstrap" >&2
    apt-get update -qq >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends debootstrap >/dev/null 2>&1 ||
      die "debootstrap cannot be installed (remedy: apt-get install debootstrap)"
  }
}

# make_root FOLDER SUITE PACKAGES: a minimal Debian from the mirror that apt uses here; all or nothing.
make_root() {
  local partial=$1.partial mirror
  echo "Making a root of Debian $2 ..." >&2
  mkdir -p "$(dirname "$1")"
  rm -rf "$partial"
  # shellcheck disable=SC2016 # apt fills these in
  mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 2>/dev/null | awk -v suite="$2" '$1 == suite { print $2; exit }')
  # A release that is out of date is still good for a test.
  APT_CONFIG=<(echo 'Acquire::Check-Valid-Until "false";') \
    timeout 900 debootstrap --variant=minbase --include="$3" "$2" "$partial" ${mirror:+"$mirror"} >"$1.log" 2>&1 ||
    die "debootstrap of $2 failed: $(tail -n 1 "$1.log") (its log: $1.log)"
  rm -rf "$partial"/var/cache/apt/archives/*.deb
  mv "$partial" "$1"
}

# pip_settings: where pip looks on this machine, as lines of a pip.conf. The environment comes before the files.
pip_settings() {
  local python keys='find-links|index-url|extra-index-url|trusted-host|cert|timeout|default-timeout'
  echo '[global]'
  for python in python3 .venv/bin/python; do
    "$python" -m pip config list 2>/dev/null || continue
    break
  done | sed -nE "s/^[a-z:.]*\.($keys)='(.*)'$/\1 = \2/p" | sed 's/\\n/ /g' | awk '!seen[$1]++'
}

# pip_folders FILE: the folders on this machine that a pip.conf points to.
pip_folders() {
  local folder
  # An index that is a folder names its files by paths beside it.
  grep -oE '(file://)?/[^ ]+' "$1" | sed -E 's|^file://(.*)/[^/]+/?$|\1|' | sort -u | while read -r folder; do
    [ ! -d "$folder" ] || echo "$folder"
  done
}

# settle ROOT: the root reaches the registries as this machine does: names, certificates, apt's and pip's settings.
settle() {
  local root=$1 file
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
  apt-config dump 2>/dev/null | grep '^Acquire::' | grep -vE '::(IndexTargets|cdrom)' >"$root/etc/apt/apt.conf.d/99host" || true
  if [ -d /usr/local/share/ca-certificates ]; then
    cp -r /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
    chroot "$root" update-ca-certificates >/dev/null 2>&1
  fi
  pip_settings >"$root/etc/pip.conf"
  for file in "${SSL_CERT_FILE:-}" "${REQUESTS_CA_BUNDLE:-}" "${CURL_CA_BUNDLE:-}" "${GIT_SSL_CAINFO:-}" \
    "$(sed -n 's/^cert = //p' "$root/etc/pip.conf")"; do
    [ -f "$file" ] || continue
    mkdir -p "$root$(dirname "$file")"
    cp -L "$file" "$root$file"
  done
}

# inside ROOT [SOURCE:TARGET[:ro]]… -- COMMAND…: run a command in a root, with this machine's devices and those folders.
inside() {
  local root=$1 binds=()
  shift
  while [ "$1" != -- ]; do
    binds+=("$1")
    shift
  done
  shift
  # pivot_root in a mount namespace of its own: Apptainer and user namespaces refuse a plain chroot, and what is
  # mounted goes away with the last process.
  # shellcheck disable=SC2016
  unshare --mount --propagation private bash -euc '
    root=$1 count=$2
    shift 2
    mount --bind "$root" "$root"
    for folder in proc sys dev; do mount --rbind "/$folder" "$root/$folder"; done
    for bind in "${@:1:count}"; do
      IFS=: read -r source target mode <<<"$bind"
      mkdir -p "$root$target"
      mount --rbind "$source" "$root$target"
      [ "$mode" != ro ] || mount -o remount,bind,ro "$root$target"
    done
    shift "$count"
    mkdir -p "$root/.host"
    cd "$root"
    pivot_root . .host
    cd /
    umount -l /.host
    rmdir /.host
    exec "$@"
  ' -- "$root" "${#binds[@]}" "${binds[@]}" "$@"
}
