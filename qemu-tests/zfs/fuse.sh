#!/bin/bash
# Makes fixtures for boot/device/zfs with ZFS of Debian's zfs-fuse (pool version 23): pools
# in files of 64 MB, and what ZFS itself lists in them. Run as root, where /dev/fuse is:
#
#	qemu-tests/zfs/fuse.sh DIRECTORY-WITH-ZFS-FUSE's-sbin boot/device/zfs/testdata
#
# No pool of the machine is touched: zfs-fuse knows only those that it makes.
set -euo pipefail
sbin=$1 out=$(realpath "$2") dir=$(mktemp -d /tmp/zfs-fixtures.XXXXXX)
cd "$dir"
"$sbin/zfs-fuse" --no-daemon --no-kstat-mount -v 0 --max-arc-size 32 >log 2>&1 &
daemon=$!
trap 'kill $daemon || true; wait $daemon || true; rm -rf "$dir"' EXIT
for _ in $(seq 60); do [ -S /var/run/zfs/zfs_socket ] && break; sleep 1; done

# listing DIRECTORY NAME: path, kind, size and SHA-256 or target of everything in a dataset
listing() {
	(
		cd "$dir/$1"
		find . -mindepth 1 -type d -printf "$2\t%P\tdirectory\n" -o -type l -printf "$2\t%P\tlink\t%l\n"
		find . -type f -printf '%s\t%P\n' | LC_ALL=C sort -t/ >"$dir/sizes"
		cut -f2 "$dir/sizes" | tr '\n' '\0' | xargs -0 sha256sum | cut -c1-64 | paste "$dir/sizes" - |
			awk -F'\t' -v name="$2" '{ printf "%s\t%s\tfile\t%s\t%s\n", name, $2, $1, $3 }'
	)
}

# fill DIRECTORY: files of all kinds that matter to a reader
fill() {
	mkdir -p "$1/boot/dir" "$1/etc"
	echo "one line" >"$1/etc/small"
	: >"$1/etc/empty"
	seq 1 5000 >"$1/boot/vmlinuz"                                # several blocks
	(yes "the same line" || true) | head -c 300001 >"$1/boot/initramfs"     # several blocks that compress well
	truncate -s 3M "$1/boot/sparse"; echo end >>"$1/boot/sparse"  # holes
	truncate -s 20M "$1/boot/far"; echo end >>"$1/boot/far"      # several levels of indirect blocks
	ln -s vmlinuz "$1/boot/relative"
	ln -s /etc/small "$1/boot/absolute"
	ln -s "../../../../etc/$(printf './%.0s' $(seq 150))small" "$1/boot/dir/long" # a znode has no room for it
}

# pool NAME COUNT VDEV...: a pool of COUNT images
pool() {
	local name=$1 count=$2 images=() i; shift 2
	for i in $(seq "$count"); do truncate -s 64M "$name.$i"; images+=("$dir/$name.$i"); done
	"$sbin/zpool" create -o cachefile=none -O checksum="$sum" -O compression="$compression" -m "$dir/$name" "$name" "$@" "${images[@]}"
	for i in $(seq 60); do : >"$name/$(printf "a long name "%.0s $(seq 18))$i"; done
	listing "$name" "$name" >"$out/$name.txt"
	"$sbin/zfs" create -o mountpoint=none "$name/ROOT"
	"$sbin/zfs" create -o mountpoint="$dir/alpine" "$name/ROOT/alpine"
	fill alpine
	listing alpine "$name/ROOT/alpine@before" >>"$out/$name.txt"
	"$sbin/zfs" snapshot "$name/ROOT/alpine@before"
	echo changed >alpine/etc/small; rm alpine/boot/relative
	listing alpine "$name/ROOT/alpine" >>"$out/$name.txt"
	"$sbin/zfs" clone -o mountpoint="$dir/clone" "$name/ROOT/alpine@before" "$name/ROOT/clone"
	listing clone "$name/ROOT/clone" >>"$out/$name.txt"
	if [ "$1" = mirror ]; then "$sbin/zpool" set bootfs="$name/ROOT/alpine" "$name"; fi
	"$sbin/zfs" set org.zfsbootmenu:commandline="quiet ro" "$name/ROOT"
	"$sbin/zpool" export "$name"
	cat $(seq -f "$name.%g" "$count") | zstd -q -12 --long=27 -f -o "$out/$name.zst"
	rm "$name".*
}

sum=fletcher4 compression=lzjb pool fuse-mirror 2 mirror
sum=fletcher2 compression=gzip pool fuse-raidz1 3 raidz1
ls -l "$out"
