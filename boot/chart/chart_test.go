package chart

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const saved = `Machine:
  QEMU

Log:
DEBUG     0.000 kernel: Linux version 6.12
DEBUG     1.250 kernel: Run /init as init process
INFO      1.400 alpboot 1.0 starts
INFO      1.400 the firmware took 2.5s until this kernel began
INFO      1.450 the menu is shown consoles=/dev/ttyS0
INFO      1.520 /dev/vda1 holds ext4, read in 40ms
INFO      1.530 /dev/vda2 holds vfat <b>, read in 5ms
INFO      1.600 no disk is waited for: nothing can bring in another disk
INFO      1.700 booting entry=lts kernel=vmlinuz
INFO      2.000 lts is read
INFO      2.100 lts is loaded
INFO      2.200 /dev/vda3 holds ext4, read in -5ms
INFO   99999999 no time
`

const want = `  -2.500   2.500 s  firmware                                       |#####################
   0.000   1.250 s  kernel                                         |                     ###########
   1.250   0.150 s  first process                                  |                                #
   1.400   0.050 s  consoles                                       |                                 #
   1.480   0.040 s  /dev/vda1                                      |                                  #
   1.525   0.005 s  /dev/vda2                                      |                                   #
   1.450   0.150 s  disks until nothing can bring in another disk  |                                  #
   1.450   0.250 s  menu                                           |                                  ##
   1.700   0.300 s  reading lts                                    |                                    ###
   2.000   0.100 s  loading lts                                    |                                       #
`

func TestText(t *testing.T) {
	var b strings.Builder
	if err := Text(&b, Read(saved)); err != nil {
		t.Fatal(err)
	}
	sorted := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	for line := range strings.Lines(want) {
		if name, _, _ := strings.Cut(line, "|"); !strings.Contains(sorted(b.String()), sorted(name)) {
			t.Errorf("there is no %q in\n%s", name, b.String())
		}
	}
	if n := strings.Count(b.String(), "\n"); n != strings.Count(want, "\n") {
		t.Errorf("%d lines:\n%s", n, b.String())
	}
	if first, _, _ := strings.Cut(b.String(), "\n"); !strings.Contains(first, "firmware") || !strings.Contains(first, "|#####") {
		t.Errorf("it does not begin with the firmware: %s", first)
	}
}

func TestSVG(t *testing.T) {
	var b strings.Builder
	if err := SVG(&b, Read(strings.Replace(saved, "entry=lts", "entry=<b>", 1)+"INFO 3.0 <b> is loaded\n")); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"<svg ", ">firmware<", ">1.250 s<", "loading &lt;b&gt;", "</svg>"} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("there is no %q in\n%s", part, b.String())
		}
	}
}

// What is handed on is what was read, up to where it is cut off, and ends with the jump.
func TestHandedOn(t *testing.T) {
	spans := Read(saved)
	text := Marshal(spans)
	if got := Unmarshal(text); !slices.Equal(got, spans) {
		t.Errorf("got %v", got)
	}
	if got := Unmarshal(text[:len(text)-1]); !slices.Equal(got, spans[:len(spans)-1]) {
		t.Errorf("of a text that is cut off: %v", got)
	}
	for _, bad := range []string{"", "x", "2 1 back\n", "1 2 \n", "1 99999999999999999 late\n"} {
		if got := Unmarshal(bad); got != nil {
			t.Errorf("of %q: %v", bad, got)
		}
	}
	all := Entered(spans, 2600*time.Millisecond)
	if last := all[len(all)-1]; last != (Span{"loading and jump", 2100 * time.Millisecond, 2600 * time.Millisecond}) {
		t.Errorf("the last is %v", last)
	}
	if got := Entered(spans, 0); len(got) != len(spans) {
		t.Errorf("a jump at an unknown time is shown: %v", got[len(got)-1])
	}
}

// A file of which several lines have no level, or no time, is no log.
func TestReadsOnlyTheLog(t *testing.T) {
	if spans := Read("  vmlinuz is loaded\nINFO nan alpboot 1 starts\nINFO -1.0 alpboot 1 starts\nTRACE 1.0 alpboot 1 starts\n"); spans != nil {
		t.Errorf("got %v", spans)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(Marshal(Read(saved)))
	f.Fuzz(func(t *testing.T, text string) {
		spans := Unmarshal(text)
		for _, s := range spans {
			if s.From > s.To || s.Name == "" {
				t.Errorf("%+v", s)
			}
		}
		if again := Unmarshal(Marshal(spans)); !slices.Equal(again, spans) {
			t.Errorf("%v becomes %v", spans, again)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(saved)
	f.Add("INFO 1.0 kernel: Run /init \nINFO 0.5 alpboot  starts\nINFO 2.0 the firmware took 1000000h until this kernel began\n")
	f.Fuzz(func(t *testing.T, log string) {
		spans := Read(log)
		for _, s := range spans {
			if s.From > s.To {
				t.Errorf("%+v ends before it begins", s)
			}
		}
		var b strings.Builder
		if err := Text(&b, spans); err != nil || strings.Count(b.String(), "\n") != len(spans) {
			t.Errorf("%v\n%s", err, b.String())
		}
		for line := range strings.Lines(b.String()) {
			if _, bar, _ := strings.Cut(line, "|"); len(bar) > 60 && !strings.Contains(bar, "|") {
				t.Errorf("a bar of %d characters", len(bar))
			}
		}
	})
}
