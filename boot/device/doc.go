// Package device reads block devices without changing them: it lists them
// from sysfs, hears of new ones from the kernel, and mounts what they hold
// read-only as an [io/fs.FS].
//
// What a device holds is found out by package superblock, and how an image file is
// divided by package table, both below this one; they know of readers only.
//
// Nothing here writes to a disk. A journal is never replayed, and a filesystem
// is mounted on a block device that the kernel itself takes for read-only: ext4
// writes even when it is mounted with ro,noload, to be done with files that had
// been deleted while they were open.
//
// Linux only, 5.8 or newer (openat2, fsopen, LOOP_CONFIGURE with an older
// fallback).
package device
