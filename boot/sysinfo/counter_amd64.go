package sysinfo

// counter returns the processor's counter of time (TSC), which is 0 at a reset.
func counter() uint64
