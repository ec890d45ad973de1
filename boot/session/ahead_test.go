package session

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/menu"
)

// The files of the default are read while it is counted down, once, where there is
// memory for them; it is booted all the same where there is none.
func TestReadAhead(t *testing.T) {
	disk := bootDisk(t, "/dev/sda1", "u1", "")
	size := int64(0)
	for _, name := range []string{"boot/vmlinuz-lts", "boot/initramfs-lts"} {
		st, err := os.Stat(filepath.Join(disk.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		size += st.Size()
	}
	for _, tt := range []struct {
		name, meminfo string
		want          []string
	}{
		{"enough memory", "MemTotal: 500000 kB\nMemAvailable: 400000 kB\n", []string{fmt.Sprintf("bytes=%d", size)}},
		{"little memory", "MemTotal: 100000 kB\nMemAvailable: 40000 kB\n", nil},
	} {
		onDisks(t, func(t *testing.T, b *fixture) {
			b.files["proc/meminfo"] = boottest.File(tt.meminfo)
			b.start(byHand)
			b.wait(time.Minute)
			var got []string
			for _, l := range b.session.Log.all() {
				if _, rest, ok := strings.Cut(l.Text, "read ahead of being chosen"); ok {
					got = append(got, rest)
				}
			}
			if len(got) != len(tt.want) || len(got) == 1 && !strings.HasSuffix(got[0], tt.want[0]) {
				t.Errorf("%s: read ahead: %q, want %q", tt.name, got, tt.want)
			}
			b.press(menu.KeyEnter)
			b.did(booted...)
		}, disk)
	}
}
