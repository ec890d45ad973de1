#!/bin/sh
# need.sh GROUP...: sees to it that what a make target needs is installed.
#
# With all there it does nothing. Else it installs what is missing from the
# distribution's packages, saying so, when it is root or may use sudo; and when
# it may not, it prints the command that does and fails. It knows apt (Debian,
# Ubuntu) and apk (Alpine).
set -eu
PATH=$PATH:/usr/sbin:/sbin
go_version=1.26.8 # fetched where the distribution's Go cannot fetch it itself

# GROUPS (comma separated)  PROGRAM or /FILE  APT PACKAGE  APK PACKAGE
# A package called - does not exist there: the target does without. check needs
# what build needs; test also what run, payloads and stick need; everything also
# what kernel and arm64 need.
needs='
build,kernel,run  /etc/ssl/certs/ca-certificates.crt  ca-certificates  ca-certificates
build,run    xz                  xz-utils          xz
build,run    zstd                zstd              zstd
check,kernel gcc                 gcc               gcc
check,kernel /usr/include/stdio.h        libc6-dev       musl-dev
kernel       make                make              make
kernel       flex                flex              flex
kernel       bison               bison             bison
kernel       bc                  bc                bc
kernel       tar                 tar               tar
kernel       xz                  xz-utils          xz
kernel       /usr/include/linux/types.h  linux-libc-dev  linux-headers
kernel       /usr/include/gelf.h         libelf-dev      elfutils-dev
kernel       /usr/include/openssl/bio.h  libssl-dev      openssl-dev
arm64        aarch64-linux-gnu-gcc  gcc-aarch64-linux-gnu  -
run          qemu-system-x86_64  qemu-system-x86   qemu-system-x86_64
run          sfdisk              fdisk             sfdisk
run          mkfs.ext4           e2fsprogs         e2fsprogs
run          mkfs.vfat           dosfstools        dosfstools
run          mcopy               mtools            mtools
run          dpkg-deb            dpkg              dpkg
payloads,stick  /usr/lib/systemd/boot/efi/linuxx64.efi.stub  systemd-boot-efi  systemd-efistub
payloads     /usr/share/OVMF/OVMF_CODE_4M.fd  ovmf  -
payloads     cbfstool            coreboot-utils    -
stick        mkfs.vfat           dosfstools        dosfstools
stick        mcopy               mtools            mtools
stick        syslinux            syslinux          syslinux
stick        /usr/lib/syslinux/mbr/mbr.bin  syslinux-common  -
check,release  git               git               git
release      dpkg-query          dpkg              -
test         dpkg                dpkg              dpkg
test         rpm                 rpm               rpm
test         minisign            minisign          minisign
test         ssh-keygen          openssh-client    openssh-keygen
test         busybox             busybox-static    busybox-static
test         groff               groff-base        groff
test         fish                fish              fish
test         zsh-static          zsh-static        -
test         blkid               util-linux        blkid
test         losetup             mount             losetup
test         mkswap              util-linux        util-linux
test         mkfs.minix          util-linux-extra  util-linux-misc
test         debugfs             e2fsprogs         e2fsprogs-extra
test         mkfs.xfs            xfsprogs          xfsprogs
test         mkfs.btrfs          btrfs-progs       btrfs-progs
test         mkfs.f2fs           f2fs-tools        f2fs-tools
test         mkfs.exfat          exfatprogs        exfatprogs
test         mkfs.ntfs           ntfs-3g           ntfs-3g-progs
test         mkfs.erofs          erofs-utils       erofs-utils
test         mksquashfs          squashfs-tools    squashfs-tools
test         cryptsetup          cryptsetup-bin    cryptsetup
test         mdadm               mdadm             mdadm
test         lvm                 lvm2              lvm2
test         dmsetup             dmsetup           device-mapper
test         xorriso             xorriso           xorriso
test         cpio                cpio              cpio
test         objdump             binutils          binutils
test         grub-script-check   grub-common       grub
test,bench   grub-emu            grub-emu          grub-emu
test         openssl             openssl           openssl
test         sbsign              sbsigntool        sbsigntool
test         iasl                acpica-tools      -
test         /usr/lib/gcc/x86_64-linux-gnu/12/32/libgcc.a  lib32gcc-12-dev  -
test         bzip2               bzip2             bzip2
test         g++                 g++               g++
test         flex                flex              flex
test         bison               bison             bison
test         dtc                 device-tree-compiler  dtc
test         swtpm               swtpm             swtpm
test         tpm2_pcrread        tpm2-tools        tpm2-tools
everything   qemu-system-aarch64 qemu-system-arm   qemu-system-aarch64
everything   rauc                rauc              -
everything   dbus-daemon         dbus-daemon       -
everything   debootstrap         debootstrap       debootstrap
bench        grub-mkimage        grub-common       grub
'

fail() {
	echo "need.sh: $*" >&2
	exit 1
}

there() { # PROGRAM or /FILE
	case $1 in
	/*) [ -e "$1" ] ;;
	*) command -v "$1" >/dev/null 2>&1 ;;
	esac
}

want() { # PACKAGE
	[ "$1" != - ] || return 0
	case " $missing " in
	*" $1 "*) ;;
	*) missing="${missing:+$missing }$1" ;;
	esac
}

# go_fetches: the Go in PATH is new enough, or new enough to fetch one that is.
go_fetches() {
	v=$(GOTOOLCHAIN=local go version 2>/dev/null) || return 1
	v=${v#go version go}
	major=${v%%.*}
	minor=${v#*.}
	minor=${minor%%[!0-9]*}
	[ "$major" -gt 1 ] || [ "${minor:-0}" -ge 21 ]
}

if command -v apt-get >/dev/null 2>&1; then
	manager=apt
elif command -v apk >/dev/null 2>&1; then
	manager=apk
else
	manager=
fi

missing= programs=
groups=" $* "
case $groups in *' everything '*) groups=" kernel arm64 test$groups" ;; esac
case $groups in *' test '*) groups=" check run payloads stick$groups" ;; esac
case $groups in *' check '*) groups=" build$groups" ;; esac
while read -r in program apt apk; do
	for group in $(echo "$in" | tr , ' '); do
		case $groups in
		*" $group "*) there "$program" && break ;;
		*) continue ;;
		esac
		programs="$programs $program"
		if [ "$manager" = apk ]; then want "$apk"; else want "$apt"; fi
		break
	done
done <<END
$(echo "$needs" | grep -v '^$')
END

case $groups in
*' kernel '*)
	source=/usr/src/linux-source-6.12.tar.xz
	if [ -z "${KERNEL_SRC:-}" ] && ! there "$source"; then
		[ "$manager" = apt ] || fail "the kernel is built from the source of Linux 6.12, for which this system has no package: set KERNEL_SRC to a tree or tarball of it"
		programs="$programs $source"
		want linux-source-6.12
	fi
	;;
esac

# The demo and the tests download Debian's kernels, which lists that are old, or
# as an installer leaves them, do not have.
update=
case $manager$groups in
apt*' run '*)
	if [ -z "${ALPBOOT_KERNEL_A:-}" ] && ! apt-cache policy linux-image-6.12-cloud-amd64 2>/dev/null | grep -q 'Candidate: [0-9]'; then
		update="apt-get update"
	fi
	;;
esac

# What the second Go of an old Debian was called by an earlier run.
if [ -x build/go/bin/go ]; then
	PATH=$PWD/build/go/bin:$PATH
fi
if ! command -v go >/dev/null 2>&1; then
	programs="$programs go"
	if [ "$manager" = apk ]; then want go; else want golang-go; fi
fi

if [ -n "$missing$update" ]; then
	case $manager in
	apt) install="${update:+$update${missing:+ && }}${missing:+apt-get install -y --no-install-recommends $missing}" ;;
	apk) install="apk add $missing" ;;
	*) fail "missing:$programs; install them, by names like $missing" ;;
	esac
	if [ "$(id -u)" = 0 ]; then
		root=
	elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
		root="sudo "
	else
		fail "missing:${programs:- lists of packages}; as root: $install"
	fi
	[ -z "$missing" ] || echo "need.sh: installing $missing" >&2
	case $manager in
	apt)
		quiet="env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0"
		if [ -n "$update" ]; then
			echo "need.sh: fetching apt's lists, which lack Debian's newer kernel" >&2
			$root$quiet update >&2 || fail "could not fetch apt's lists; see above"
		fi
		set -- install -y --no-install-recommends $missing
		[ -n "$missing" ] || set -- check
		# The lists may be old, or not there at all.
		$root$quiet "$@" >/dev/null 2>&1 ||
			{ $root$quiet update >&2 && $root$quiet "$@" >&2; } ||
			fail "could not install them; see above, or try: $root$install"
		;;
	apk)
		$root$install >&2 || fail "could not install them; see above"
		;;
	esac
fi

# Debian has the EFI stub in a package for the processor that it starts on. For
# another one it is unpacked only, and the system's apt learns nothing of that.
stub=linuxaa64.efi.stub
case $groups in
*' arm64 '*'payloads '*)
	if [ "$manager" = apt ] && [ -z "${STUB:-}" ] && ! there "build/arm64/$stub" && ! there "/usr/lib/systemd/boot/efi/$stub"; then
		echo "need.sh: getting $stub of systemd-boot-efi:arm64" >&2
		mkdir -p build/arm64
		work=$PWD/$(mktemp -d build/arm64/.stub.XXXXXX)
		trap 'rm -rf "$work"' EXIT
		mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
		own="-qq -o APT::Architectures::=arm64 -o Dir::State=$work/state -o Dir::State::lists=$work/lists -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache=$work/cache -o APT::Sandbox::User="
		(
			cd "$work"
			apt-get $own update && apt-get $own download systemd-boot-efi:arm64 && dpkg-deb -x systemd-boot-efi_*.deb . && mv "usr/lib/systemd/boot/efi/$stub" ..
		) >&2 || fail "could not get it: name one with STUB=FILE"
	fi
	;;
esac

# Debian 12 has Go 1.19, which cannot fetch a newer one by itself, but as a module.
if ! go_fetches; then
	case $(uname -m) in
	x86_64) arch=amd64 ;;
	aarch64) arch=arm64 ;;
	*) fail "Go 1.21 or newer is needed, and this is only $(go version)" ;;
	esac
	toolchain=golang.org/toolchain@v0.0.1-go$go_version.linux-$arch
	echo "need.sh: fetching Go $go_version, as $(go version | cut -d' ' -f3) is too old" >&2
	(cd / && GOFLAGS=-mod=mod go mod download "$toolchain") || fail "could not fetch $toolchain"
	dir=$(cd / && go env GOMODCACHE)/$toolchain
	chmod +x "$dir"/bin/* "$dir"/pkg/tool/*/* # a module's files are not executable
	mkdir -p build
	ln -sfn "$dir" build/go
fi
