package boot

import "strings"

// ImageDevice returns the Device of the volume that an image file on v holds, such
// as /dev/sdb1:/iso/alpine.iso. File is a path from the root of v, without a
// leading slash.
func (v Volume) ImageDevice(file string) string { return v.Device + ":/" + file }

// InImage reports whether v is in an image file on another volume, as
// [Volume.ImageDevice] names it.
func (v Volume) InImage() bool { return strings.Contains(v.Device, ":/") }
