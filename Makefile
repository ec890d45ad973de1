# make help lists the targets. What they do is written in Go: cmds/mkpayload
# builds, qemu-tests/run demonstrates, qemu-tests/all tests, qemu-tests/bench
# measures.

ARCH = x86_64
override ARCH := $(subst amd64,x86_64,$(subst aarch64,arm64,$(ARCH)))
GO_ARCH = $(subst x86_64,amd64,$(ARCH))
OUT = build/$(ARCH)

# On an old Debian need.sh puts a newer Go into build/go. Programs that make
# filesystems lie in sbin, which is not in everybody's PATH.
export PATH := $(CURDIR)/build/go/bin:$(PATH):/usr/sbin:/sbin
# A distribution's Go may fetch the version that go.mod asks for.
export GOTOOLCHAIN ?= auto

NEED = @sh initramfs/need.sh
# The groups for a kernel: one for another processor wants another compiler.
KERNEL_GROUPS = kernel $(filter arm64,$(ARCH))

.PHONY: all initramfs kernel payloads stick mkpayload alpboot kexec-reboot run check test test-all bench release verify clean help
.DEFAULT_GOAL = all

all: initramfs kernel

initramfs:
	$(NEED) build
	@go run ./cmds/mkpayload initramfs --arch $(GO_ARCH) -o $(OUT)/initramfs.cpio.xz

kernel:
	$(NEED) build $(KERNEL_GROUPS)
	@go run ./cmds/mkpayload kernel --arch $(ARCH) $(if $(KEEP),--keep) $(if $(PACKED),--compress $(PACKED)) -o $(OUT)/vmlinuz$(if $(PACKED),-$(PACKED))

payloads:
	$(NEED) build $(KERNEL_GROUPS) payloads
	@go run ./cmds/mkpayload all --arch $(ARCH) -o $(OUT) $(if $(KERNEL),--kernel '$(KERNEL)') $(if $(MODULES),--modules '$(MODULES)') $(if $(STUB),--stub '$(STUB)') $(if $(COREBOOT_ROM),--rom '$(COREBOOT_ROM)') $(if $(SIGN),--sign '$(SIGN)')

stick: initramfs kernel
	$(NEED) stick
	@go run ./cmds/mkpayload uki -o $(OUT)/alpboot.efi
	@go run ./cmds/mkpayload stick --uki $(OUT)/alpboot.efi -o $(OUT)/stick.img

# Programs for the system that they are copied to: without a libc, so that they
# run with glibc, with musl and with none. make alpboot ARCH=arm64
mkpayload alpboot kexec-reboot:
	$(NEED) build
	@CGO_ENABLED=0 GOARCH=$(GO_ARCH) go build -trimpath -ldflags '-s -w' -o $(OUT)/$@ ./cmds/$@

run:
	$(NEED) build run
	@go run ./qemu-tests/run $(if $(DISK),--disk '$(DISK)') $(if $(ISO),--iso '$(ISO)')

check:
	$(NEED) check
	@go run ./qemu-tests/all check

test:
	$(NEED) test
	@go run ./qemu-tests/all test

test-all:
	$(NEED) everything
	@go run ./qemu-tests/all test-all

bench:
	$(NEED) build kernel run payloads stick bench
	@go run ./qemu-tests/bench $(if $(filter all,$(BENCH)),--all --runs 5) $(if $(AGAINST),--against '$(AGAINST)') -o $(OUT)/bench.json

# All files of a release in dist/, for x86_64 and arm64, and one of them built
# again and compared. docs/release.md
release:
	$(NEED) build kernel arm64 payloads release
	@go run ./cmds/mkrelease $(if $(VERSION),--version '$(VERSION)') $(if $(RELEASE_KEY),--key '$(RELEASE_KEY)') $(if $(PAYLOADS),--payloads '$(PAYLOADS)') -o dist

verify:
	$(if $(FILE),,$(error which file: make verify FILE=alpboot-1.0.0-x86_64.efi))
	$(NEED) build kernel arm64 payloads release
	@go run ./cmds/mkrelease verify $(if $(PAYLOADS),--payloads '$(PAYLOADS)') '$(FILE)'

# The kernels that were built stay in $XDG_CACHE_HOME/alpboot.
clean:
	rm -rf build dist

help:
	@echo 'make                 both of:'
	@echo 'make initramfs       $(OUT)/initramfs.cpio.xz, the menu and its shell'
	@echo 'make kernel          $(OUT)/vmlinuz, the Linux under it; KERNEL_SRC= names a tree or tarball'
	@echo 'make payloads        all of it as one file for each kind of firmware, in $(OUT)/; KERNEL=FILE, MODULES=DIR, COREBOOT_ROM=FILE, SIGN=KEY,CERT'
	@echo 'make payloads ARCH=arm64  initramfs and UKI; STUB=FILE for an EFI stub of your own'
	@echo 'make stick           $(OUT)/stick.img, a removable disk for UEFI and BIOS'
	@echo 'make mkpayload       $(OUT)/mkpayload, which installs a payload on another machine; needs no libc; also ARCH=arm64'
	@echo 'make alpboot         $(OUT)/alpboot, the command of a running system; also ARCH=arm64'
	@echo 'make kexec-reboot    $(OUT)/kexec-reboot, for fast reboots of a running system; also ARCH=arm64'
	@echo 'make run             the menu of a demo disk, in a virtual machine, in this terminal'
	@echo 'make run DISK=FILE   the same with your disk image (raw or qcow2), which stays as it is'
	@echo 'make run ISO=FILE    the same with your ISO image'
	@echo 'make check           the sources and the unit tests: three minutes, neither root rights nor QEMU'
	@echo 'make test            that, and every feature in virtual machines: twenty minutes; uses the kernel of make kernel if there is one'
	@echo 'make test-all        that, and arm64, further kernels, fuzzing, long random tests: over two hours'
	@echo 'make bench           $(OUT)/bench.json: times and sizes beside those of u-root: ten minutes; an hour with BENCH=all'
	@echo 'make release         dist/, the files of a release; VERSION=1.0.0 before there is a tag, RELEASE_KEY=FILE to sign'
	@echo 'make verify FILE=F   builds a file of a release again, and compares'
	@echo 'make clean           removes build/ and dist/'
	@echo 'Each lists and installs the packages that it lacks.'
