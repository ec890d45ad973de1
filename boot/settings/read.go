package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/device/superblock"
)

const (
	prefix = "alpboot."

	maxFile = 16 << 10 // bytes
	maxLine = 1024
)

// ImageFile is where an image has its settings.
const ImageFile = "etc/alpboot.conf"

// volumePaths are where alpboot.conf is on a volume that no setting names.
var volumePaths = [...]string{"EFI/alpboot/alpboot.conf", "alpboot.conf"}

// Read returns the settings of an image, whose root is image, started with the
// kernel command line line.
func Read(image fs.FS, line string) Settings {
	s := Default()
	b, err := boot.ReadFile(image, ImageFile, maxFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.note("", fmt.Sprintf("The settings in the image cannot be used: %v.", err))
	}
	return s.readImage(b, line)
}

// Parse returns the settings of an image in which the file of settings is text, started
// with the kernel command line line.
func Parse(text []byte, line string) Settings {
	s := Default()
	return s.readImage(text, line)
}

func (s Settings) readImage(text []byte, line string) Settings {
	s.readFile(imageFile, "/"+ImageFile, text)
	if from := s.sources["locked"]; from.layer == imageFile && s.sources["password"].layer != imageFile {
		s.Password = NoPassword
		s.note(from.where, "There is no password, so that nothing of locked can be done.")
	}
	s.readCmdline(line)
	if s.Verify == Enforce { // nobody has signed what is typed into a shell, or what a volume has
		s.Shell, s.SettingsVolume, s.SettingsFile = false, Off, Place{}
		s.sources = maps.Clone(s.sources)
		for _, name := range []string{"shell", "settings-volume"} {
			s.sources[name] = Source{parameter, "verify = enforce"}
		}
	}
	return s
}

// Check returns what is wrong with a file of settings for an image, in sentences.
func Check(text []byte) []string {
	s := Default()
	if len(text) > maxFile {
		s.note("", fmt.Sprintf("It has more than %d bytes.", maxFile))
	}
	s.readFile(imageFile, "line", text)
	return s.Notes
}

// readCmdline takes the settings out of a kernel command line. A parameter that
// stands there twice has its last value, as in the kernel.
func (s *Settings) readCmdline(line string) {
	kernel, _ := cmdline.Parse(line).Split()
	for _, word := range kernel {
		name, value, hasValue := cmdline.Cut(word)
		name, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		if !hasValue {
			value = "yes" // as in the kernel
		}
		s.take(Source{parameter, "kernel parameter"}, name, value, strings.ReplaceAll(word, `"`, ""))
	}
}

// readFile reads a file of settings: lines NAME = VALUE. A value with # or with
// white space at its ends stands in double or single quotes. Empty lines and
// what follows a # are passed over.
func (s *Settings) readFile(l layer, name string, text []byte) {
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		src := Source{l, fmt.Sprintf("%s:%d", name, n)}
		line = strings.TrimSpace(line)
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if line == "" || line[0] == '#' {
			continue
		}
		if len(line) > maxLine {
			s.note(src.where, fmt.Sprintf("The line is longer than %d bytes.", maxLine))
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if ok {
			value, _, ok = cutComment(value)
		}
		if rest, slip := strings.CutPrefix(name, "password"); slip && (!ok || rest != "") { // it opens nothing, and shows no hash
			name, value, ok = "password", line, true
		}
		if !ok {
			s.note(src.where, fmt.Sprintf("%s is not a line of the form NAME = VALUE.", boot.Clean(line)))
			continue
		}
		s.take(src, name, value, name+" = "+value)
	}
}

// cutComment returns what a line has after its =: the value without its quotes, and
// the comment from its # on.
func cutComment(v string) (value, comment string, ok bool) {
	v = strings.TrimSpace(v)
	if v != "" && (v[0] == '"' || v[0] == '\'') {
		value, comment, ok = strings.Cut(v[1:], v[:1])
		comment = strings.TrimSpace(comment)
		return value, comment, ok && (comment == "" || comment[0] == '#')
	}
	for i := range len(v) {
		if v[i] == '#' && (i == 0 || v[i-1] == ' ' || v[i-1] == '\t') {
			return strings.TrimSpace(v[:i]), v[i:], true
		}
	}
	return v, "", true
}

// WithVolumes returns the settings with those of alpboot.conf on one of the
// volumes. Call it on what [Read] returned, with all volumes, each time that they
// have changed and are complete.
//
// Without a setting that names the file, a stick must not decide how a machine
// starts: only partitions of disks that are built in count, of them those that
// hold FAT, as the ESP does, or are labelled ALPBOOT, and the file is alpboot.conf
// or EFI/alpboot/alpboot.conf. Where there are several that differ, none is used.
func (s Settings) WithVolumes(volumes boot.Volumes) Settings {
	type found struct {
		where string
		text  []byte
	}
	var files []found
	volumes, paths := s.places(volumes)
	for _, v := range volumes {
		for _, p := range paths {
			where := v.Volume.Device + ": /" + p
			b, err := boot.ReadFile(v.FS, p, maxFile)
			if err == nil {
				files = append(files, found{where, b})
				break
			}
			if !errors.Is(err, fs.ErrNotExist) || s.SettingsVolume == File {
				s.note("", fmt.Sprintf("The settings on %s cannot be used: %v.", v.Volume.Device, err))
			}
		}
	}
	if s.SettingsVolume == File && len(volumes) == 0 {
		s.note("", fmt.Sprintf("The volume of settings-volume = %s is not there.", s.SettingsFile))
	}
	if len(files) == 0 {
		return s
	}
	for _, f := range files[1:] {
		if string(f.text) != string(files[0].text) {
			s.note("", fmt.Sprintf("There are settings in %s and in %s, and they differ: none are used. Choose one by the setting settings-volume.", files[0].where, f.where))
			return s
		}
	}
	s.readFile(volumeFile, files[0].where, files[0].text)
	return s
}

// places returns the volumes on which settings may be, and the paths there.
func (s Settings) places(volumes boot.Volumes) (list boot.Volumes, paths []string) {
	switch s.SettingsVolume {
	case Off:
		return nil, nil
	case File:
		list = volumes.Find(s.SettingsFile.Volume, boot.Volume{})
		if i := slices.IndexFunc(list, func(v boot.MountedVolume) bool { return v.Volume.Removable }); i > 0 {
			list = list[:i] // they come last, and may be copies
		}
		return list, []string{s.SettingsFile.Path}
	}
	for _, v := range volumes {
		if !v.Volume.Removable && v.Volume.Partition != 0 && (v.Volume.Type == superblock.VFAT || v.Volume.Label == "ALPBOOT") {
			list = append(list, v)
		}
	}
	return list, volumePaths[:]
}
