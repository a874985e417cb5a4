#!/bin/sh
# Runs a program as Lambda runs a function: on its paths, on a read-only file system, with 512 MB of /tmp, and with the
# given variables alone in its environment.
#
#   unshare --user --map-root-user --mount --pid --fork sandbox.sh ROOT PYTHON TASK OPT NAME=VALUE... -- PROGRAM...
#
# ROOT is an empty folder, and PYTHON is the folder of the runtime's Python. TASK becomes /var/task, and OPT becomes
# /opt. PROGRAM lies in /var/runtime, the folder of this script.
set -eu
root=$1 python=$2 task=$3 opt=$4
here=$(cd "$(dirname "$0")" && pwd)
shift 4

mount -t tmpfs -o size=1m,mode=755 tmpfs "$root"
show() { # FROM TO: mounts a folder read-only
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
# Each name and value has a line of its own, so a blank does not split it.
exec env -i sh -c '
  IFS="
"
  set -f
  root=$1 environment=$2
  shift 2
  exec chroot "$root" /usr/bin/env -i -C /var/task $environment "$@"
' sh "$root" "$environment" "$@"
