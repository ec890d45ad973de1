package version

import (
	"runtime/debug"
	"testing"
)

func TestFromBuildInfo(t *testing.T) {
	for _, tt := range []struct {
		name     string
		settings []debug.BuildSetting
		want     string
	}{
		{name: "no checkout", want: "dev"},
		{
			name:     "clean",
			settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "false"}},
			want:     "dev-0123456789ab",
		},
		{
			name:     "modified",
			settings: []debug.BuildSetting{{Key: "vcs.modified", Value: "true"}, {Key: "vcs.revision", Value: "0123"}},
			want:     "dev-0123-dirty",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := fromBuildInfo(&debug.BuildInfo{Settings: tt.settings}); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRelease(t *testing.T) {
	for v, want := range map[string]string{"1.0.0": "1.0.0", "v0.9": "v0.9", "0123abc": "dev", "dev-0123abc4567": "dev", "1.0.0-3-g0123abc": "1.0.0-3-g0123abc", "": "dev"} {
		if got := release(v); got != want {
			t.Errorf("%q: got %q, want %q", v, got, want)
		}
	}
}
