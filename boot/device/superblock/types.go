package superblock

// Types, as blkid's TYPE spells them.
const (
	Btrfs    = "btrfs"
	EROFS    = "erofs"
	Ext2     = "ext2"
	Ext3     = "ext3"
	Ext4     = "ext4"
	ExFAT    = "exfat"
	F2FS     = "f2fs"
	ISO9660  = "iso9660"
	NTFS     = "ntfs"
	Squashfs = "squashfs"
	Swap     = "swap"
	VFAT     = "vfat"
	XFS      = "xfs"

	LUKS       = "crypto_LUKS"
	LVMMember  = "LVM2_member"
	RAIDMember = "linux_raid_member"
	ZFSMember  = "zfs_member"
)
