package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/alpboot/alpboot/qemu-tests/assets"
	"github.com/alpboot/alpboot/qemu-tests/debian"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// How a film looks. What does not change for longer than longest is cut: an
// emulated machine takes its time.
const (
	perSecond = 5
	longest   = 1200 * time.Millisecond
	ending    = 5 * time.Second // of the last picture
	maxFilm   = 1 << 20         // bytes
)

// makeFilm films the screen of a machine with two systems, from its firmware to
// the target: for the README.
func makeFilm(a *assets.Assets, progress io.Writer, file string) error {
	o, err := filmed(a, progress)
	if err != nil {
		return err
	}
	m, err := vm.Launch(o)
	if err != nil {
		return err
	}
	defer os.RemoveAll(m.Dir())
	defer m.Stop()
	c := &camera{m: m, stop: make(chan struct{})}
	var filming sync.WaitGroup
	filming.Go(c.run)
	err = play(m)
	close(c.stop)
	filming.Wait()
	if err = errors.Join(err, c.err); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, c.film()); err != nil {
		return err
	}
	fmt.Fprintf(progress, "%s: %d pictures, %d kB\n", file, len(c.shots), b.Len()/1000)
	if b.Len() > maxFilm {
		return fmt.Errorf("the film has %d bytes, more than %d", b.Len(), maxFilm)
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// filmed returns the machine: Alpine on its own disk, and Debian on one that
// answers later.
func filmed(a *assets.Assets, progress io.Writer) (vm.Options, error) {
	const options = "console=ttyS0,115200 console=tty0 quiet no_timer_check"
	in, err := demoInstall(a, options)
	if err != nil {
		return vm.Options{}, err
	}
	fmt.Fprintln(progress, "Making the disks of the film ...")
	alpine := disk.OneRoot(in)
	root := &alpine.Partitions[0].FS
	root.Files = append(root.Files, disk.File{Path: "etc/hostname", Data: []byte("alpine\n")})
	const uuid = "0d5c4a1e-6b1f-4a44-9d6c-1f2e3d4c5b6a"
	k, err := a.Debian(debian.Older)
	if err != nil {
		return vm.Options{}, err
	}
	other := disk.Layout{Table: disk.GPT, Partitions: []disk.Partition{{Size: 64, FS: disk.FS{Type: "ext4", UUID: uuid, Files: []disk.File{
		{Path: "etc/os-release", Data: []byte("ID=debian\nVERSION_ID=12\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n")},
		{Path: "etc/hostname", Data: []byte("workshop\n")},
		{Path: "boot/vmlinuz-" + k.Release, From: k.Image},
		{Path: "boot/initrd.img-" + k.Release, Data: in.Kernels[1].Initramfs},
		{Path: "boot/grub/grub.cfg", Data: fmt.Appendf(nil, `set default=0
set timeout=5
menuentry 'Debian GNU/Linux' {
	linux /boot/vmlinuz-%s root=UUID=%s ro %s
	initrd /boot/initrd.img-%[1]s
}
menuentry 'Debian GNU/Linux (recovery mode)' {
	linux /boot/vmlinuz-%[1]s root=UUID=%[2]s ro single %[3]s
	initrd /boot/initrd.img-%[1]s
}
`, k.Release, uuid, options)},
	}}}}}
	var drives []vm.Drive
	for _, d := range []struct {
		name   string
		layout disk.Layout
		bus    vm.Bus
	}{{"film-alpine.img", alpine, vm.Virtio}, {"film-debian.img", other, vm.USB}} {
		file := a.Path(d.name)
		if err := d.layout.Write(file); err != nil {
			return vm.Options{}, err
		}
		drives = append(drives, vm.Drive{File: file, Bus: d.bus})
	}
	o, err := demo{memory: 2048, parameters: "console=tty0 quiet alpboot.timeout=20"}.machine(a, drives)
	o.Display = vm.VGA
	return o, err
}

// play is what happens in the film.
func play(m *vm.VM) error {
	const (
		start = 3 * time.Minute // of a kernel, at most
		draw  = time.Minute
	)
	look := func(d time.Duration) { <-time.After(d) } // for whoever sees the film
	press := func(pause time.Duration, keys ...vm.Key) error {
		for _, k := range keys {
			if err := m.SendKey(k); err != nil {
				return err
			}
			look(pause)
		}
		return nil
	}
	await := func(limit time.Duration, c vm.Condition) error { _, err := m.Serial(0).Await(limit, c); return err }
	// The list with the countdown, and along its entries.
	if err := await(start, vm.OnScreen("Any key")); err != nil {
		return err
	}
	look(2 * time.Second)
	if err := press(700*time.Millisecond, vm.Down, vm.Down, vm.Down, vm.Up); err != nil {
		return err
	}
	if err := press(0, "i"); err != nil {
		return err
	}
	if err := await(draw, vm.OnScreen("Details")); err != nil {
		return err
	}
	look(3 * time.Second)
	if err := press(700*time.Millisecond, vm.Escape, vm.Home); err != nil {
		return err
	}
	// A parameter for this boot only.
	if err := press(0, "e"); err != nil {
		return err
	}
	if err := await(draw, vm.OnScreen("for this boot only")); err != nil {
		return err
	}
	look(1500 * time.Millisecond)
	if err := press(200*time.Millisecond, " ", "s", "i", "n", "g", "l", "e"); err != nil {
		return err
	}
	look(time.Second)
	if err := press(0, vm.Enter); err != nil {
		return err
	}
	if err := await(start, vm.InLog("Press Enter to switch the machine off.")); err != nil {
		return err
	}
	look(2 * time.Second)
	return nil
}

// camera takes pictures of a machine's screen.
type camera struct {
	m    *vm.VM
	stop chan struct{}

	// These belong to run.
	shots   []shot
	palette color.Palette
	err     error
}

// shot is the screen from a time on.
type shot struct {
	at    time.Duration
	image *image.Paletted
}

// run takes pictures until stop is closed. Those that show what the one before
// does are left out.
func (c *camera) run() {
	dump := filepath.Join(c.m.Dir(), "film.png")
	ticker := time.NewTicker(time.Second / perSecond)
	defer ticker.Stop()
	for {
		at := c.m.Since()
		if c.err = c.m.Screendump(dump); c.err != nil {
			return
		}
		b, err := os.ReadFile(dump)
		if err == nil {
			err = c.take(at, b)
		}
		if c.err = err; err != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-c.stop:
			return
		}
	}
}

// take adds a picture, as PNG.
func (c *camera) take(at time.Duration, b []byte) error {
	src, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return err
	}
	r := src.Bounds()
	img := image.NewPaletted(image.Rect(0, 0, r.Dx(), r.Dy()), nil)
	known := map[color.RGBA]uint8{}
	for i, c := range c.palette {
		known[c.(color.RGBA)] = uint8(i)
	}
	for y := range r.Dy() {
		for x := range r.Dx() {
			rgba := color.RGBAModel.Convert(src.At(r.Min.X+x, r.Min.Y+y)).(color.RGBA)
			i, ok := known[rgba]
			if !ok {
				if len(c.palette) == 256 {
					return errors.New("the screen has more than 256 colours")
				}
				i = uint8(len(c.palette))
				known[rgba] = i
				c.palette = append(c.palette, rgba)
			}
			img.Pix[y*img.Stride+x] = i
		}
	}
	if n := len(c.shots); n > 0 && c.shots[n-1].image.Rect == img.Rect && bytes.Equal(c.shots[n-1].image.Pix, img.Pix) {
		return nil
	}
	c.shots = append(c.shots, shot{at, img})
	return nil
}

// film returns the pictures as an animation: of each but the first only what has
// changed, each as long as it was there, but for long waits.
func (c *camera) film() *gif.GIF {
	var size image.Rectangle
	for _, s := range c.shots {
		size = size.Union(s.image.Rect)
	}
	for len(c.palette) < 2 {
		c.palette = append(c.palette, color.RGBA{A: 255})
	}
	g := &gif.GIF{Config: image.Config{ColorModel: c.palette, Width: size.Dx(), Height: size.Dy()}}
	black := uint8(c.palette.Index(color.RGBA{A: 255}))
	before := image.NewPaletted(size, c.palette)
	for i, s := range c.shots {
		next := image.NewPaletted(size, c.palette)
		for j := range next.Pix {
			next.Pix[j] = black
		}
		s.image.Palette = c.palette
		// A screen of another size is shown in the middle.
		at := s.image.Rect.Add(size.Size().Sub(s.image.Rect.Size()).Div(2))
		draw.Draw(next, at, s.image, image.Point{}, draw.Src)
		lasts := ending
		if i+1 < len(c.shots) {
			lasts = min(c.shots[i+1].at-s.at, longest)
		}
		part := size
		if i > 0 {
			part = changed(before, next)
		}
		g.Image = append(g.Image, next.SubImage(part).(*image.Paletted))
		g.Delay = append(g.Delay, max(2, int(lasts/(10*time.Millisecond))))
		g.Disposal = append(g.Disposal, gif.DisposalNone)
		before = next
	}
	return g
}

// changed returns the smallest rectangle with all that differs in two pictures of
// one size.
func changed(a, b *image.Paletted) image.Rectangle {
	var r image.Rectangle
	for y := a.Rect.Min.Y; y < a.Rect.Max.Y; y++ {
		for x := a.Rect.Min.X; x < a.Rect.Max.X; x++ {
			if a.ColorIndexAt(x, y) != b.ColorIndexAt(x, y) {
				r = r.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	if r.Empty() { // a frame has to have something
		r = image.Rect(0, 0, 1, 1)
	}
	return r
}
