#!/bin/bash
# Makes fixtures for boot/device/zfs with libzpool of OpenZFS 2.1, of Debian's packages zfs-test,
# libzpool5linux, libnvpair3linux, libuutil3linux and libzfslinux-dev (component contrib), unpacked
# into a directory by dpkg -x, not installed:
#
#	qemu-tests/zfs/libzpool.sh DIRECTORY boot/device/zfs/testdata
set -euo pipefail
root=$(realpath "$1") out=$(realpath "$2") here=$(realpath "$(dirname "$0")") dir=$(mktemp -d /tmp/zfs-fixtures.XXXXXX)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
lib=$root/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH=$lib:$root/usr/lib/x86_64-linux-gnu

# what libzfs makes of a passphrase: PBKDF2 with HMAC and SHA-1
salt=81985529216486895 iters=350000
key=$(python3 -c "
import hashlib
print('{' + ','.join(map(str, hashlib.pbkdf2_hmac('sha1', b'correct horse', ($salt).to_bytes(8, 'little'), $iters, 32))) + '}')")
gcc -O1 -w -D_GNU_SOURCE -D_LARGEFILE64_SOURCE -DWRAPPING_KEY="$key" -DPBKDF2_ITERS=$iters -DPBKDF2_SALT=$salt \
	-I"$root/usr/include/libspl" -I"$root/usr/include/libzfs" -I"$root/usr/src/zfs-2.1.11/include" \
	-o create "$here/create.c" -L"$lib" -l:libzpool.so.5 -l:libnvpair.so.3 -l:libuutil.so.3 -lpthread

mkdir -p tree/boot/dir tree/etc
echo "one line" >tree/etc/small
: >tree/etc/empty
yes aaaa 2>/dev/null | head -c 3000 >tree/etc/embedded || true # its block is in the pointer to it
seq 1 5000 >tree/boot/vmlinuz
yes "the same line" 2>/dev/null | head -c 300001 >tree/boot/initramfs || true
truncate -s 3M tree/boot/sparse; echo end >>tree/boot/sparse
truncate -s 20M tree/boot/far; echo end >>tree/boot/far
ln -s vmlinuz tree/boot/relative
ln -s /etc/small tree/boot/absolute
ln -s "../../../../etc/$(printf './%.0s' $(seq 150))small" tree/boot/dir/long # its attributes are in a block of their own
for i in $(seq 60); do : >"tree/boot/dir/$(printf "a long name "%.0s $(seq 18))$i"; done

# listing: path, kind, size and SHA-256 or target of everything
listing() {
	(
		cd tree
		find . -mindepth 1 -type d -printf "%P\tdirectory\n" -o -type l -printf "%P\tlink\t%l\n"
		find . -type f -printf '%s\t%P\n' | LC_ALL=C sort -t/ >"$dir/sizes"
		cut -f2 "$dir/sizes" | tr '\n' '\0' | xargs -0 sha256sum | cut -c1-64 | paste "$dir/sizes" - |
			awk -F'\t' '{ printf "%s\tfile\t%s\t%s\n", $2, $1, $3 }'
	)
}
listing >"$out/tree.txt"

# pool NAME KIND ASHIFT COUNT DATASETS
pool() {
	local images=() i
	for i in $(seq "$4"); do truncate -s 64M "$1.$i"; images+=("$dir/$1.$i"); done
	./create "$1" "$2" "$3" "$dir/tree" "$5" "${images[@]}"
	cat "${images[@]}" | zstd -q -12 --long=27 -f -o "$out/$1.zst"
	rm "${images[@]}"
}

pool zpool-disk disk 9 1 9
pool zpool-mirror mirror 12 2 1
pool zpool-raidz1 raidz1 12 4 1
pool zpool-raidz2 raidz2 9 5 1
pool zpool-raidz3 raidz3 9 6 1
pool zpool-removed removed 9 8 2
ls -l "$out"
