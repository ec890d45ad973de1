// Package fstab reads /etc/fstab.
package fstab

import "strings"

// Mount is one line.
type Mount struct {
	Source, Target, Type string
	Options              []string
}

// Parse reads an fstab (fstab(5)), escapes and quoted sources included.
// Lines with fewer than three fields are left out.
func Parse(data string) []Mount {
	var tab []Mount
	for line := range strings.Lines(data) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0][0] == '#' {
			continue
		}
		m := Mount{Source: unescape(f[0]), Target: unescape(f[1]), Type: f[2]}
		if tag, value, ok := strings.Cut(m.Source, "="); ok {
			m.Source = tag + "=" + strings.Trim(value, `"'`)
		}
		if len(f) > 3 {
			m.Options = strings.Split(f[3], ",")
		}
		tab = append(tab, m)
	}
	return tab
}

// unescape replaces \NNN by the byte of that octal number.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && isOctal(s[i+1:i+4]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isOctal(s string) bool {
	return strings.Trim(s, "01234567") == "" && s[0] <= '3'
}

// Find returns the line for a mount point.
func Find(tab []Mount, target string) (Mount, bool) {
	for _, m := range tab {
		if m.Target == target || m.Target == target+"/" {
			return m, true
		}
	}
	return Mount{}, false
}

// Option returns the value of a mount option.
func (m Mount) Option(name string) string {
	for _, o := range m.Options {
		if v, ok := strings.CutPrefix(o, name+"="); ok {
			return v
		}
	}
	return ""
}
