package mapper

import (
	"fmt"
	"hash/fnv"
	"strings"
)

// What include/uapi/linux/dm-ioctl.h leaves of DM_NAME_LEN and DM_UUID_LEN
// beside the NUL.
const (
	maxName = 127
	maxUUID = 128
)

// Name makes a name for a mapping out of s. As libdevmapper does by default,
// ASCII letters, digits and #+-.:=@_ are kept, and any other byte becomes \x and
// two hexadecimal digits. What gets longer than 127 bytes is cut and ends in
// a dash and a checksum of s.
func Name(s string) string {
	switch {
	case s == "":
		return "unnamed"
	case reserved(s):
		return fmt.Sprintf(`\x%02x`, s[0]) + s[1:]
	}
	var b strings.Builder
	for _, c := range []byte(s) {
		if allowed(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\x%02x`, c)
		}
		if b.Len() > maxName {
			sum := fnv.New32a()
			_, _ = sum.Write([]byte(s))
			return fmt.Sprintf("%s-%08x", b.String()[:maxName-9], sum.Sum32())
		}
	}
	return b.String()
}

// LVName returns LVM's name for the mapping of a logical volume of a
// volume group: both with their dashes doubled, and a single dash between them.
func LVName(vg, lv string) string {
	double := func(s string) string { return strings.ReplaceAll(s, "-", "--") }
	return Name(double(vg) + "-" + double(lv))
}

func allowed(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("#+-.:=@_", c) >= 0
}

// reserved reports whether the kernel does not take a name.
func reserved(name string) bool { return name == "." || name == ".." || name == "control" }

// valid reports whether a name is one that [Name] could have returned.
func valid(name string) bool {
	for _, c := range []byte(name) {
		if c != '\\' && !allowed(c) {
			return false
		}
	}
	return name != "" && len(name) <= maxName && !reserved(name)
}
