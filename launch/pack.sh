#!/usr/bin/env bash
# Pack a data set's folder into one SquashFS file: clusters limit the number of files, and read many small ones slowly.
#
#   launch/pack.sh data/pt/images data/pt/images.sqfs
#
# Name it in SQUASHFS= of launch/cluster.env as FILE:FOLDER; jobs then see its content in FOLDER of the image.
set -euo pipefail
me=pack.sh
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=launch/body/common.sh
. "$root/launch/body/common.sh"
if [ $# != 2 ]; then
  show_help "$root/launch/$me"
  exit 0
fi
[ -d "$1" ] || die "$1: no such folder (remedy: give the folder to pack)"
[ ! -e "$2" ] || die "$2 is there already (remedy: remove it or choose another name)"
command -v mksquashfs >/dev/null || die "mksquashfs is not here (remedy: the package squashfs-tools)"
trap 'rm -f "$2.tmp"' EXIT
# Pictures are compressed already; equal times and owners make equal files.
mksquashfs "$1" "$2.tmp" -noappend -no-progress -quiet -noD -all-root -all-time 0 -mkfs-time 0 >&2
mv "$2.tmp" "$2"
