package cmdline

import "testing"

func TestWithConsoles(t *testing.T) {
	serial := []string{"tty0", "ttyS0,115200"}
	tests := []struct {
		name   string
		line   string
		policy Consoles
		ours   []string
		want   string
	}{
		{name: "empty"},
		{name: "what loaders add is dropped", line: "BOOT_IMAGE=/vmlinuz-lts root=/dev/sda2 initrd=/ucode.img,/initramfs  quiet initrd=x", want: "root=/dev/sda2 quiet"},
		{name: "order and repetition stay", line: "b a b=1 b=2", want: "b a b=1 b=2"},
		{name: "quotes", line: `a="x  initrd=1" "b=y z" initrd="p q" c`, want: `a="x  initrd=1" "b=y z" c`},
		{name: "init's own words", line: "quiet initrd=a -- single initrd=b console=c", policy: ReplaceConsoles, ours: serial, want: "quiet console=tty0 console=ttyS0,115200 -- single initrd=b console=c"},
		{name: "keep", line: "console=ttyS1 quiet", policy: KeepConsoles, ours: serial, want: "console=ttyS1 quiet"},
		{name: "add", line: "quiet console=ttyS1 console=tty1", policy: AddConsoles, ours: serial, want: "quiet console=tty0 console=ttyS0,115200 console=ttyS1 console=tty1"},
		{name: "add what is there", line: "console=ttyS0,9600n8 quiet", policy: AddConsoles, ours: serial, want: "console=tty0 console=ttyS0,9600n8 quiet"},
		{name: "add to none", line: "quiet", policy: AddConsoles, ours: serial, want: "quiet console=tty0 console=ttyS0,115200"},
		{name: "add the same twice", line: "quiet", policy: AddConsoles, ours: []string{"ttyS0", "ttyS0,9600"}, want: "quiet console=ttyS0"},
		{name: "replace", line: "console=ttyS1 quiet console=tty1", policy: ReplaceConsoles, ours: serial, want: "console=tty0 console=ttyS0,115200 quiet"},
		{name: "replace by nothing", line: "console=ttyS1 quiet", policy: ReplaceConsoles, want: "console=ttyS1 quiet"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Parse(tt.line).WithoutLoader().WithConsoles(tt.policy, tt.ours...).String(); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}
