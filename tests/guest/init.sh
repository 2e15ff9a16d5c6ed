#!/bin/busybox sh
# First process of a guest: modules, network, the root disk; then agent.py takes over as process 1.
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
for module in /boot/ko/*; do $B insmod "$module" 2>/dev/null; done  # some need a processor that is not there
$B ip link set lo up
$B ip link set eth0 up && $B ip addr add 10.0.2.15/24 dev eth0 && $B ip route add default via 10.0.2.2
n=0
while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do $B usleep 50000; n=$((n + 1)); done
$B mount -t ext4 /dev/vda /new || { echo "init: no root disk"; $B poweroff -f; }
for folder in proc sys dev; do $B mount --move /$folder /new/$folder; done
for folder in tmp run mnt root; do $B mount -t tmpfs $folder /new/$folder; done
$B chmod 1777 /new/tmp
$B cp /boot/agent.py /new/run/agent.py
exec $B switch_root /new /usr/bin/python3 -S -E /run/agent.py
