package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// What go test -json prints, in that order.
const sample = `{"Action":"start","Package":"github.com/alpboot/alpboot/boot"}
{"Action":"run","Package":"github.com/alpboot/alpboot/boot","Test":"TestA"}
{"Action":"run","Package":"github.com/alpboot/alpboot/boot","Test":"TestA/one"}
{"Action":"run","Package":"github.com/alpboot/alpboot/boot","Test":"TestA/two"}
{"Action":"output","Package":"github.com/alpboot/alpboot/boot","Test":"TestA/two","Output":"    a_test.go:9: it is wrong\n"}
{"Action":"pass","Package":"github.com/alpboot/alpboot/boot","Test":"TestA/one","Elapsed":0.1}
{"Action":"fail","Package":"github.com/alpboot/alpboot/boot","Test":"TestA/two","Elapsed":0.1}
{"Action":"fail","Package":"github.com/alpboot/alpboot/boot","Test":"TestA","Elapsed":0.2}
{"Action":"run","Package":"github.com/alpboot/alpboot/boot","Test":"TestB"}
{"Action":"output","Package":"github.com/alpboot/alpboot/boot","Test":"TestB","Output":"    a_test.go:20: no tool\n"}
{"Action":"skip","Package":"github.com/alpboot/alpboot/boot","Test":"TestB","Elapsed":0}
{"Action":"fail","Package":"github.com/alpboot/alpboot/boot","Elapsed":0.3}
{"ImportPath":"github.com/alpboot/alpboot/menu [x]","Action":"build-output","Output":"menu.go:3: undefined: x\n"}
{"ImportPath":"github.com/alpboot/alpboot/menu [x]","Action":"build-fail"}
{"Action":"fail","Package":"github.com/alpboot/alpboot/menu","Elapsed":0,"FailedBuild":"github.com/alpboot/alpboot/menu [x]"}
{"Action":"run","Package":"github.com/alpboot/alpboot/cmd","Test":"TestP"}
{"Action":"run","Package":"github.com/alpboot/alpboot/cmd","Test":"TestP/sub"}
{"Action":"pass","Package":"github.com/alpboot/alpboot/cmd","Test":"TestP/sub","Elapsed":0.1}
{"Action":"output","Package":"github.com/alpboot/alpboot/cmd","Test":"TestP","Output":"    it fails without its subtest\n"}
{"Action":"fail","Package":"github.com/alpboot/alpboot/cmd","Test":"TestP","Elapsed":0.1}
{"Action":"fail","Package":"github.com/alpboot/alpboot/cmd","Elapsed":0.1}
{"Action":"output","Package":"github.com/alpboot/alpboot/boom","Output":"panic: in TestMain\n"}
{"Action":"fail","Package":"github.com/alpboot/alpboot/boom","Elapsed":0.1}
`

func TestCounting(t *testing.T) {
	for _, tt := range []struct {
		ci     bool
		counts string // passed, failed, skipped
	}{
		{ci: false, counts: "2 passed, 4 failed, 1 skipped"},
		{ci: true, counts: "2 passed, 5 failed, 0 skipped"},
	} {
		t.Run(fmt.Sprintf("ci %v", tt.ci), func(t *testing.T) {
			var out bytes.Buffer
			c := &checks{out: &out, ci: tt.ci, start: time.Now()}
			c.count(events(strings.NewReader(sample)))
			if code := c.summary(); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			if got := out.String(); !strings.HasSuffix(got, "\n"+tt.counts+"\n") {
				t.Errorf("the last line is not %q:\n%s", tt.counts, got)
			}
			for _, want := range []string{"it is wrong", "no tool", "menu.go:3: undefined: x", "without its subtest", "panic: in TestMain"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the output lacks %q:\n%s", want, &out)
				}
			}
		})
	}
}

func TestNothingRunIsNoSuccess(t *testing.T) {
	if code := (&checks{out: &bytes.Buffer{}}).summary(); code == 0 {
		t.Error("exit code 0 without a single check")
	}
}

func TestRanOutOfTime(t *testing.T) {
	const ended = "fuzz: elapsed: 5s, execs: 103071\n--- FAIL: FuzzParse (5.12s)\n    context deadline exceeded\nFAIL\n"
	for output, want := range map[string]bool{
		ended: true,
		"--- FAIL: FuzzParse (1.00s)\n    --- FAIL: FuzzParse (0.00s)\n    wrong\n    Failing input written to testdata/fuzz/FuzzParse/0\n": false,
		ended + "    Failing input written to testdata/fuzz/FuzzParse/0\n":                                                                  false,
		ended + "panic: index out of range\n": false,
	} {
		if got := ranOutOfTime(output); got != want {
			t.Errorf("%q: got %v, want %v", output, got, want)
		}
	}
}
