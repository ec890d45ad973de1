package superblock

import "encoding/binary"

// probeSwap follows union swap_header in include/linux/swap.h. The magic number
// ends the first page, whose size is that of the machine that wrote it.
func probeSwap(d *disk) (Superblock, error) {
	const header = 1024
	for _, page := range []int64{4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10} {
		magic := string(d.bytes(page-10, 10))
		if magic == "" {
			break // the device ends here
		}
		var sb Superblock
		switch {
		case magic == "SWAP-SPACE":
			return Superblock{Type: Swap}, nil
		case magic == "SWAPSPACE2":
			sb.Type = Swap
		case magic[:9] == "S1SUSPEND", magic[:9] == "S2SUSPEND", magic[:9] == "ULSUSPEND", magic == "LINHIB0001":
			sb.Type = "swsuspend" // a hibernated system
		default:
			continue
		}
		s := d.bytes(header, 44)
		if s == nil {
			return Superblock{}, nil
		}
		version, lastPage := binary.LittleEndian.Uint32(s), binary.LittleEndian.Uint32(s[4:])
		if sb.Type == Swap && (version != 1 && version != 1<<24 || lastPage == 0) {
			return sb, damaged("swap space of version %d with %d pages", version, lastPage)
		}
		sb.UUID, sb.Label = formatUUID(s[12:28]), text(s[28:44])
		return sb, nil
	}
	return Superblock{}, nil
}
