package refind

import (
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot/version"
)

// findKernels returns the names of the kernels in a directory, the newest first.
func findKernels(list []fs.DirEntry) []string {
	type kernel struct {
		name    string
		changed time.Time
	}
	var kernels []*kernel
	for _, d := range list {
		if !d.Type().IsRegular() || !isKernel(d.Name()) {
			continue
		}
		k := &kernel{name: d.Name()}
		if st, err := d.Info(); err == nil {
			k.changed = st.ModTime()
		}
		kernels = append(kernels, k)
	}
	slices.SortStableFunc(kernels, func(a, b *kernel) int {
		if c := b.changed.Compare(a.changed); c != 0 {
			return c
		}
		switch hasA, hasB := digits(a.name) != "", digits(b.name) != ""; {
		case hasA && hasB:
			return version.Compare(b.name, a.name)
		case hasA:
			return 1
		case hasB:
			return -1
		}
		return 0 // ReadDir has sorted them
	})
	names := make([]string, len(kernels))
	for i, k := range kernels {
		names[i] = k.name
	}
	return names
}

// isKernel reports whether a file of that name is a kernel that is meant to be
// booted.
func isKernel(name string) bool {
	name = strings.ToLower(name)
	for _, s := range []string{".old", ".bak", ".new", ".apk-new", "~", ".sig"} {
		if strings.HasSuffix(name, s) {
			return false
		}
	}
	for _, s := range []string{"vmlinuz", "bzimage", "kernel", "image"} { // the last one on ARM
		if strings.HasPrefix(name, s) {
			return true
		}
	}
	return false
}

// findInitrd returns the name of the initrd in a directory that goes with a kernel,
// "" when there is none.
func findInitrd(kernel string, list []fs.DirEntry) string {
	version := digits(kernel)
	best, bestShared := "", -1
	for _, d := range list {
		name := d.Name()
		lower := strings.ToLower(name)
		if !d.Type().IsRegular() || !strings.HasPrefix(lower, "init") && !strings.HasPrefix(lower, "booster") {
			continue
		}
		v := digits(name)
		if !strings.EqualFold(v, version) {
			continue
		}
		// Of several, the one that has the most in common from the version on,
		// then the one with the shortest name.
		shared := 0
		if v == "" {
			k, i := flavour(kernel), flavour(name)
			switch {
			case k == i:
				shared = len(k)
			case k != "" && i != "":
				continue
			}
		} else {
			a, b := kernel[strings.Index(kernel, version):], name[strings.Index(name, v):]
			for shared < min(len(a), len(b)) && a[shared] == b[shared] {
				shared++
			}
		}
		if shared > bestShared || shared == bestShared && len(name) < len(best) {
			best, bestShared = name, shared
		}
	}
	return best
}

// flavour returns the end that the names of a kernel and its initrd share when
// they have no version: lts of vmlinuz-lts and initramfs-lts.img.
func flavour(name string) string {
	name = strings.ToLower(name)
	for _, s := range []string{".efi", ".img", ".gz"} {
		name = strings.TrimSuffix(name, s)
	}
	_, f, _ := strings.Cut(name, "-")
	return f
}

// digits returns what is between the first and the last digit of a name, these
// included: 6.1.0-18-amd64 of vmlinuz-6.1.0-18-amd64. "" when there is none.
func digits(name string) string {
	const digits = "0123456789"
	first, last := strings.IndexAny(name, digits), strings.LastIndexAny(name, digits)
	if first < 0 {
		return ""
	}
	return name[first : last+1]
}
