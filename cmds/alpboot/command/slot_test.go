package command

import (
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/remember"
)

// What RAUC calls, and what it takes for an answer (its manual, "Custom", and
// src/bootloaders/custom.c): one line and exit status 0.
func TestSlot(t *testing.T) {
	probe := newFake(t, alpine())
	probe.uuids = map[string]string{"/dev/sda3": "1234-ABCD"}
	virt, lts := probe.idOf(t, "Linux virt"), probe.idOf(t, "Linux lts")
	const elsewhere = "linux-b-0123abcd" // on a volume that is not mounted
	rauc := "[system]\nbootloader=custom\n[slot.rootfs.0]\nbootname=Linux lts\n[slot.rootfs.1]\nbootname = " + virt + "\n[slot.rootfs.2]\nbootname=" + elsewhere + "\n"
	bad := func(id string) []remember.Try { return []remember.Try{{ID: id, Fingerprint: "0f"}} }
	type state = remember.State
	for _, tt := range []struct {
		name  string
		state state
		conf  string
		ask   string
		code  int
		out   string // of stdout
		says  string // of stderr
		want  state
	}{
		{name: "primary by title", state: state{Default: lts}, ask: "get-primary", out: "Linux lts\n", want: state{Default: lts}},
		{name: "primary by ID", state: state{Default: virt}, ask: "get-primary", out: virt + "\n", want: state{Default: virt}},
		{name: "primary elsewhere", state: state{Default: elsewhere}, ask: "get-primary", out: elsewhere + "\n", want: state{Default: elsewhere}},
		{name: "the primary has failed", state: state{Default: elsewhere, Tries: bad(elsewhere)}, ask: "get-primary", out: "Linux lts\n", want: state{Default: elsewhere, Tries: bad(elsewhere)}},
		{name: "primary where nothing is remembered", ask: "get-primary", out: virt + "\n"},
		{name: "primary of none", state: state{Default: "other-0123abcd"}, ask: "get-primary", code: exitFailed, says: "no slot has the entry", want: state{Default: "other-0123abcd"}},
		{name: "no configuration of RAUC", conf: "-", ask: "get-primary", code: exitFailed, says: "/etc/rauc/system.conf"},
		{name: "set primary", state: state{Default: lts, Tries: bad(virt), Next: lts}, ask: "set-primary " + virt, want: state{Default: virt}},
		{name: "set primary elsewhere", ask: "set-primary " + elsewhere, want: state{Default: elsewhere}},
		{name: "set primary to what is not there", ask: "set-primary A", code: exitFailed, says: `"A" is neither the ID nor the title`},
		{name: "set primary where a setting decides", conf: "default = Linux virt\n", ask: "set-primary " + lts, code: exitFailed, says: "the setting default"},
		{name: "good", ask: "get-state " + lts, out: "good\n"},
		{name: "bad", state: state{Tries: bad(lts)}, ask: "get-state " + lts, out: "bad\n", want: state{Tries: bad(lts)}},
		{name: "tries are left", state: state{Tries: []remember.Try{{ID: lts, Left: 1}}}, ask: "get-state " + lts, out: "good\n", want: state{Tries: []remember.Try{{ID: lts, Left: 1}}}},
		{name: "set good", state: state{Tries: append(bad(lts), bad(virt)...)}, ask: "set-state " + lts + " good", want: state{Tries: bad(virt)}},
		{name: "set what runs good", state: state{Last: lts, Trying: lts, Tries: bad(lts)}, ask: "set-state " + lts + " good", want: state{Last: lts}},
		{name: "set bad", ask: "set-state " + virt + " bad", want: state{Tries: []remember.Try{{ID: virt}}}},
		{name: "set what runs bad", state: state{Last: virt}, ask: "set-state " + virt + " bad", want: state{Last: virt, Trying: virt, Tries: []remember.Try{{ID: virt}}}},
		{name: "set bad where nobody counts", conf: "confirm = no\n", ask: "set-state " + virt + " bad", says: "does not count starts", want: state{Tries: []remember.Try{{ID: virt}}}},
		{name: "current", state: state{Last: virt}, ask: "get-current", out: virt + "\n", want: state{Last: virt}},
		{name: "current by what runs", ask: "get-current", out: "Linux lts\n"},
		{name: "a state that there is not", ask: "set-state " + lts + " fine", code: exitFailed, says: "good or bad"},
		{name: "too few words", ask: "set-primary", code: exitFailed, says: "takes 1 words"},
		{name: "no question of RAUC", ask: "get-all", code: exitFailed, says: "is not among"},
		{name: "none", code: exitMisuse, says: "slot takes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needAMD64(t)
			conf, files := strings.TrimPrefix(tt.conf, "-"), []string{"/etc/rauc/system.conf", rauc, "/proc/cmdline", "root=UUID=1 of=lts panic=30\n"}
			if tt.conf == "-" {
				files[1] = ""
			}
			if !strings.Contains(conf, "confirm") {
				conf += "confirm = yes\n"
			}
			f := withMemory(t, tt.state, append(files, "/etc/alpboot.conf", "remember = UUID=1234-ABCD:/boot/alpboot.state\n"+conf)...)
			args := []string{"slot"}
			if tt.ask != "" {
				args = append(args, strings.Split(tt.ask, " ")...)
			}
			out, stderr := f.do(t, tt.code, args...)
			if out != tt.out || !strings.Contains(stderr, tt.says) {
				t.Errorf("answers %q, want %q; says %q, want %q", out, tt.out, stderr, tt.says)
			}
			got, err := f.file().Load()
			got.Kept = false
			if err != nil || !got.Equal(tt.want) {
				t.Errorf("it remembers %+v (%v), want %+v", got, err, tt.want)
			}
		})
	}
}

// A slot that runs on its last try is not bad: it has not failed yet.
func TestSlotOnItsLastTry(t *testing.T) {
	probe := newFake(t, alpine())
	probe.uuids = map[string]string{"/dev/sda3": "1234-ABCD"}
	lts := probe.idOf(t, "Linux lts")
	f := withMemory(t, remember.State{}.Booting(lts, "0f", false, 1, remember.Attempt{Time: 1}))
	if out, _ := f.do(t, exitDone, "slot", "get-state", "Linux lts"); out != "good\n" {
		t.Errorf("answers %q", out)
	}
	f.do(t, exitDone, "slot", "set-state", "Linux lts", "bad")
	if out, _ := f.do(t, exitDone, "slot", "get-state", "Linux lts"); out != "bad\n" {
		t.Errorf("set bad, it answers %q", out)
	}
	state, err := f.file().Load()
	if err != nil || len(state.Opened(1).Tries) == 0 {
		t.Errorf("the menu takes it for good: %+v (%v)", state, err)
	}
}
