//go:build !amd64

package sysinfo

func counter() uint64 { return 0 }
