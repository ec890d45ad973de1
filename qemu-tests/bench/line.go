package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hinshun/vt10x"
	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/boottest"
	"github.com/alpboot/alpboot/qemu-tests/assets"
	"github.com/alpboot/alpboot/qemu-tests/disk"
	"github.com/alpboot/alpboot/qemu-tests/target"
	"github.com/alpboot/alpboot/qemu-tests/vm"
)

// Line is what a menu costs on a serial line of 9600 baud, 80x24, by step. A
// step that a menu does not have is missing.
type Line struct {
	Name  string          `json:"name"`
	Steps map[string]Cost `json:"steps"`
}

// Cost is what one key, or the start of a menu, takes on a slow line.
type Cost struct {
	Bytes   int   `json:"bytes"`
	Settled int64 `json:"settled_ms"` // from the key until the screen changes no more
}

// lineSteps are the rows of the table, in order.
var lineSteps = []mark{
	{"first", "first screen"},
	{"move", "one entry further"},
	{"help", "help"},
	{"edit", "editing the command line"},
	{"back", "back to the list"},
}

// lineKey is one step.
type lineKey struct {
	step string
	keys string // as a VT100 sends them
}

// lineSubject is a menu on a slow line.
type lineSubject struct {
	name  string
	begin string // the first bytes of its first screen
	keys  []lineKey
}

var lineSubjects = struct{ alpboot, uroot, grub lineSubject }{
	lineSubject{"alpboot", "\x1b(B", []lineKey{
		{"move", "\x1b[B"}, {"help", "?"}, {"back", "q"}, {"edit", "e"},
	}},
	// It has no cursor: the number of an entry is typed. Its editor asks for a
	// number, too; it has no help, and shows the list once.
	lineSubject{"u-root v0.16.0 boot", "\x1b[1;1H\x1b[2J", []lineKey{
		{"move", "2"}, {"edit", "\x7fe\r2\r"},
	}},
	lineSubject{"GRUB", "\x1b[?25l", []lineKey{
		{"move", "\x1b[B"}, {"edit", "e"}, {"back", "\x1b"},
	}},
}

const (
	lineRate  = 9600 / 10 // bytes a second: eight bits, a start and a stop bit
	lineQuiet = time.Second
)

// lines measures what r has about slow lines, and nothing else.
func (r *Report) lines(a *assets.Assets, progress io.Writer) error {
	subjects, kernel, err := prepare(a, "")
	if err != nil {
		return err
	}
	r.Lines, err = benchLine(a, kernel, subjects, progress)
	return err
}

// benchLine measures all of them, one after the other.
func benchLine(a *assets.Assets, kernel string, subjects []subject, progress io.Writer) ([]Line, error) {
	drive, err := lineDisk(a)
	if err != nil {
		return nil, err
	}
	var all []Line
	for _, s := range subjects {
		of := lineSubjects.alpboot
		switch {
		case s.name == lineSubjects.uroot.name:
			of = lineSubjects.uroot
		case len(all) > 0:
			continue // the second image of ours shows the same menu
		}
		fmt.Fprintf(progress, "9600 baud: %s ...\n", of.name)
		l, err := lineOfVM(vm.Options{
			Kernel: kernel, Initrd: s.initrd, Cmdline: "console=ttyS0,115200 quiet " + s.parameters,
			Drives: []vm.Drive{{File: drive}}, Dir: a.Path("bench", "logs", "line-"+filepath.Base(s.initrd)),
		}, s, of)
		if err != nil {
			return nil, fmt.Errorf("%s at 9600 baud: %w", of.name, err)
		}
		all = append(all, l)
	}
	fmt.Fprintf(progress, "9600 baud: %s ...\n", lineSubjects.grub.name)
	l, err := lineOfGRUB(a)
	if err != nil {
		return nil, fmt.Errorf("GRUB at 9600 baud: %w", err)
	}
	return append(all, l), nil
}

// lineFlavours are the entries that all of them show.
var lineFlavours = []string{"lts", "virt", "edge", "rpi", "old"}

func lineTitle(flavour string) string { return "Alpine Linux 3.22, linux-" + flavour }

const lineCmdline = "root=UUID=5f1f3a0e-8a58-4c3c-9c1e-7d3c2ad0f1b2 modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4"

func lineDisk(a *assets.Assets) (string, error) {
	initramfs, err := target.Initramfs(target.Image{Files: map[string]string{"small": "yes"}})
	if err != nil {
		return "", err
	}
	files := []disk.File{{Path: "initramfs", Data: initramfs}}
	conf := ""
	for _, f := range lineFlavours {
		files = append(files, disk.File{Path: "vmlinuz-" + f, Data: boottest.BzImage("6.12.63-0-" + f)})
		conf += fmt.Sprintf("LABEL %s\n  MENU LABEL %s\n  LINUX vmlinuz-%s\n  INITRD initramfs\n  APPEND %s\n", f, lineTitle(f), f, lineCmdline)
	}
	files = append(files, disk.File{Path: "extlinux.conf", Data: []byte(conf)})
	file := a.Path("bench", "line.img")
	return file, disk.Layout{Table: disk.MBR, Partitions: []disk.Partition{{Size: 8, FS: disk.FS{Type: "ext4", Files: files}}}}.Write(file)
}

// lineOfVM measures the menu of a virtual machine. Its serial port is read at
// once and what it sends is held back; the messages of its kernel, before the
// first screen, are not.
func lineOfVM(o vm.Options, s subject, of lineSubject) (Line, error) {
	m, err := vm.Launch(o)
	if err != nil {
		return Line{}, err
	}
	defer m.Stop()
	c := m.Serial(0)
	if _, err := c.Await(5*time.Minute, vm.InLog(of.begin)); err != nil {
		return Line{}, err
	}
	far := newFarEnd(func(keys string) { c.Type(vm.Key(keys)) })
	go func() {
		from := strings.Index(c.Log(), of.begin)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			log := c.Log()
			far.feed([]byte(log[from:]))
			from = len(log)
			select {
			case <-far.done:
				return
			case <-tick.C:
			}
		}
	}()
	return far.measure(of)
}

// lineOfGRUB measures GRUB's own menu in grub-emu, on a pseudo terminal. It
// draws as for a serial terminal: a VT100 without UTF-8.
func lineOfGRUB(a *assets.Assets) (Line, error) {
	config := "terminfo -a console vt100\nset timeout=-1\n"
	for _, f := range lineFlavours {
		config += fmt.Sprintf("menuentry '%s' {\n\tlinux /boot/vmlinuz-%s %s\n\tinitrd /boot/initramfs\n}\n", lineTitle(f), f, lineCmdline)
	}
	file := a.Path("bench", "grub-emu", "grub.cfg")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return Line{}, err
	}
	master, slave, err := openPTY()
	if err != nil {
		return Line{}, err
	}
	defer master.Close()
	cmd := exec.Command("grub-emu", "-d", filepath.Dir(file), "-r", "host")
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TERM=vt100")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	slave.Close()
	if err != nil {
		return Line{}, err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	far := newFarEnd(func(keys string) { master.WriteString(keys) })
	go func() {
		var before []byte // until the first screen begins
		begun := false
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			if err != nil {
				return
			}
			if begun {
				far.feed(b[:n])
				continue
			}
			before = append(before, b[:n]...)
			if i := bytes.Index(before, []byte(lineSubjects.grub.begin)); i >= 0 {
				begun = true
				far.feed(before[i:])
			}
		}
	}()
	return far.measure(lineSubjects.grub)
}

// openPTY returns a terminal of 80x24 and its far end.
func openPTY() (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			master.Close()
		}
	}()
	c, err := master.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	n := 0
	cerr := c.Control(func(fd uintptr) {
		err = errors.Join(unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0),
			unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: vm.Rows, Col: vm.Columns}))
		if err == nil {
			n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err = errors.Join(cerr, err); err != nil {
		return nil, nil, err
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	return master, slave, err
}

// farEnd is a terminal behind a slow line.
type farEnd struct {
	press func(keys string)
	term  vt10x.Terminal
	done  chan struct{} // closed when all is measured

	mu      sync.Mutex
	waiting []byte    // on the line
	last    time.Time // when the line moved last
	bytes   int       // that have arrived
	changed time.Time // when the screen did last
	heard   time.Time // when the other end sent something last
}

func newFarEnd(press func(keys string)) *farEnd {
	now := time.Now()
	return &farEnd{press: press, term: vt10x.New(vt10x.WithSize(vm.Columns, vm.Rows)), done: make(chan struct{}), last: now, heard: now}
}

// feed takes what the other end sends.
func (f *farEnd) feed(b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(b) > 0 {
		f.waiting = append(f.waiting, b...)
		f.heard = time.Now()
	}
}

// carry brings to the terminal, byte by byte, what the line has had the time
// for. It reports whether there is nothing more to come.
func (f *farEnd) carry() (quiet bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	const each = time.Second / lineRate
	if len(f.waiting) == 0 {
		f.last = now
	}
	for len(f.waiting) > 0 && now.Sub(f.last) >= each {
		f.last = f.last.Add(each)
		before := f.screen()
		f.term.Write(f.waiting[:1])
		f.waiting = f.waiting[1:]
		f.bytes++
		if f.screen() != before {
			f.changed = f.last
		}
	}
	return len(f.waiting) == 0 && now.Sub(f.heard) > lineQuiet
}

// screen is all that is seen but the cursor.
func (f *farEnd) screen() (cells [vm.Rows][vm.Columns]vt10x.Glyph) {
	f.term.Lock()
	defer f.term.Unlock()
	for y := range cells {
		for x := range cells[y] {
			cells[y][x] = f.term.Cell(x, y)
		}
	}
	return cells
}

// settle waits until nothing more comes of what began at a time.
func (f *farEnd) settle(begin time.Time, before int) (Cost, error) {
	const most = time.Minute
	for end := begin.Add(most); !f.carry(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return Cost{}, fmt.Errorf("the screen does not settle:\n%s", f.term)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := Cost{Bytes: f.bytes - before, Settled: f.changed.Sub(begin).Milliseconds()}
	if c.Bytes == 0 || c.Settled < 0 {
		return c, fmt.Errorf("nothing changes on the screen:\n%s", f.term)
	}
	return c, nil
}

// measure goes through the steps of a menu. The first screen counts from its
// first byte.
func (f *farEnd) measure(of lineSubject) (Line, error) {
	defer close(f.done)
	l := Line{of.name, map[string]Cost{}}
	const start = 30 * time.Second
	end := time.Now().Add(start)
	for f.carry(); f.bytes == 0; f.carry() {
		if time.Now().After(end) {
			return l, errors.New("no menu appears")
		}
		time.Sleep(time.Millisecond)
	}
	cost, err := f.settle(f.last, 0)
	l.Steps["first"] = cost
	for _, k := range of.keys {
		if err != nil {
			break
		}
		before, begin := f.bytes, time.Now()
		f.press(k.keys)
		f.mu.Lock()
		f.heard = begin
		f.mu.Unlock()
		if l.Steps[k.step], err = f.settle(begin, before); err != nil {
			err = fmt.Errorf("%s: %w", k.step, err)
		}
	}
	return l, err
}

// lineTable prints that for docs/benchmarks.md.
func (r Report) lineTable(w io.Writer) {
	fmt.Fprint(w, "\n| on a line of 9600 baud: bytes, s |")
	for _, l := range r.Lines {
		fmt.Fprintf(w, " %s |", l.Name)
	}
	fmt.Fprintln(w, "\n|---"+strings.Repeat("|---:", len(r.Lines))+"|")
	for _, s := range lineSteps {
		fmt.Fprintf(w, "| %s |", s.About)
		for _, l := range r.Lines {
			if c, ok := l.Steps[s.Key]; ok {
				fmt.Fprintf(w, " %d, %.2f |", c.Bytes, float64(c.Settled)/1000)
			} else {
				fmt.Fprint(w, " - |")
			}
		}
		fmt.Fprintln(w)
	}
}
