package boot

import "strings"

// Words splits a command line as the kernel does: white space inside double
// quotes holds a word together. The quotes stay. With a quote that never
// closes, quotes mean nothing. Control characters are white space.
func Words(cmdline string) []string {
	cmdline = Plain(cmdline)
	quoted := false
	hasPairs := strings.Count(cmdline, `"`)%2 == 0
	return strings.FieldsFunc(cmdline, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !(quoted && hasPairs)
	})
}

// TakeInitrds takes the words initrd=FILE[,FILE...] out of a command line, and
// BOOT_IMAGE=, which tells the kernel nothing. What is left has single spaces
// between its words.
func TakeInitrds(cmdline string) (rest string, initrds []string) {
	var keep []string
	for _, w := range Words(cmdline) {
		if files, ok := strings.CutPrefix(w, "initrd="); ok {
			initrds = append(initrds, strings.FieldsFunc(files, func(r rune) bool { return r == ',' })...)
		} else if !strings.HasPrefix(w, "BOOT_IMAGE=") {
			keep = append(keep, w)
		}
	}
	return strings.Join(keep, " "), initrds
}
