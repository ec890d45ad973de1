package sysinfo

import (
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
)

// FirmwareTook returns how long the machine whose root directory is root took from
// its reset until the kernel began, which has run for so long; 0 when that is not
// known.
func FirmwareTook(root fs.FS, running time.Duration) time.Duration {
	return beforeKernel(root, Counter(), running)
}

// beforeKernel is that with what the processor has counted.
func beforeKernel(root fs.FS, counter uint64, running time.Duration) time.Duration {
	const most = time.Hour // a counter that does not begin at a reset
	cpuinfo, _ := boot.ReadFile(root, "proc/cpuinfo", maxFile)
	for line := range strings.Lines(string(cpuinfo)) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) != "cpu MHz" {
			continue
		}
		mhz, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || mhz < 1 || mhz > 1e5 {
			return 0
		}
		if took := time.Duration(float64(counter)/mhz*1000) - running; took > 0 && took < most {
			return took
		}
		return 0
	}
	return 0
}
