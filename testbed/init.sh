#!/bin/busybox sh
# The testbed's first program. Puts a writable view of the host's files together and moves into it.
#   /lower   the host's / over 9p, which QEMU serves read-only
#   /upper   a tmpfs that takes every write
#   /root    the two as one; becomes /
PATH=/bin
for applet in insmod mkdir mount ip switch_root; do /bin/busybox ln -s busybox "/bin/$applet"; done
mount -t proc proc /proc
mount -t devtmpfs dev /dev
while read -r module; do
  insmod "$module" || echo "testbed: $module does not load"
done < /order

mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=1048576,cache=loose host /lower || echo "testbed: no host files"
mount -t tmpfs -o mode=0755,size=75% upper /upper
mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work root /root || echo "testbed: no root"

mount -t proc proc /root/proc
mount -t sysfs sys /root/sys
mount -t cgroup2 cgroup /root/sys/fs/cgroup
mount -t devtmpfs dev /root/dev
mkdir -p /root/dev/shm /root/dev/pts
mount -t tmpfs -o mode=1777 shm /root/dev/shm
mount -t devpts -o ptmxmode=0666,mode=0620,gid=5 pts /root/dev/pts
mount -t tmpfs -o mode=0755 run /root/run
mkdir /root/run/testbed
mount -t ext4 -o noatime /dev/vda /root/run/testbed || echo "testbed: no disk"
ip link set lo up

exec switch_root /root /run/testbed/busybox sh /run/testbed/session
