package checkout

import (
	"os"
	"path/filepath"
	"testing"
)

func TestVersion(t *testing.T) {
	for _, tt := range []struct {
		name      string
		changelog string
		want      string
	}{
		{name: "no history at all", want: "dev"},
		{name: "unpacked release", changelog: "# Changelog\n\n## [1.2.3] - 2026-12-01\n\n## [1.2.2]\n", want: "1.2.3"},
		{name: "unreleased", changelog: "# Changelog\n\n## Unreleased\n\n## v0.9.0-rc1\n", want: "0.9.0-rc1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(dir))
			if tt.changelog != "" {
				if err := os.WriteFile(filepath.Join(dir, "CHANGELOG.md"), []byte(tt.changelog), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if got := (Checkout{Dir: dir}).Version(t.Context()); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
