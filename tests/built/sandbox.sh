#!/bin/sh
# Runs a program as Lambda runs a function: on its paths, on a file system that cannot be written, with 512 MB of /tmp, and
# with nothing in its environment but what is given.
#
#   unshare --user --map-root-user --mount --pid --fork sandbox.sh ROOT PYTHON TASK OPT NAME=VALUE... -- PROGRAM...
#
# ROOT is an empty folder, PYTHON where the runtime's Python is installed, TASK becomes /var/task and OPT /opt. PROGRAM is
# found in /var/runtime, which is this script's folder.
set -eu
root=$1 python=$2 task=$3 opt=$4
here=$(cd "$(dirname "$0")" && pwd)
shift 4

mount -t tmpfs -o size=1m,mode=755 tmpfs "$root"
show() { # FROM TO: a folder as it is, not to be written
  mkdir -p "$root$2"
  mount --rbind "$1" "$root$2"
  mount -o remount,bind,ro "$root$2"
}
for folder in /bin /lib /lib64; do
  if [ -L "$folder" ]; then ln -s "$(readlink "$folder")" "$root$folder"; elif [ -d "$folder" ]; then show "$folder" "$folder"; fi
done
show /usr /usr
show /etc /etc
case $python in /usr | /usr/*) ;; *) show "$python" "$python" ;; esac
show "$task" /var/task
show "$opt" /opt
show "$here" /var/runtime
mkdir -p "$root/dev" "$root/proc" "$root/tmp"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs -o size=512m,mode=1777 tmpfs "$root/tmp"
mount -o remount,ro "$root"

environment=
while [ "$1" != -- ]; do
  environment="$environment$1
"
  shift
done
shift
# The names and values stand in lines, so that no blank parts them.
exec env -i sh -c '
  IFS="
"
  set -f
  root=$1 environment=$2
  shift 2
  exec chroot "$root" /usr/bin/env -i -C /var/task $environment "$@"
' sh "$root" "$environment" "$@"
