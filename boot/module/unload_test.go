package module

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUnload(t *testing.T) {
	for _, tt := range []struct {
		name    string
		unload  string
		refuses map[string]error
		want    []string
		wantErr error
	}{
		{name: "with its dependencies, but not before it", unload: "nvme", want: []string{"nvme", "nvme_core"}},
		{name: "by an alias, with what it softly depends on", unload: "fs-ext3", want: []string{"ext4", "jbd2", "crc32c_generic", "mbcache"}},
		{name: "a dependency that is in use stays", unload: "ext4", refuses: map[string]error{"jbd2": unix.EWOULDBLOCK}, want: []string{"ext4", "crc32c_generic", "mbcache"}},
		{name: "in use", unload: "nvme", refuses: map[string]error{"nvme": unix.EWOULDBLOCK}, wantErr: unix.EWOULDBLOCK},
		{name: "not loaded", unload: "nvme", refuses: map[string]error{"nvme": unix.ENOENT}, wantErr: unix.ENOENT},
		{name: "built in", unload: "ahci", wantErr: ErrBuiltIn},
		{name: "unknown", unload: "amiga_floppy", wantErr: ErrNotFound},
		{name: "dependencies in a circle", unload: "loop_a", want: []string{"loop_a", "loop_b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			x := newIndex(t, &kernel{})
			x.Delete = func(name string) error {
				if err := tt.refuses[name]; err != nil {
					return err
				}
				got = append(got, name)
				return nil
			}
			if err := x.Unload(tt.unload); !errors.Is(err, tt.wantErr) {
				t.Errorf("got error %v, want %v", err, tt.wantErr)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("unloaded %q, want %q", got, tt.want)
			}
		})
	}
}

// What was unloaded can be loaded again.
func TestUnloadedIsLoadedAgain(t *testing.T) {
	k := &kernel{}
	x := newIndex(t, k)
	x.Delete = func(string) error { return nil }
	for _, step := range []func(string) error{
		func(n string) error { return x.Load(n) }, x.Unload,
		func(n string) error { return x.Load(n) },
	} {
		if err := step("nvme"); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"nvme_core", "nvme", "nvme_core", "nvme"}; !slices.Equal(k.loaded, want) {
		t.Errorf("loaded %q, want %q", k.loaded, want)
	}
}
