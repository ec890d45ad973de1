//go:build !amd64

package sysinfo

// Counter returns 0: there is no counter here that can be read.
func Counter() uint64 { return 0 }
