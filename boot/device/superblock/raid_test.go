package superblock_test

import (
	"encoding/binary"
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/device/superblock/raidtest"
	"golang.org/x/sys/unix"
)

const (
	mdUUID  = "30313233-3435-3637-3839-616263646566"
	md0UUID = "01234567-89ab-cdef-fedc-ba9876543210"
)

// raidMembers are members of arrays on devices of 16 MiB.
var raidMembers = []struct {
	name   string
	device sparse
	want   superblock.RAID
	mdadm  bool // mdadm can read it here
}{
	{
		name: "1.1", device: sparse{0: raidtest.Version1(0, 1)}, mdadm: true,
		want: superblock.RAID{Version: "1.1", UUID: mdUUID, Name: "alpine:boot", Level: 1, Devices: 2, Events: 17, DataOffset: mib, DataSize: 15 * mib, Used: 14 * mib, Chunk: 65536},
	}, {
		name: "1.2", device: sparse{4096: raidtest.Version1(4096, 6)}, mdadm: true,
		want: superblock.RAID{Version: "1.2", UUID: mdUUID, Name: "alpine:boot", Level: 6, Devices: 2, Events: 17, DataOffset: mib, DataSize: 15 * mib, Used: 14 * mib, Chunk: 65536},
	}, {
		name: "1.0", device: sparse{16*mib - 8192: raidtest.Version1(16*mib-8192, 1)}, mdadm: true,
		want: superblock.RAID{Version: "1.0", UUID: mdUUID, Name: "alpine:boot", Level: 1, Devices: 2, Events: 17, DataSize: 16*mib - 8192, Used: 14 * mib, Chunk: 65536},
	}, {
		name: "0.90", device: sparse{16*mib - 65536: raidtest.Version0(binary.LittleEndian, 1)}, mdadm: true,
		want: superblock.RAID{Version: "0.90", UUID: md0UUID, Name: "7", Level: 1, Devices: 2, Events: 17, DataSize: 16*mib - 65536, Used: 14 * mib, Chunk: 65536},
	}, {
		name: "0.90 of a big-endian machine", device: sparse{16*mib - 65536: raidtest.Version0(binary.BigEndian, 1)},
		want: superblock.RAID{Version: "0.90", UUID: md0UUID, Name: "7", Level: 1, Devices: 2, Events: 17, DataSize: 16*mib - 65536, Used: 14 * mib, Chunk: 65536},
	}, {
		name: "stripes", device: sparse{4096: raidtest.Version1(4096, 0, raidtest.Change{160: uint32(1)})}, mdadm: true,
		want: superblock.RAID{Version: "1.2", UUID: mdUUID, Name: "alpine:boot", Level: 0, Devices: 2, Role: 1, Events: 17, DataOffset: mib, DataSize: 15 * mib, Chunk: 65536},
	}, {
		name: "0.90 stripes", device: sparse{16*mib - 65536: raidtest.Version0(binary.LittleEndian, 0, raidtest.Change{4 * 992: uint32(1), 4 * 995: uint32(1)})}, mdadm: true,
		want: superblock.RAID{Version: "0.90", UUID: md0UUID, Name: "7", Level: 0, Devices: 2, Role: 1, Events: 17, DataSize: 16*mib - 65536, Chunk: 65536},
	},
}

func TestReadRAID(t *testing.T) {
	for _, tt := range raidMembers {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := superblock.ReadRAID(tt.device, 16*mib); got != tt.want || err != nil {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

// TestReadRAIDOfLinux reads members of mirrors as md left them when it stopped
// the arrays: of version 1.0 the one that stayed when the other failed.
func TestReadRAIDOfLinux(t *testing.T) {
	for name, want := range map[string]superblock.RAID{
		"md-1.2":  {Version: "1.2", UUID: "b5e39288-dc95-fb91-5495-81fb3900c216", Name: "host:m12", Level: 1, Devices: 2, Events: 17, DataOffset: mib, DataSize: 23 * mib, Used: 23 * mib},
		"md-1.0":  {Version: "1.0", UUID: "ddb8a4e7-d1c2-88c9-f06f-500fcef87048", Name: "host:m10", Level: 1, Devices: 2, Role: 1, Events: 22, DataSize: 24*mib - 16384, Used: 24*mib - 65536},
		"md-0.90": {Version: "0.90", UUID: "234a1b32-366a-0d34-3d18-6b3c53958f34", Name: "3", Level: 1, Devices: 2, Events: 18, DataSize: 24*mib - 65536, Used: 24*mib - 65536},
	} {
		p := readPiece(t, name)
		if got, err := superblock.ReadRAID(p.device(), p.size); got != want || err != nil {
			t.Errorf("%s: got  %+v, %v\nwant %+v", name, got, err, want)
		}
	}
}

// TestRAIDAgreesWithMdadm has mdadm read the same superblocks.
func TestRAIDAgreesWithMdadm(t *testing.T) {
	boottest.NeedTools(t, "mdadm")
	for _, tt := range raidMembers {
		if !tt.mdadm {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			out, err := exec.Command("mdadm", "--examine", tt.device.write(t, 16*mib)).Output()
			if err != nil {
				t.Fatalf("mdadm: %v\n%s", err, out)
			}
			says := map[string]string{}
			for line := range strings.Lines(string(out)) {
				if key, value, ok := strings.Cut(line, " : "); ok {
					says[strings.TrimSpace(key)] = strings.TrimSpace(value)
				}
			}
			sectors := func(n int64) string { return strconv.FormatInt(n/512, 10) + " sectors" }
			hex := strings.ReplaceAll(tt.want.UUID, "-", "")
			uuid := hex[:8] + ":" + hex[8:16] + ":" + hex[16:24] + ":" + hex[24:]
			want := map[string]string{ // what the values begin with
				"Version":      tt.want.Version,
				"Raid Level":   strings.ToLower(tt.want.Level.String()),
				"Raid Devices": strconv.Itoa(tt.want.Devices),
				"Events":       strconv.FormatUint(tt.want.Events, 10),
			}
			if tt.want.Version == "0.90" {
				want["UUID"] = uuid
				want["Preferred Minor"] = tt.want.Name
				if tt.want.Used != 0 {
					want["Used Dev Size"] = strconv.FormatInt(tt.want.Used>>10, 10) + " ("
				}
			} else {
				want["Array UUID"] = uuid
				want["Name"] = tt.want.Name
				want["Avail Dev Size"] = sectors(tt.want.DataSize)
				want["Device Role"] = "Active device " + strconv.Itoa(tt.want.Role)
				if tt.want.DataOffset != 0 {
					want["Data Offset"] = sectors(tt.want.DataOffset)
				}
				if tt.want.Used != 0 {
					want["Used Dev Size"] = sectors(tt.want.Used)
				}
			}
			for key, value := range want {
				if !strings.HasPrefix(says[key], value) {
					t.Errorf("mdadm says %s: %q, we %q", key, says[key], value)
				}
			}
			if !strings.HasSuffix(says["Checksum"], "- correct") {
				t.Errorf("mdadm says of the checksum %q", says["Checksum"])
			}
			if t.Failed() {
				t.Logf("%s", out)
			}
		})
	}
}

// TestRAIDUnusable has members whose data must not be read.
func TestRAIDUnusable(t *testing.T) {
	first := func(change raidtest.Change) sparse { return sparse{4096: raidtest.Version1(4096, 1, change)} }
	old := func(change raidtest.Change) sparse {
		return sparse{16*mib - 65536: raidtest.Version0(binary.LittleEndian, 1, change)}
	}
	tests := []struct {
		name   string
		device sparse
		role   int
		want   string
	}{
		{"spare", first(raidtest.Change{256: uint16(0xffff)}), -1, "is a spare"},
		{"without a number", first(raidtest.Change{160: uint32(9)}), -1, "is a spare"},
		{"faulty", first(raidtest.Change{256: uint16(0xfffe)}), -1, "has failed"},
		{"journal", first(raidtest.Change{256: uint16(0xfffd)}), -1, "is a journal"},
		{"recovering", first(raidtest.Change{8: uint32(2), 152: uint64(100)}), 0, "was still being filled"},
		{"recovered", first(raidtest.Change{8: uint32(2), 152: uint64(28672)}), 0, ""},
		{"replacement", first(raidtest.Change{8: uint32(2 | 16), 152: uint64(28672)}), 0, "to replace another"},
		{"reshaped", first(raidtest.Change{8: uint32(4)}), 0, "reshaped"},
		{"unknown feature", first(raidtest.Change{8: uint32(1 << 20)}), 0, "features"},
		{"0.90 spare", old(raidtest.Change{4 * 132: uint32(0)}), -1, "is a spare"},
		{"0.90 without a number", old(raidtest.Change{4 * 992: uint32(27)}), -1, "is a spare"},
		{"0.90 faulty", old(raidtest.Change{4 * 132: uint32(1)}), -1, "has failed"},
		{"0.90 recovering", old(raidtest.Change{4 * 132: uint32(2)}), -1, "was still being filled"},
		{"0.90 reshaped", old(raidtest.Change{8: uint32(91)}), 0, "reshaped"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := superblock.ReadRAID(tt.device, 16*mib)
			if err != nil || got.Role != tt.role || !strings.Contains(got.Unusable, tt.want) || (got.Unusable == "") != (tt.want == "") {
				t.Errorf("role %d, unusable %q, %v; want %d, %q", got.Role, got.Unusable, err, tt.role, tt.want)
			}
		})
	}
	if got, err := superblock.ReadRAID(first(raidtest.Change{8: uint32(8)}), 16*mib); !got.BadBlocks || got.Unusable != "" || err != nil {
		t.Errorf("with bad blocks: %+v, %v", got, err)
	}
}

func TestRAIDDamaged(t *testing.T) {
	tests := []struct {
		name   string
		device sparse
		want   string
	}{
		{"1.2 with a bit turned", sparse{4096: raidtest.Version1(4096, 1)}.with(4096+200, 18), "checksum of the md superblock is wrong"},
		{"0.90 with a bit turned", sparse{16*mib - 65536: raidtest.Version0(binary.LittleEndian, 1)}.with(16*mib-65536+156, 18), "checksum of the md superblock is wrong"},
		{"roles without end", sparse{4096: raidtest.Version1(4096, 1, raidtest.Change{220: uint32(1 << 31)})}, "2147483648 roles"},
		{"data beyond the device", sparse{4096: raidtest.Version1(4096, 1, raidtest.Change{136: uint64(30721)})}, "beyond the end"},
		{"data over its superblock", sparse{16*mib - 8192: raidtest.Version1(16*mib-8192, 1, raidtest.Change{136: uint64(32767)})}, "beyond the end"},
		{"data far away", sparse{4096: raidtest.Version1(4096, 1, raidtest.Change{128: uint64(1 << 62)})}, "beyond the end"},
		{"more used than there is", sparse{4096: raidtest.Version1(4096, 1, raidtest.Change{80: uint64(30721)})}, "more data"},
		{"0.90 with more used than there is", sparse{16*mib - 65536: raidtest.Version0(binary.LittleEndian, 1, raidtest.Change{32: uint32(16 << 10)})}, "more data"},
		{"no devices", sparse{4096: raidtest.Version1(4096, 1, raidtest.Change{92: uint32(0)})}, "0 devices"},
		{"a role too high", sparse{4096: raidtest.Version1(4096, 1, raidtest.Change{256: uint16(2)})}, "member 3 of 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := superblock.ReadRAID(tt.device, 16*mib)
			if !errors.Is(err, superblock.ErrDamaged) || !strings.Contains(err.Error(), tt.want) || got.UUID == "" {
				t.Errorf("%+v, %v; want %q", got, err, tt.want)
			}
			// Whatever is wrong, it is not a filesystem of its own.
			if sb, err := superblock.Probe(tt.device, 16*mib); sb.Type != "linux_raid_member" || !errors.Is(err, superblock.ErrDamaged) {
				t.Errorf("Probe returns %+v, %v", sb, err)
			}
		})
	}
}

func TestRAIDUnknown(t *testing.T) {
	if got, err := superblock.ReadRAID(sparse{}, 16*mib); got != (superblock.RAID{}) || !errors.Is(err, superblock.ErrUnknown) {
		t.Errorf("of zeros: %+v, %v", got, err)
	}
	bad := &failing{ReaderAt: sparse{}, to: 16 * mib}
	if _, err := superblock.ReadRAID(bad, 16*mib); !errors.Is(err, unix.EIO) {
		t.Errorf("of a device that cannot be read: %v", err)
	}
}

// FuzzReadRAID changes bytes of a superblock, and mends its checksum so that
// they are read.
func FuzzReadRAID(f *testing.F) {
	for _, at := range []uint8{0, 8, 80, 92, 128, 136, 152, 160, 220} {
		f.Add(uint8(0), uint16(at), []byte{0xff, 0xff, 0xff, 0xff}, uint32(16*mib))
		f.Add(uint8(3), 4*uint16(at), []byte{0, 0xff, 0xff, 0xff}, uint32(16*mib))
	}
	f.Fuzz(func(t *testing.T, version uint8, at uint16, b []byte, size uint32) {
		change := raidtest.Change{}
		for i, c := range b[:min(len(b), 16)] {
			if n := int(at) + i; version%4 < 3 && n < 264 || version%4 == 3 && n < 4096 {
				change[n] = c
			}
		}
		places := []int64{0, 4096, int64(size)&^0xfff - 8192, int64(size)&^0xffff - 65536}
		place := places[version%4]
		if place < 0 {
			return
		}
		var super []byte
		if version%4 == 3 {
			super = raidtest.Version0(binary.LittleEndian, 1, change)
		} else {
			super = raidtest.Version1(place, 1, change)
		}
		got, err := superblock.ReadRAID(sparse{place: super}, int64(size))
		if err != nil {
			return
		}
		switch {
		case got.DataOffset < 0 || got.DataSize < 0 || got.DataOffset+got.DataSize > int64(size),
			got.Used < 0 || got.Used > got.DataSize || got.Chunk < 0,
			got.Devices < 1 || got.Unusable == "" && (got.Role < 0 || got.Role >= got.Devices):
			t.Errorf("%+v on a device of %d bytes", got, size)
		}
	})
}
