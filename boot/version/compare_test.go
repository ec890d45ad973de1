package version_test

import (
	"testing"

	"github.com/alpboot/alpboot/boot/version"
)

// TestCompare holds the examples of the Version Format Specification,
// and what they leave open.
func TestCompare(t *testing.T) {
	tests := []struct {
		a    string
		want int
		b    string
	}{
		{"11", 0, "11"},
		{"systemd-123", 0, "systemd-123"},
		{"bar-123", -1, "foo-123"},
		{"123a", 1, "123"},
		{"123.a", 1, "123"},
		{"123.a", -1, "123.b"},
		{"123a", 1, "123.a"},
		{"11α", 0, "11β"},
		{"A", -1, "a"},
		{"B", -1, "a"},
		{"", -1, "0"},
		{"0.", 1, "0"},
		{"0.0", 1, "0"},
		{"0", 1, "~"},
		{"", 1, "~"},
		{"1_", 0, "1"},
		{"_1", 0, "1"},
		{"1_", -1, "1.2"},
		{"1_2_3", 1, "1.3.3"},
		{"1+", 0, "1"},
		{"+1", 0, "1"},
		{"1+", -1, "1.2"},
		{"1+2+3", 1, "1.3.3"},

		// Not in the specification.
		{"", 0, ""},
		{"6.9", -1, "6.10"},
		{"6.12.1-0-lts", 1, "6.6.63-0-lts"},
		{"6.12.1-0-lts", 1, "6.12.1-0-edge"},
		{"6.12.10-1-virt", 1, "6.12.9-3-virt"},
		{"007", 0, "7"},
		{"1.0", -1, "1.a"}, // an empty number is 0, says step 7
		{"18446744073709551616", 1, "18446744073709551615"},
		{"1~~", 1, "1~"}, // only one ~ is read before the end
		{"a-~", -1, "a-"},
		{"1\xff2", 0, "1_2"},
	}
	for _, tt := range tests {
		if got := version.Compare(tt.a, tt.b); got != tt.want {
			t.Errorf("%q, %q: got %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := version.Compare(tt.b, tt.a); got != -tt.want {
			t.Errorf("%q, %q: got %d, want %d", tt.b, tt.a, got, -tt.want)
		}
	}
	// The specification's list of versions, each older than all that follow.
	ordered := []string{"122.1", "123~rc1-1", "123", "123-a", "123-a.1", "123-1", "123-1.1", "123^post1", "123.a-1", "123.1-1", "123a-1", "124-1"}
	for i, a := range ordered {
		for j, b := range ordered {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := version.Compare(a, b); got != want {
				t.Errorf("%q, %q: got %d, want %d", a, b, got, want)
			}
		}
	}
}

// FuzzCompare asserts that it ends, and that it makes no difference
// which of two is asked about first.
func FuzzCompare(f *testing.F) {
	f.Add("6.12.1-0-lts", "6.12.1~rc1")
	f.Add("-^.0a", "-^.~")
	f.Fuzz(func(t *testing.T, a, b string) {
		r := version.Compare(a, b)
		if back := version.Compare(b, a); back != -r || r < -1 || r > 1 {
			t.Errorf("%d, and the other way %d", r, back)
		}
		if version.Compare(a, a) != 0 {
			t.Errorf("%q is not equal to itself", a)
		}
	})
}
