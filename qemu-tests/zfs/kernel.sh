#!/bin/bash
# Makes fixtures for boot/device/zfs with ZFS of Debian's zfs-dkms in a virtual machine with
# Debian's kernel: the pools, and what ZFS lists in them.
#
#	qemu-tests/zfs/kernel.sh DIRECTORY boot/device/zfs/testdata
#
# DIRECTORY has these packages, unpacked by dpkg -x, not installed: linux-image, linux-headers
# (both of them), linux-kbuild, zfs-dkms, zfsutils-linux, libzfs4linux, libnvpair3linux,
# libuutil3linux, libzpool5linux, and busybox-static. The modules are built first, which
# takes about ten minutes of a processor.
set -euo pipefail
root=$(realpath "$1") out=$(realpath "$2") dir=$(mktemp -d /tmp/zfs-fixtures.XXXXXX)
trap 'rm -rf "$dir"' EXIT
version=$(basename "$root"/lib/modules/*) build=$root/zfs-build

if [ ! -e "$build/module/zfs/zfs.ko" ]; then
	headers=$root/usr/src/linux-headers-$version common=$root/usr/src/linux-headers-${version%-amd64}-common
	sed -i "s,/usr/src,$root/usr/src,g; s,/usr/lib/linux-kbuild,$root/usr/lib/linux-kbuild,g" "$headers/Makefile"
	find "$headers" "$common" -maxdepth 1 -type l | while read -r link; do
		case $(readlink "$link") in /usr/*) ln -sfn "$root$(readlink "$link")" "$link" ;; esac
	done
	cp -r "$root"/usr/src/zfs-* "$build"
	(cd "$build" && ./configure --with-config=kernel --with-linux="$common" --with-linux-obj="$headers" && make)
fi

# the root file system of the machine
mkdir -p "$dir"/ram/{bin,sbin,lib,lib64,modules,dev,proc,sys,etc,tmp,pools,t,s}
cd "$dir/ram"
cp "$(command -v busybox)" bin/busybox
for name in virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
	find "$root/lib/modules/$version" -name "$name.ko" -exec cp {} modules/ \;
done
find "$build/module" -name '*.ko' -exec cp {} modules/ \;
strip --strip-debug modules/*.ko
cp "$root"/sbin/{zfs,zpool} sbin/
for file in $(LD_LIBRARY_PATH=$root/lib/x86_64-linux-gnu ldd sbin/zfs sbin/zpool | awk '/=> \//{print $3}' | sort -u) /lib/x86_64-linux-gnu/libgcc_s.so.1; do
	cp -L "$file" lib/
done
cp -L /lib64/ld-linux-x86-64.so.2 lib64/
cat >init <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin LD_LIBRARY_PATH=/lib
mount -t devtmpfs none /dev; mount -t proc none /proc; mount -t sysfs none /sys; mount -t tmpfs none /tmp
ln -s /proc/self/mounts /etc/mtab
cd /modules
for m in virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk spl znvpair zavl zunicode zcommon zlua icp zzstd zfs; do
	insmod $m.ko || echo "insmod $m failed"
done
mount -t tmpfs -o size=700m none /pools
cd /pools

fill() {
	mkdir -p $1/boot/dir $1/etc
	echo "one line" >$1/etc/small
	: >$1/etc/empty
	seq 1 5000 >$1/boot/vmlinuz
	yes "the same line" | head -c 300001 >$1/boot/initramfs
	truncate -s 3M $1/boot/sparse; echo end >>$1/boot/sparse
	truncate -s 20M $1/boot/far; echo end >>$1/boot/far
	ln -s vmlinuz $1/boot/relative
	ln -s /etc/small $1/boot/absolute
	ln -s ../../../../etc/$(seq 150 | sed 's,.*,.,' | tr '\n' /)small $1/boot/dir/long
	for i in $(seq 60); do : >$1/boot/dir/$(seq 18 | sed s,.*,a-long-name-, | tr -d '\n')$i; done
}

# listing DIRECTORY NAME
listing() {
	(
		cd $1
		find . -mindepth 1 -type d | while read -r f; do printf "$2\t${f#./}\tdirectory\n"; done
		find . -type l | while read -r f; do printf "$2\t${f#./}\tlink\t$(readlink $f)\n"; done
		find . -type f | sort >/tmp/files
		xargs stat -c %s </tmp/files >/tmp/sizes
		xargs sha256sum </tmp/files | cut -c1-64 >/tmp/sums
		sed 's,^\./,,' /tmp/files | paste - /tmp/sizes /tmp/sums | while IFS='	' read -r f s h; do printf "$2\t$f\tfile\t$s\t$h\n"; done
	)
}

# dataset NAME OPTION...
dataset() {
	name=$1; shift
	zfs create -o mountpoint=/t "$@" $name || return
	fill /t
	zfs snapshot $name@before
	echo changed >/t/etc/small; rm /t/boot/relative
	listing /t $name >>${name%%/*}.txt
	mount -t zfs $name@before /s && listing /s $name@before >>${name%%/*}.txt && umount /s
	zfs unmount $name
}

# pool NAME COUNT OPTION...
pool() {
	pool=$1 count=$2; shift 2; images=
	for i in $(seq $count); do truncate -s 64M $pool.$i; images="$images /pools/$pool.$i"; done
	zpool create -O mountpoint=none "$@" $images
}

pool kernel-mirror 2 -o ashift=12 kernel-mirror mirror
dataset kernel-mirror/lz4 -o compression=lz4 -o atime=off -o xattr=sa -o acltype=posixacl -o dnodesize=auto -o normalization=formD
dataset kernel-mirror/zstd -o compression=zstd -o recordsize=1M -o checksum=sha512
dataset kernel-mirror/dedup -o compression=gzip -o dedup=on
echo "correct horse" | dataset kernel-mirror/gcm -o compression=lz4 -o encryption=on -o keyformat=passphrase
zpool set bootfs=kernel-mirror/lz4 kernel-mirror
zpool status; zfs list -t all; zpool export kernel-mirror
pool kernel-raidz1 3 kernel-raidz1 raidz1
dataset kernel-raidz1/lz4 -o compression=lz4
zpool status; zpool export kernel-raidz1
ls -l
tar c *.txt kernel-* | gzip -1 >/dev/vda
sync
echo "fixtures are made"
poweroff -f
INIT
chmod +x init
find . | cpio -o -H newc --quiet | gzip -1 >../initrd
truncate -s 64M ../out
cd ..
timeout 1500 qemu-system-x86_64 -M q35 -cpu max -m 1500 -nographic -no-reboot -kernel "$root/boot/vmlinuz-$version" -initrd initrd \
	-append "console=ttyS0 panic=-1 quiet" -drive file=out,format=raw,if=virtio </dev/null | tee log
grep -q 'fixtures are made' log
mkdir files && gunzip <out 2>/dev/null | tar x -C files || true
for pool in kernel-mirror kernel-raidz1; do
	cat files/$pool.[0-9] | zstd -q -12 --long=27 -f -o "$out/$pool.zst"
	cp files/$pool.txt "$out/"
done
ls -l "$out"
