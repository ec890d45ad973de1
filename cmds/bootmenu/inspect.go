package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/discover"
	"github.com/alpboot/alpboot/boot/kernel"
	"github.com/alpboot/alpboot/boot/kexec"
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/alpboot/alpboot/boot/settings"
	"github.com/alpboot/alpboot/boot/sysinfo"
	"github.com/alpboot/alpboot/boot/version"
)

// inspect looks at the files of an entry, and at what its kernel may lack.
func (s *session) inspect(ctx context.Context, e boot.Entry) {
	scan := s.scan
	var volumes []boot.Volume
	for _, v := range s.inventory.Volumes {
		volumes = append(volumes, v.Volume)
	}
	go func() {
		msg := menu.InspectedMsg{ID: e.ID, Notes: kexec.Advise(volumeFS{scan, e.Volume}, e, volumes)}
		if e.Kernel != "" {
			msg.Files = append(msg.Files, inspectFile(scan, e.Volume, e.Kernel, aboutKernel))
		}
		for _, name := range e.Initrds {
			msg.Files = append(msg.Files, inspectFile(scan, e.Volume, name, aboutInitrd))
		}
		s.send(ctx, msg)
	}()
}

// inspectFile says what a file is; about tells what it is as a kernel or initrd.
func inspectFile(scan *discover.Scan, v boot.Volume, name string, about func(r readerAt, size int64) (string, error)) menu.File {
	f := menu.File{Path: name, Size: -1}
	file, err := openFile(scan, v, name)
	if err == nil {
		defer file.Close()
		var st fs.FileInfo
		if st, err = file.Stat(); err == nil {
			f.Size = st.Size()
			f.About, err = about(file, st.Size())
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fs.ErrNotExist // in fewer words
	}
	if err != nil {
		f.Problem = err.Error()
	}
	return f
}

type readerAt interface {
	ReadAt(p []byte, off int64) (n int, err error)
}

func aboutKernel(r readerAt, size int64) (string, error) {
	info, err := kernel.Identify(r, size)
	text := info.Format
	if info.Arch != "" {
		text += " for " + info.Arch
	}
	if info.Version != "" {
		text += ", Linux " + info.Version
	}
	return text, err
}

func aboutInitrd(r readerAt, size int64) (string, error) { return kernel.IdentifyInitrd(r, size) }

// systemLines gives a function that tells what there is to know about the
// machine, and which settings are not the built-in ones.
func (s *session) systemLines() func() []string {
	asked, root := s.asked, s.machine.root
	memory := fmt.Sprintf(wordWhere, s.store.Where())
	return func() []string {
		lines := sysinfo.Lines(root, "alpboot "+version.String(), memory)
		head := false
		for _, v := range asked.Values() {
			if v.Source == (settings.Source{}) {
				continue
			}
			if !head {
				head = true
				lines = append(lines, "Settings:")
			}
			lines = append(lines, fmt.Sprintf(wordSettingOf, v, v.Source))
		}
		return lines
	}
}
