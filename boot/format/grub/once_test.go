package grub

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot"
)

// What GRUB boots once has Once, and what it boots after that is the default.
func TestNextEntry(t *testing.T) {
	const head = `load_env
if [ "${next_entry}" ]; then
	set default="${next_entry}"
	set next_entry=
	save_env next_entry
else
	set default="${saved_entry}"
fi
`
	const entries = `menuentry One { linux /vmlinuz one }
menuentry Two { linux /vmlinuz two }
menuentry Three --id=x-recovery-y { linux /vmlinuz single }
`
	tests := []struct {
		name, env, config string
		def, once         string // titles
	}{
		{name: "nothing saved", config: head + entries, def: "One"},
		{name: "saved_entry", env: "saved_entry=Two\n", config: head + entries, def: "Two"},
		{name: "next_entry", env: "saved_entry=Two\nnext_entry=One\n", config: head + entries, def: "Two", once: "One"},
		{name: "next_entry is the default anyway", env: "saved_entry=Two\nnext_entry=Two\n", config: head + entries, def: "Two", once: "Two"},
		{name: "next_entry by number", env: "next_entry=1\n", config: head + entries, def: "One", once: "Two"},
		{name: "an empty next_entry", env: "saved_entry=Two\nnext_entry=\n", config: head + entries, def: "Two"},
		{name: "next_entry is for recovery", env: "saved_entry=Two\nnext_entry=2\n", config: head + entries, def: "Two"},
		{name: "a configuration that keeps it", env: "next_entry=Two\n", config: "load_env\nset default=${next_entry}\n" + entries, def: "Two"},
		{name: "in a configuration that is gone on with", env: "saved_entry=Two\nnext_entry=One\n", config: "configfile /grub/more.cfg\n", def: "Two", once: "One"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := fstest.MapFS{
				"grub/grub.cfg": {Data: []byte(tt.config)},
				"grub/more.cfg": {Data: []byte(head + entries)},
				"grub/grubenv":  {Data: []byte("# GRUB Environment Block\n" + tt.env + "####")},
				"vmlinuz":       {Data: []byte("a kernel")},
			}
			l, err := Parse(tree, boot.Volume{Device: "/dev/sda1"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var def, once []string
			for _, e := range l.Entries {
				if e.Default {
					def = append(def, e.Title)
				}
				if e.Once != "" {
					once = append(once, e.Title)
				}
			}
			want := map[bool][]string{true: nil, false: {tt.once}}[tt.once == ""]
			if d := cmp.Diff([]string{tt.def}, def); d != "" || len(l.Entries) != 3 {
				t.Errorf("%d entries; default (-want +got):\n%s", len(l.Entries), d)
			}
			if d := cmp.Diff(want, once); d != "" {
				t.Errorf("once (-want +got):\n%s", d)
			}
		})
	}
}
