package sysinfo

// Counter returns the processor's counter of time (TSC), which is 0 at a reset and goes on
// when one kernel starts another; 0 on other processors.
func Counter() uint64
