package discover

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/boottest/hardware"
	"github.com/alpboot/alpboot/boot/device"
	"github.com/alpboot/alpboot/boot/device/superblock"
	"github.com/alpboot/alpboot/boot/format/uki/ukitest"
)

func TestInOrder(t *testing.T) {
	entry := func(id string, guessed, snapshot bool) boot.Entry {
		device, _, _ := strings.Cut(id, "-")
		return boot.Entry{ID: id, Volume: boot.Volume{Device: device}, Guessed: guessed, Snapshot: snapshot}
	}
	list := []boot.Entry{
		entry("stick-guess", true, false),
		entry("root-guess", true, false),
		entry("root-snap", false, true),
		entry("root-2", false, false),
		entry("root-1", false, false),
		entry("other-1", false, false),
		entry("root-snapguess", true, true),
	}
	list = inOrder(list)
	var got []string
	for _, e := range list {
		got = append(got, e.ID)
	}
	const want = "root-2 root-1 root-guess root-snap root-snapguess other-1 stick-guess"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

// Of kernels that no configuration names, the one of the newest release is first,
// and of one release the newest file.
func TestGuessedOrder(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	type file struct {
		release string // "" for an image that has none
		changed time.Time
	}
	for _, tt := range []struct {
		name  string
		files map[string]file
		want  string
	}{
		{"by release, whatever the age", map[string]file{"edge": {"6.6.9-0-edge", day(3)}, "lts": {"6.12.60-0-lts", day(2)}, "virt": {"6.18.2-0-virt", day(1)}}, "virt lts edge"},
		{"of one release by age", map[string]file{"lts": {"6.12.60-0-lts", day(1)}, "virt": {"6.12.60-0-virt", day(2)}}, "virt lts"},
		{"a version for a name", map[string]file{"lts": {"6.12.60-0-lts", day(2)}, "6.13.1": {"6.13.1", day(1)}}, "6.13.1 lts"},
		{"no release", map[string]file{"a": {"", day(1)}, "b": {"", day(2)}, "lts": {"6.12.60-0-lts", day(1)}}, "lts b a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := alpine("/dev/sda1", "u1", "lts")
				delete(files(d), "boot/extlinux.conf")
				for flavour, f := range tt.files {
					image := text("not a kernel")
					if f.release != "" {
						image = bzImage(f.release)
					}
					image.ModTime = f.changed
					files(d)["boot/vmlinuz-"+flavour] = image
				}
				m := hardware.New(d)
				sc := scanner(m).Start(t.Context())
				defer stop(t, sc, m)
				var got []string
				for _, e := range settled(t, sc).Entries {
					got = append(got, strings.TrimPrefix(e.Kernel, "boot/vmlinuz-"))
				}
				if strings.Join(got, " ") != tt.want {
					t.Errorf("got %q, want %s", got, tt.want)
				}
			})
		})
	}
}

// What GRUB asks for at the next boot counts, also where another configuration
// lists the same kernel first.
func TestNextBootIsKeptWhereEntriesAreMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := alpine("/dev/sda1", "u1", "lts")
		delete(files(d), "boot/extlinux.conf")
		env := "# GRUB Environment Block\nnext_entry=two\n"
		for name, content := range map[string]string{
			"loader/entries/a.conf": "title A\nlinux /boot/vmlinuz-lts\noptions root=/dev/sda1\n",
			"loader/entries/b.conf": "title B\nlinux /boot/vmlinuz-edge\noptions root=/dev/sda1\n",
			"grub/grubenv":          env + strings.Repeat("#", 1024-len(env)),
			"grub/grub.cfg": "load_env\nset timeout=7\nif [ \"$next_entry\" ]; then\nset default=\"$next_entry\"\nset next_entry=\nsave_env next_entry\nelse\nset default=one\nfi\n" +
				"menuentry One --id one {\nlinux /boot/vmlinuz-lts root=/dev/sda1\n}\nmenuentry Two --id two {\nlinux /boot/vmlinuz-edge root=/dev/sda1\n}\n",
		} {
			files(d)[name] = text(content)
		}
		files(d)["boot/vmlinuz-edge"] = bzImage("6.13.1-0-edge")
		m := hardware.New(d)
		sc := scanner(m).Start(t.Context())
		defer stop(t, sc, m)
		inv := settled(t, sc)
		if titles(inv) != "B, A" {
			t.Fatalf("got %q", titles(inv))
		}
		if b, a := inv.Entries[0], inv.Entries[1]; a.Once != "" || b.Once == "" || b.Timeout == nil || *b.Timeout != 7*time.Second {
			t.Errorf("once %q and %q, timeout of the latter %v", a.Once, b.Once, b.Timeout)
		}
	})
}

func TestMerge(t *testing.T) {
	three, seven := 3*time.Second, 7*time.Second
	for _, tt := range []struct{ first, other, want boot.Entry }{
		{boot.Entry{}, boot.Entry{Default: true, Timeout: &seven}, boot.Entry{Default: true, Timeout: &seven}},
		{boot.Entry{Timeout: &three}, boot.Entry{Once: "x", Timeout: &seven}, boot.Entry{Once: "x", Timeout: &seven}},
		{boot.Entry{Default: true, Timeout: &three}, boot.Entry{Default: true, Timeout: &seven}, boot.Entry{Default: true, Timeout: &three}},
		{boot.Entry{Once: "x", Timeout: &three}, boot.Entry{Once: "y", Timeout: &seven}, boot.Entry{Once: "x", Timeout: &three}},
		{boot.Entry{Timeout: &three}, boot.Entry{Timeout: &seven}, boot.Entry{Timeout: &three}},
		{boot.Entry{Format: "uki"}, boot.Entry{Format: "bls", Conf: "loader/entries/a.conf"}, boot.Entry{Conf: "loader/entries/a.conf"}},
		{boot.Entry{Format: "grub"}, boot.Entry{Format: "bls", Conf: "loader/entries/a.conf"}, boot.Entry{}},
	} {
		got := tt.first
		merge(&got, &tt.other)
		if got.Default != tt.want.Default || got.Once != tt.want.Once || got.Timeout != tt.want.Timeout || got.Conf != tt.want.Conf {
			t.Errorf("%+v with %+v: got %+v", tt.first, tt.other, got)
		}
	}
}

// A stick that was made with 256 partitions of one UUID makes one note, and takes
// no time.
func TestManyTwins(t *testing.T) {
	st := answered(256)
	for _, v := range st.vols {
		v.status.Volume.UUID = "0000-0000"
		for i := range v.parsed.entries {
			e := &v.parsed.entries[i]
			e.Volume = v.status.Volume
			e.Cmdline = strings.Repeat("0000-0001 ", 200) + "root=UUID=0000-0000 " + strings.Repeat("0000-0000 ", 200)
		}
	}
	began := boottest.ProcessorTime(t) // others may keep the machine busy
	inv := st.makeInventory()
	took := boottest.ProcessorTime(t) - began
	notes, warned := 0, 0
	for _, v := range inv.Volumes {
		for _, n := range v.Notes {
			notes++
			if !strings.Contains(n.Text, "/dev/vd1, /dev/vd2, /dev/vd3, /dev/vd4 and 252 more have the same UUID") {
				t.Errorf("got %q", n.Text)
			}
		}
	}
	for _, e := range inv.Entries {
		if len(e.Notes) == 1 && strings.Contains(e.Notes[0], "256 volumes have the UUID") {
			warned++
		}
	}
	if notes != 1 || warned != 256 || took > time.Second {
		t.Errorf("%d notes, %d entries with one, %v", notes, warned, took)
	}
	inv.Entries = nil
	if b, _ := json.Marshal(inv); len(b) > 256<<10 {
		t.Errorf("the volumes take %d bytes", len(b))
	}
}

// TestGRUBAndItsEntriesAreOneSystem asserts that entries of the Boot Loader
// Specification are listed once, with the command line and the default that a
// grub.cfg returns them, where that is on another volume.
func TestGRUBAndItsEntriesAreOneSystem(t *testing.T) {
	conf := func(release string) *fstest.MapFile {
		return text("title EL " + release + "\nlinux /vmlinuz-" + release + "\noptions $kernelopts $tuned_params\n")
	}
	env := "# GRUB Environment Block\nsaved_entry=m-4.18.0-80\nkernelopts=root=/dev/mapper/el-root ro\n"
	const config = "load_env\nset default=$saved_entry\nset timeout=5\nsearch --set=root --fs-uuid u2\nblscfg\n"
	for _, tt := range []struct {
		name      string
		esp, boot map[string]string
	}{
		{"grub.cfg on the ESP", map[string]string{"EFI/el/grub.cfg": config, "EFI/el/grubenv": env}, nil},
		{"grub.cfg on /boot, and a stub on the ESP", map[string]string{"EFI/el/grub.cfg": "search --set=dev --fs-uuid u2\nset prefix=($dev)/grub2\nexport prefix\nconfigfile $prefix/grub.cfg\n"},
			map[string]string{"grub2/grub.cfg": config, "grub2/grubenv": env}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				esp, root := alpine("/dev/sda1", "u1", "lts"), alpine("/dev/sda2", "u2", "lts")
				for _, d := range []*hardware.Device{&esp, &root} {
					clear(files(*d))
					d.Block.Disk = "/dev/sda"
				}
				for name, content := range tt.esp {
					files(esp)[name] = text(content)
				}
				for name, content := range tt.boot {
					files(root)[name] = text(content)
				}
				for _, release := range []string{"4.18.0-80", "4.18.0-147"} {
					files(root)["loader/entries/m-"+release+".conf"] = conf(release)
					files(root)["vmlinuz-"+release] = bzImage(release)
				}
				m := hardware.New(esp, root)
				sc := scanner(m).Start(t.Context())
				defer stop(t, sc, m)
				inv := settled(t, sc)
				if titles(inv) != "EL 4.18.0-147, EL 4.18.0-80" {
					t.Fatalf("got %q", titles(inv))
				}
				for i, e := range inv.Entries {
					if e.Cmdline != "root=/dev/mapper/el-root ro" || e.Problem != "" || e.Default != (i == 1) || e.Timeout == nil {
						t.Errorf("%s: %q %q default %t, timeout %v", e.Title, e.Cmdline, e.Problem, e.Default, e.Timeout)
					}
				}
			})
		})
	}
}

// TestIDsOutliveCounters asserts that an entry keeps its ID when systemd-boot or
// alpboot counts a start in the name of its file, and when the counter is taken off.
func TestIDsOutliveCounters(t *testing.T) {
	unified, err := ukitest.FromText(".osrel PRETTY_NAME=U\n.cmdline quiet\n.linux 6.1\n")
	if err != nil {
		t.Fatal(err)
	}
	ids := func(t *testing.T, conf, image string) (ids []string) {
		esp := hardware.Device{
			Block:      device.Block{Path: "/dev/sda1", Size: 1 << 30},
			Superblock: superblock.Superblock{Type: "vfat", UUID: "1234-ABCD"},
			Files: fstest.MapFS{
				"vmlinuz":                  bzImage("6.12.1"),
				"loader/entries/same.conf": text("title Arch\nlinux /vmlinuz\noptions single\n"),
				"loader/entries/" + conf:   text("title Arch\nlinux /vmlinuz\n"),
				"EFI/Linux/" + image:       {Data: unified},
			},
		}
		m := hardware.New(esp)
		sc := scanner(m).Start(t.Context())
		defer stop(t, sc, m)
		for _, e := range settled(t, sc).Entries {
			ids = append(ids, e.ID)
		}
		slices.Sort(ids)
		return ids
	}
	synctest.Test(t, func(t *testing.T) {
		want := ids(t, "arch.conf", "u.efi")
		if len(want) != 3 {
			t.Fatalf("got %q", want)
		}
		for _, names := range [][2]string{{"arch+3-00.conf", "u+2.efi"}, {"arch+2-01.conf", "u+0-2.efi"}} {
			if got := ids(t, names[0], names[1]); !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", names, got, want)
			}
		}
	})
}

// Entries of one title are told apart by version, then by volume; what no other has
// is left as it is.
func TestTellApart(t *testing.T) {
	sda, sdb := boot.Volume{Device: "/dev/sda1", Label: "disk"}, boot.Volume{Device: "/dev/sdb1", Label: "copy"}
	sdc := boot.Volume{Device: "/dev/sdc1", Label: "copy"}
	advanced := []string{"Advanced"}
	list := []boot.Entry{
		{Title: "Alpine", Version: "6.18.1", Volume: sda},
		{Title: "Alpine", Version: "6.12.1", Volume: sda},
		{Title: "Alpine", Version: "6.18.1", Submenu: advanced, Volume: sda}, // alone in its submenu
		{Title: "Linux 6.1", Version: "6.1", Volume: sda},
		{Title: "Linux 6.1", Version: "6.1", Volume: sdb},
		{Title: "Linux 6.1", Version: "6.1.1", Volume: sdb},
		{Title: "Debian", Version: "6.12", Volume: sda},
		{Title: "Debian", Version: "6.12", Volume: sdb},
		{Title: "Debian", Version: "6.18", Volume: sdb},
		{Title: "Copy", Volume: sdb},
		{Title: "Copy", Volume: sdc},
		{Title: "Twice", Version: "6", Volume: sda},
		{Title: "Twice", Version: "6", Volume: sda}, // by nothing that is known
		{Title: "Broken", Volume: sda},
		{Title: "Broken", Version: "6", Volume: sda},
	}
	tellApart(list)
	var got []string
	for _, e := range list {
		got = append(got, e.Name())
	}
	want := []string{
		"Alpine (6.18.1)", "Alpine (6.12.1)", "Alpine",
		"Linux 6.1 (on disk)", "Linux 6.1 (on copy)", "Linux 6.1 (6.1.1)",
		"Debian (6.12, on disk)", "Debian (6.12, on copy)", "Debian (6.18)",
		"Copy (on /dev/sdb1)", "Copy (on /dev/sdc1)",
		"Twice", "Twice", "Broken", "Broken (6)",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// A kernel that the configuration on another volume boots needs no guess, unless
// that is a stick and the kernel is not on it.
func TestGuessBesideAConfiguration(t *testing.T) {
	esp, root := boot.Volume{Device: "/dev/sda1"}, boot.Volume{Device: "/dev/sda2"}
	stick := boot.Volume{Device: "/dev/sdb1", Removable: true}
	for _, tt := range []struct {
		name       string
		from       boot.Volume // where the configuration is
		configured boot.Entry
		want       int
	}{
		{"the system's own", esp, boot.Entry{Kernel: "boot/vmlinuz", Cmdline: "root=/dev/sda2"}, 1},
		{"one that cannot boot it", esp, boot.Entry{Kernel: "boot/vmlinuz", Problem: "Its initrd is missing."}, 2},
		{"of another kernel", esp, boot.Entry{Kernel: "boot/vmlinuz.old"}, 2},
		{"on a stick", stick, boot.Entry{Kernel: "boot/vmlinuz", Cmdline: "root=/dev/sda2", Removable: true}, 2},
	} {
		tt.configured.ID, tt.configured.Format, tt.configured.Volume = "a", "refind", root
		vols := []*volume{
			{probed: probed{status: boot.VolumeStatus{Volume: root}}, parsed: &parsed{entries: []boot.Entry{{ID: "b", Format: "bare", Kernel: "boot/vmlinuz", Cmdline: "root=UUID=1", Guessed: true, Volume: root}}}},
			{probed: probed{status: boot.VolumeStatus{Volume: tt.from}}, parsed: &parsed{entries: []boot.Entry{tt.configured}}},
		}
		if got := entries(vols); len(got) != tt.want {
			t.Errorf("%s: %d entries, want %d", tt.name, len(got), tt.want)
		}
	}
}

// A unified kernel image without a command line is not listed by itself where a
// configuration starts it with one, as Ubuntu Core's GRUB does.
func TestImageWithoutACommandLine(t *testing.T) {
	vol := boot.Volume{Device: "/dev/sda1"}
	image := boot.Entry{ID: "a", Format: "uki", Kernel: "EFI/ubuntu/kernel.efi", UKI: true, Volume: vol}
	byGRUB := boot.Entry{ID: "b", Format: "grub", Kernel: image.Kernel, UKI: true, Volume: vol, Cmdline: "snapd_recovery_mode=run"}
	preferred, broken := image, byGRUB
	preferred.Default, broken.Problem = true, "It is broken."
	for _, tt := range []struct {
		list []boot.Entry
		want int
	}{
		{[]boot.Entry{image, byGRUB}, 1},
		{[]boot.Entry{byGRUB, image}, 1},
		{[]boot.Entry{image}, 1},
		{[]boot.Entry{preferred, byGRUB}, 2},
		{[]boot.Entry{image, broken}, 2},
	} {
		got := entries([]*volume{{probed: probed{status: boot.VolumeStatus{Volume: vol}}, parsed: &parsed{entries: tt.list}}})
		if len(got) != tt.want {
			t.Errorf("%v: %d entries, want %d", tt.list, len(got), tt.want)
		}
	}
}

// The images of arm64 have no release: that of the format stays.
func TestVersionIsThatOfTheFormatWhereTheKernelHasNone(t *testing.T) {
	image := make([]byte, 4096)
	copy(image[0x38:], "ARM\x64")
	e := boot.Entry{Kernel: "kernel", Version: "6.18.32-0-lts"}
	check(&e, fstest.MapFS{"kernel": {Data: image}})
	if e.Version != "6.18.32-0-lts" {
		t.Errorf("version %q, problem %q", e.Version, e.Problem)
	}
}
