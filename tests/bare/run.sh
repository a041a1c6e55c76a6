#!/usr/bin/env bash
# Run the project on a bare Debian, as root: Python, make, git and certificates, and nothing that was ever installed by
# hand on this machine. `make test-bare` runs README's two commands so, and .ci/run the second.
#
#   tests/bare/run.sh                   make demo, then make test
#   tests/bare/run.sh make test         one command
#   tests/bare/run.sh --prepare         make the base and try it, or say in a line why there can be none
#
# The working tree is copied in, with what is not committed. The environment goes in, less what names this machine's
# folders. The base is kept in the user's cache.
set -euo pipefail
cd "$(dirname "$0")/../.."
what=test-bare
# shellcheck source=tests/debian_root.sh
. tests/debian_root.sh
need_root
need_debootstrap

suite=bookworm
base=$cache/bare/$suite.tar
if [ ! -s "$base" ]; then
  rm -rf "$cache/bare/$suite"
  make_root "$cache/bare/$suite" "$suite" ca-certificates,git,make,python3,python3-venv
  tar -C "$cache/bare/$suite" -cf "$base.partial" .
  mv "$base.partial" "$base"
  rm -rf "$cache/bare/$suite"
fi
# What a killed run left; none takes a day.
find "$cache/bare" -maxdepth 1 -name 'run.*' -mtime +0 -exec rm -rf {} +

root=$(mktemp -d "$cache/bare/run.XXXXXX")
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
tar -C "$root" -xf "$base"
settle "$root"
binds=()
while read -r folder; do binds+=("$folder:$folder:ro"); done < <(pip_folders "$root/etc/pip.conf")
for folder in "${LLAVA_NEXT_URL:-}" "${LMMS_EVAL_URL:-}"; do
  [ ! -d "$folder" ] || binds+=("$folder:$folder:ro")
done
environment=()
while IFS= read -r -d '' variable; do
  [[ ${variable%%=*} =~ ^(_|PATH|HOME|PWD|OLDPWD|SHELL|SHLVL|USER|LOGNAME|MAIL|LANG|LANGUAGE|LC_.*|TMP|TEMP|TMPDIR)$ ]] ||
    [[ ${variable%%=*} =~ ^(BASH|CONDA|HF|LD|MAKE|MFLAGS|PIP|PYENV|PYTHON|VIRTUAL_ENV|XDG|SLURM) ]] ||
    environment+=("$variable")
done < <(env -0)
environment+=(HOME=/root USER=root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
bare() { inside "$root" "${binds[@]}" -- env -i -C /srv/llava-ndino "${environment[@]}" "$@"; }

mkdir -p "$root/srv/llava-ndino"
if [ "${1:-}" = --prepare ]; then
  said=$(bare python3 -m venv --help 2>&1) || die "this machine lets no command into a root of its own: ${said##*$'\n'}"
  exit
fi

# A clone for the history, and over it the files as they are now. The checkout may be another user's.
printf '[safe]\n\tdirectory = *\n' >"$root/gitconfig"
export GIT_CONFIG_GLOBAL=$root/gitconfig
git clone --quiet --no-checkout --no-hardlinks . "$root/srv/llava-ndino"
git -C "$root/srv/llava-ndino" reset --quiet
git -C "$root/srv/llava-ndino" remote remove origin
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
  [ ! -e "$file" ] && [ ! -L "$file" ] || printf '%s\0' "$file"
done | tar --null --files-from=- -cf - | tar -C "$root/srv/llava-ndino" --no-same-owner -xf -
rm "$root/gitconfig"

if [ $# = 0 ]; then
  bare make demo
  bare make test
else
  bare "$@"
fi
