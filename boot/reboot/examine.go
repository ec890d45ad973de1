package reboot

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot"
	machine "github.com/alpboot/alpboot/boot/device/system"
	"github.com/alpboot/alpboot/boot/doctor"
	"github.com/alpboot/alpboot/boot/efivar"
)

// Examine finds out whether this system would come back.
func (s *System) Examine(ctx context.Context) (doctor.Report, error) {
	if s.Root == "/" && os.Geteuid() != 0 {
		return doctor.Report{}, errors.New("only root may read the disks")
	}
	b := s.bootMenu(ctx)
	defer b.close()
	m, err := s.examined(ctx, b)
	if err != nil {
		return doctor.Report{}, err
	}
	return doctor.Examine(m), nil
}

// examined returns this system as the doctor is to see it.
func (s *System) examined(ctx context.Context, b *bootMenu) (doctor.Machine, error) {
	state, err := b.store.Load()
	if err != nil {
		return doctor.Machine{}, err
	}
	m := doctor.Machine{
		Root: os.DirFS(s.path("/")), Arch: runtime.GOARCH, Inventory: b.inv, Wants: s.wants(ctx, b), Settings: b.asked, Services: allServices(),
		Open: func(v boot.Volume, name string) (fs.File, error) { return b.scan.Open(v, name) },
		Free: func(v boot.Volume) (int64, bool) {
			var st unix.Statfs_t
			mount, ok := b.m.mounts[v.Device]
			if !ok || unix.Statfs(s.path(mount.Point), &st) != nil {
				return 0, false
			}
			return int64(st.Bavail) * st.Bsize, true
		},
		Devices: s.devices(),
	}
	if !state.Kept {
		m.Nowhere = b.store.Where()
	}
	m.Epoch, _ = s.epochCounter(ctx) // where nothing can be read, nothing is refused
	if s.exists(efivars) {
		m.Vars = efivar.Dir(s.path(efivars))
	}
	return m, nil
}

// devices returns all block devices and what is on them, as far as they answer.
func (s *System) devices() []doctor.Device {
	real := machine.Machine{Sysfs: os.DirFS(s.path("/sys"))}
	blocks, _ := real.Devices() // one that cannot be read is none that is booted from
	answers := make([]chan doctor.Device, len(blocks))
	for i, b := range blocks {
		answers[i] = make(chan doctor.Device, 1)
		go func() {
			sb, _ := s.Probe(b.Path) // what cannot be read has no UUID
			if b.PartUUID == "" && b.Partition > 0 && s.Root == "/" {
				b.PartUUID, _ = real.PartUUID(b.Disk, b.Partition)
			}
			answers[i] <- doctor.Device{Name: b.Name, Path: b.Path, UUID: sb.UUID, Label: sb.Label, Type: sb.Type, PartUUID: b.PartUUID, PartLabel: b.PartLabel}
		}()
	}
	var list []doctor.Device
	late := time.After(deviceLimit)
	for i, b := range blocks {
		select {
		case d := <-answers[i]:
			list = append(list, d)
			continue
		default:
		}
		select {
		case d := <-answers[i]:
			list = append(list, d)
		case <-late: // its goroutine ends when it answers
			late = time.After(0)
			list = append(list, doctor.Device{Name: b.Name, Path: b.Path})
		}
	}
	return list
}
