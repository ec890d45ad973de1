package securekeys

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// example is an update whose signature nobody verifies.
func example(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	b, err := NewUpdate(Variables()[0], time.Unix(1<<30, 0), AppendLists(nil, entries...), func([]byte) ([]byte, error) { return []byte("signature"), nil })
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestUpdate(t *testing.T) {
	two := []Entry{Certificate([]byte("one")), {Type: [16]byte{1}, Data: []byte("hash")}}
	whole := example(t, two...)
	got, err := ParseUpdate(whole)
	if err != nil || len(got) != 2 || !bytes.Equal(got[0].Data, two[0].Data) || got[1].Type != two[1].Type {
		t.Errorf("%v, %v", got, err)
	}
	for i := range whole {
		if got, err := ParseUpdate(whole[:i]); err == nil && len(got) == 2 {
			t.Errorf("%d of %d bytes are whole", i, len(whole))
		}
	}
	if _, err := ParseUpdate(example(t)); err == nil || !strings.Contains(err.Error(), "it would remove") {
		t.Errorf("without keys: %v", err)
	}
	for _, v := range Variables() {
		if _, err := guid(v.Vendor); err != nil {
			t.Error(err)
		}
	}
}

// An entry of a list that has several, each of one size.
func TestParseLists(t *testing.T) {
	b := AppendLists(nil, Certificate([]byte("four")))
	b = append(b, b[len(b)-20:]...)
	b[16] += 20
	if all, err := ParseLists(b); err != nil || len(all) != 2 || string(all[1].Data) != "four" {
		t.Errorf("%v, %v", all, err)
	}
	b[24]++
	if all, err := ParseLists(b); err == nil {
		t.Errorf("of another size: %v", all)
	}
	if all, err := ParseLists(nil); err != nil || len(all) != 0 {
		t.Errorf("none: %v, %v", all, err)
	}
}

func FuzzLists(f *testing.F) {
	f.Add(AppendLists(nil, Certificate([]byte("\x30\x03\x30\x01\x02")), Entry{Data: []byte("x")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := ParseLists(b)
		for _, e := range all {
			_ = e.String()
		}
		if err != nil {
			return
		}
		again, err := ParseLists(AppendLists(nil, all...))
		if err != nil || len(again) != len(all) {
			t.Errorf("%v, %v", again, err)
		}
	})
}

func FuzzUpdate(f *testing.F) {
	f.Add(example(f, Certificate([]byte("one"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if all, err := ParseUpdate(b); err == nil && len(all) == 0 {
			t.Error("an update without keys")
		}
	})
}

func FuzzProgram(f *testing.F) {
	f.Add([]byte("MZ"), []byte("\x30\x03\x30\x01\x02"))
	f.Fuzz(func(t *testing.T, b, der []byte) {
		if e, err := SignedBy(bytes.NewReader(b), int64(len(b)), []Entry{Certificate(der)}); err == nil && !bytes.Contains(b, der[:0]) {
			t.Errorf("%v", e)
		}
		for _, c := range signerCertificates(b) {
			if !bytes.Contains(b, c) {
				t.Errorf("%x", c)
			}
		}
	})
}
