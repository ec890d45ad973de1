package checkout

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/alpboot/alpboot/boot/boottest"
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

// A release that was unpacked inside of another repository, as one of packages is, has
// its own version.
func TestVersionInRepository(t *testing.T) {
	boottest.NeedTools(t, "git")
	repository := t.TempDir()
	git := func(args ...string) {
		boottest.Tool(t, "git", append([]string{"-C", repository, "-c", "user.name=a", "-c", "user.email=a@b"}, args...)...)
	}
	dir := filepath.Join(repository, "src/alpboot-1.2.3")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "CHANGELOG.md"), []byte("# Changelog\n\n## 1.2.3 - 2026-12-01\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	git("init", "-q")
	git("commit", "-q", "--allow-empty", "-m", "one")
	git("tag", "v7.0.0")
	if got := (Checkout{Dir: dir}).Version(t.Context()); got != "1.2.3" {
		t.Errorf("inside of another repository: %q", got)
	}
	if got := (Checkout{Dir: repository}).Version(t.Context()); got != "7.0.0" {
		t.Errorf("the repository: %q", got)
	}
}
