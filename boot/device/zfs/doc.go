// Package zfs reads ZFS pools, without ZFS: a pool's devices or images in, its
// datasets as an [io/fs.FS] out. Nothing is ever written, and no intent log is
// replayed: what a system had not yet synced when it stopped is not seen.
//
// It reads pools of files, disks, mirrors and RAID-Z1 to RAID-Z3, with devices
// missing as far as the others make up for them, and with devices that were removed;
// datasets, snapshots and clones with files, directories and symlinks; the compressions
// lz4, lzjb, zle, gzip and zstd; the checksums fletcher2, fletcher4, SHA-256,
// SHA-512/256 and skein; encrypted datasets, by passphrase or key. Every block is verified, and
// one whose copy is bad is read from the next.
//
// It does not read dRAID, RAID-Z that was expanded, nor blocks with the checksums edonr
// and blake3: these are named in errors. A feature that is active and that a
// reader has to know is refused by its name, as ZFS does. Of what is encrypted, the MACs
// of indirect blocks and of sets of objects are not verified, only their checksums.
//
// The tests read pools that ZFS itself has made: OpenZFS 2.1 in Debian's kernel; the same
// through libzpool, its library, for gang blocks, a device that was removed and more
// RAID-Z, with file systems that qemu-tests/zfs/create.c lays out; and zfs-fuse (pool
// version 23). Not yet compared with ZFS are pools of version 2.2 and newer, and special
// and log devices.
//
// The structures are those of the "ZFS On-Disk Specification" (Sun, 2006) and of
// the headers of OpenZFS below include/sys, which the comments name.
package zfs
