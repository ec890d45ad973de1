package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/boot/doctor"
	"github.com/alpboot/alpboot/boot/format/kept"
	"github.com/alpboot/alpboot/boot/remember"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/cmds/lsboot/lsboot"
)

// The samples that stability.md promises to read for ever. None is ever changed.
const samples = "testdata/stable"

func sample(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(samples, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Each setting that was ever promised is understood, in a file and as a parameter,
// and none is without a sample.
func TestStableSettings(t *testing.T) {
	seen := map[string]bool{}
	for line := range strings.Lines(string(sample(t, "settings"))) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, " = ")
		if !ok {
			continue
		}
		seen[name] = true
		bare := strings.Trim(value, `"`)
		file := func(text string) settings.Settings {
			return settings.Read(fstest.MapFS{"etc/alpboot.conf": {Data: []byte(text)}}, "")
		}
		all := map[string]settings.Settings{"a file": file(line + "\n"), "a parameter": settings.Read(fstest.MapFS{}, "alpboot."+name+"="+value)}
		if name == "password" || name == "locked" { // of a file alone, and together
			all = map[string]settings.Settings{"a file": file("password = *\n" + line + "\n")}
		}
		for where, s := range all {
			i := slices.IndexFunc(s.Values(), func(v settings.Value) bool { return v.Name == name })
			if len(s.Notes) > 0 || i < 0 || s.Values()[i].Value != bare && !(name == "confirm" && bare == "yes" && s.Values()[i].Value == "3") {
				t.Errorf("%s in %s: %v, %q", line, where, s.Values(), s.Notes)
			}
		}
	}
	for _, v := range settings.Default().Values() {
		if !seen[v.Name] {
			t.Errorf("there is no sample of %s: add one to %s/settings", v.Name, samples)
		}
	}
}

// remembered is what the samples of the state hold.
var remembered = remember.State{
	Default: "virt-22", Next: "lts-1", Last: "x", Trying: "x",
	Attempt: remember.Attempt{Time: 1795855000, Try: 1, Of: 3, Release: "6.12.5-0-lts", Title: "Linux lts"},
	Tries:   []remember.Try{{ID: "a"}, {ID: "x", Fingerprint: "00112233445566778899aabbccddeeff", Left: 2}},
	Rounds:  2, Used: []string{"0011223344556677"}, Kept: true,
}

func TestStableState(t *testing.T) {
	earlier := remember.State{Default: "lts-1", Tries: []remember.Try{{ID: "b"}, {ID: "a"}}, Kept: true}
	for name, want := range map[string]remember.State{"state": remembered, "state-0": earlier} {
		got, err := (&remember.File{Path: name, Volume: "/dev/sda1", FS: os.DirFS(samples)}).Load()
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, d)
		}
	}
	vars := boottest.Variables{Values: map[string]string{}}
	for line := range strings.Lines(string(sample(t, "variables"))) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		vars.Values[name] = value
	}
	got, err := remember.EFI{Vars: &vars}.Load()
	if d := cmp.Diff(remembered, got); d != "" || err != nil {
		t.Errorf("variables: %v (-want +got):\n%s", err, d)
	}
	if remember.Vendor != "ca794364-4ce4-428a-85d3-57c1e51796db" {
		t.Errorf("the variables have another GUID: %s", remember.Vendor)
	}
}

func TestStableKept(t *testing.T) {
	got, err := kept.ParseRecord(string(sample(t, "kept")))
	want := kept.Record{Release: "6.12.1-0-lts", Order: 3, Initrds: []string{"intel-ucode.img", "initramfs"}, Cmdline: "root=UUID=1 quiet"}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if kept.Dir != "alpboot" || kept.Kernel != "kernel" || kept.File != "entry" {
		t.Error("kept kernels are looked for elsewhere")
	}
}

// lacks returns what a value has lost since it was a sample: fields, or their types.
// With exact values must be the same as well.
func lacks(where string, was, is any, exact bool) (list []string) {
	switch was := was.(type) {
	case map[string]any:
		now, ok := is.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is %T, not an object", where, is)}
		}
		for name, v := range was {
			if _, ok := now[name]; !ok {
				list = append(list, where+"."+name+" is missing")
				continue
			}
			list = append(list, lacks(where+"."+name, v, now[name], exact && name != "problem")...) // a sentence
		}
	case []any:
		now, ok := is.([]any)
		if !ok || len(now) != len(was) {
			return []string{fmt.Sprintf("%s is %v, not %v", where, is, was)}
		}
		for i, v := range was {
			list = append(list, lacks(fmt.Sprintf("%s[%d]", where, i), v, now[i], exact)...)
		}
	default:
		if fmt.Sprintf("%T", was) != fmt.Sprintf("%T", is) || exact && was != is {
			return []string{fmt.Sprintf("%s is %v, not %v", where, is, was)}
		}
	}
	return list
}

func decode(t *testing.T, b []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return v
}

// A script that reads what lsboot printed for a tree still gets the same, IDs too,
// but for sentences.
func TestStableList(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := lsboot.List([]string{filepath.Join(samples, "tree")}, true, &stdout, &stderr); code != 0 {
		t.Fatalf("exit status %d: %s", code, stderr.String())
	}
	for _, line := range lacks("list", decode(t, sample(t, "list.json")), decode(t, stdout.Bytes()), true) {
		t.Error(line)
	}
}

func TestStableDoctor(t *testing.T) {
	b, err := json.Marshal(doctor.Report{
		State: doctor.NotBack, Boots: "a", Because: "b", Fallback: "c",
		Findings: []doctor.Finding{{Level: doctor.Broken, Check: "d", Entry: "e", Text: "f", Do: "g"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lacks("doctor", decode(t, sample(t, "doctor.json")), decode(t, b), false) {
		t.Error(line)
	}
	if doctor.Healthy != "healthy" || doctor.Warnings != "warnings" || doctor.NotBack != "broken" || doctor.Warning != "warning" {
		t.Error("states have other names")
	}
}

// What is found missing is missing.
func TestStableNotices(t *testing.T) {
	for _, tt := range []struct {
		was, is string
		exact   bool
		want    int
	}{
		{`{"a":1,"b":[{"c":"x"}]}`, `{"a":2,"b":[{"c":"y","d":1}],"e":1}`, false, 0},
		{`{"a":1,"b":[{"c":"x"}]}`, `{"a":2,"b":[{"c":"y"}]}`, true, 2},
		{`{"a":1}`, `{"b":1}`, false, 1},
		{`{"a":1}`, `{"a":"1"}`, false, 1},
		{`[1]`, `[]`, false, 1},
		{`{"a":{}}`, `{"a":[]}`, false, 1},
	} {
		if got := lacks("x", decode(t, []byte(tt.was)), decode(t, []byte(tt.is)), tt.exact); len(got) != tt.want {
			t.Errorf("%s and %s: %q", tt.was, tt.is, got)
		}
	}
}

// The page names each sample that is there, and no other one.
func TestStablePage(t *testing.T) {
	page := pages(t)["stability.md"]
	list, err := fs.ReadDir(os.DirFS(samples), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		name := strings.TrimSuffix(strings.TrimSuffix(d.Name(), ".0"), ".1")
		if !strings.Contains(page, "`"+strings.TrimSuffix(name, "-0")+"`") {
			t.Errorf("stability.md does not have %s", name)
		}
	}
}
