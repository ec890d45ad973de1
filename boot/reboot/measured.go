package reboot

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"

	"github.com/alpboot/alpboot/boot/measure"
	"github.com/alpboot/alpboot/boot/tpm"
)

// measured returns what the TPM has of the start of the running system; "" without a
// TPM whose PCRs the kernel shows.
func (s *System) measured() string {
	pcr := func(n int) string {
		return strings.ToLower(s.read(fmt.Sprintf("/sys/class/tpm/tpm0/pcr-sha256/%d", n)))
	}
	cmdline, files := pcr(measure.CmdlinePCR), pcr(measure.FilesPCR)
	if cmdline == "" || files == "" {
		return ""
	}
	line, _ := os.ReadFile(s.path("/proc/cmdline"))
	sum := sha256.Sum256([]byte(strings.TrimSuffix(string(line), "\n")))
	event := measure.Event{PCR: measure.CmdlinePCR, Digests: []tpm.Digest{{Algorithm: tpm.SHA256, Sum: sum[:]}}}
	own := measure.Replay([]measure.Event{event}, tpm.SHA256)[measure.CmdlinePCR]
	switch {
	case strings.Trim(cmdline+files, "0") == "":
		return "nothing: PCRs 8 and 9 of the TPM are empty"
	case cmdline == fmt.Sprintf("%x", own):
		return "PCR 8 of the TPM has the command line that runs, PCR 9 kernel and initrds"
	}
	return "PCRs 8 and 9 of the TPM have something else than this start, or more: another boot loader measures too, or a start was stopped, or a fast reboot led here"
}
