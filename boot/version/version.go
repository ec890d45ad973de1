// Package version is which alpboot this is, and how versions compare.
package version

import (
	"runtime/debug"
	"strings"
)

// Version is set by the linker when mkpayload builds the image:
//
//	-ldflags=-X=github.com/alpboot/alpboot/boot/version.Version=...
//
// It must have no initialiser, which gobusybox would run after the linker. Read
// it through [String].
var Version string

// String returns the version to print: the one that mkpayload set, else what the
// Go command recorded about the checkout, else "dev".
func String() string {
	if Version != "" {
		return Version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	return fromBuildInfo(info)
}

// Release returns the version where it is that of a release, such as 1.0.0, else
// "dev": that of a checkout says little to most people.
func Release() string { return release(String()) }

func release(v string) string {
	if number, _, dotted := strings.Cut(strings.TrimPrefix(v, "v"), "."); dotted && number != "" && strings.Trim(number, "0123456789") == "" {
		return v
	}
	return "dev"
}

func fromBuildInfo(info *debug.BuildInfo) string {
	s := "dev"
	dirty := false
	for _, set := range info.Settings {
		switch set.Key {
		case "vcs.revision":
			if len(set.Value) > 12 {
				set.Value = set.Value[:12]
			}
			s += "-" + set.Value
		case "vcs.modified":
			dirty = set.Value == "true"
		}
	}
	if dirty {
		s += "-dirty"
	}
	return s
}
