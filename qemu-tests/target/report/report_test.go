package report

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestReportComesBackAsItWasWritten(t *testing.T) {
	r, err := Collect(fstest.MapFS{
		"proc/sys/kernel/osrelease": {Data: []byte("6.1.0\n")},
		"proc/version":              {Data: []byte("Linux version 6.1.0 (x)\n")},
		"proc/cmdline":              {Data: []byte("root=LABEL=/ a=\"b c\"  quiet \n")},
		"payload/who":               {Data: []byte("lts\nsecond line \"quoted\"\n")},
		"payload/deep/er":           {Data: []byte("")},
		"crypto_keyfile.bin":        {Data: []byte("secret")},
		PCR8:                        {Data: []byte("00FF\n")},
		MeasureLog:                  {Data: []byte("\x1e{}\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Files["crypto_keyfile.bin"] != "secret" || len(r.Files) != 3 {
		t.Errorf("the files are %q", r.Files)
	}
	if r.Measured[PCR8] != "00FF\n" || r.Measured[MeasureLog] != "\x1e{}\n" || len(r.Measured) != 2 {
		t.Errorf("measured is %q", r.Measured)
	}
	log := "old noise\r\n" + strings.ReplaceAll(r.String(), "\n", "\r\n") + "reboot: Power down\r\n"
	got, err := Parse(log)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got); diff != "" {
		t.Errorf("report changed on its way (-written +read):\n%s", diff)
	}
	if got, want := got.Cmdline, "root=LABEL=/ a=\"b c\"  quiet "; got != want {
		t.Errorf("cmdline %q, want %q", got, want)
	}
}

func TestParseRefusesWhatIsNoReport(t *testing.T) {
	for name, log := range map[string]string{
		"nothing":  "Linux version 6.1\n",
		"cut":      FirstLine + "\nrelease \"6.1\"\n",
		"a stray":  FirstLine + "\nrelease \"6.1\"\n[ 1.2] message\n" + LastLine,
		"unquoted": FirstLine + "\nrelease \"6.1\n" + LastLine,
	} {
		if r, err := Parse(log); err == nil {
			t.Errorf("%s: got %+v, want an error", name, r)
		}
	}
}
