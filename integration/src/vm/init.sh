#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# First process of the virtual machine: mounts the host's root below a layer in memory, runs /job/job in it,
# and switches the machine off.

off() { echo "vm: $*"; poweroff -f; }

/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod "$module" || off "cannot load $module"; done
mount -t virtiofs -o ro root /lower || off "the host's root is not there"
mount -t tmpfs memory /memory
mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/lower,upperdir=/memory/upper,workdir=/memory/work root /new \
    || off "no layer can be laid on the host's root"
mkdir -p /new/job /new/job-modules
mount -t virtiofs job /new/job || off "there is no job"
mount -t virtiofs -o ro modules /new/job-modules || off "there are no modules"
mount -t proc proc /new/proc
mount -t sysfs sys /new/sys
mount -t devtmpfs dev /new/dev
mkdir -p /new/dev/pts /new/dev/shm
mount -t devpts pts /new/dev/pts
mount -t tmpfs run /new/run
echo "vm: up after $(cut -d' ' -f1 /proc/uptime) s"
chroot /new /bin/sh /job/job </dev/null >/dev/hvc0 2>&1
off "ends after $(cut -d' ' -f1 /proc/uptime) s"
