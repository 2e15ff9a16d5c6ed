#!/bin/sh
# boot.sh TREE UNIT: systemd as process 1 of namespaces of its own, with a folder as its root.
# Of the machine it sees nothing: /dev, /run and /tmp are empty file systems, /sys and the settings
# of the kernel cannot be written, and there is no network. Ends with the status that `systemctl
# exit` gives.
set -e
if [ -z "${INSIDE:-}" ]; then
    exec env INSIDE=1 unshare --mount --pid --fork --net --uts --ipc --cgroup --propagation private "$0" "$@"
fi
tree=$1 unit=$2
mount --bind "$tree" "$tree"
cd "$tree"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
[ ! -e proc/sysrq-trigger ] || mount --bind /dev/null proc/sysrq-trigger
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
mkdir -p oldroot
pivot_root . oldroot
umount -l /oldroot
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=tests \
    /usr/lib/systemd/systemd --unit="$unit" --log-target=null --show-status=no </dev/null
