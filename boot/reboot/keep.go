package reboot

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot"
	"github.com/alpboot/alpboot/boot/cmdline"
	"github.com/alpboot/alpboot/boot/keep"
)

// keeper returns what keeps the kernels of the system.
func (s *System) keeper(ctx context.Context) *keep.Keeper {
	return &keep.Keeper{
		Root: s.Root, Release: s.Release, Space: keep.Space,
		Standing: func(kernel string) (bool, string) { return s.standing(ctx, kernel) },
	}
}

// signLimit is how long apk's hook waits for a passphrase or a touch.
const signLimit = 2 * time.Minute

// Keep does what apk's hook asks for, by the word that apk calls it with: before
// packages are changed it keeps the running kernel, and afterwards it puts back
// what was removed of what is kept. Where a key is set up for that, it has what may
// start signed: before, so that what was kept starts when the power is cut amid the change, and
// afterwards. It prints nothing but what a user should know.
func (s *System) Keep(ctx context.Context, when string) error {
	k := s.keeper(ctx)
	switch when {
	case "pre-commit":
		said, err := k.Before()
		if said != "" {
			s.say("alpboot: %s", said)
		}
		if k.Made() {
			s.signKept(ctx, "what was kept")
		}
		return err
	case "post-commit":
		err := k.After()
		s.signKept(ctx, "what starts next")
		return err
	}
	return fmt.Errorf("keep is called with pre-commit or post-commit, not %q", when)
}

// signKept has what may start signed where a key is set up. What the program asks for, and
// what went wrong, is printed where the user of apk sees it: the hook shows no errors.
func (s *System) signKept(ctx context.Context, what string) {
	ctx, cancel := context.WithTimeout(ctx, signLimit)
	defer cancel()
	loud := *s
	loud.Stderr = s.Stdout
	if err := loud.Sign(ctx, SignOptions{IfNeeded: true}); err != nil {
		s.say("alpboot: %s is not signed: %v; run alpboot sign", what, err)
	}
}

// standing reports whether the boot menu waits for the report that this system is up,
// and the command line of the kernel that runs: as its entry has it when it was
// started with all of that, so that what was typed or added for once is left
// out.
func (s *System) standing(ctx context.Context, kernel string) (waiting bool, line string) {
	b := s.bootMenu(ctx)
	defer b.close()
	if state, err := b.store.Load(); err == nil {
		waiting = state.Kept && state.Trying != ""
	}
	running := cmdline.Parse(s.cmdline())
	for _, guessed := range []bool{false, true} {
		for _, e := range b.inv.Entries {
			words := cmdline.Parse(e.Cmdline)
			if e.Guessed != guessed || e.Previous || len(words) == 0 || !s.isFile(b.m, e, kernel) || !hasAll(running, words) {
				continue
			}
			for _, w := range running { // the menu adds its consoles to a guess
				if guessed && strings.HasPrefix(w, "console=") && !slices.Contains(words, w) {
					words = append(words, w)
				}
			}
			return waiting, words.String()
		}
	}
	return waiting, running.String()
}

// hasAll reports whether all words are in a command line.
func hasAll(line, words cmdline.Line) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(line, w) })
}

// isFile reports whether the kernel of an entry is a file of this system.
func (s *System) isFile(m *mounted, e boot.Entry, name string) bool {
	mnt, ok := m.mounts[e.Volume.Device]
	if !ok {
		return false
	}
	at := path.Join(mnt.Point, e.Kernel)
	if rest, below := cutDir(e.Kernel, mnt.Root); below { // a btrfs is shown from its top
		at = path.Join(mnt.Point, rest)
	}
	return at == name
}

// cutDir returns name without the directory dir that it is in.
func cutDir(name, dir string) (string, bool) {
	name, dir = path.Join("/", name), path.Join("/", dir)
	if dir == "/" || len(name) <= len(dir) || name[:len(dir)+1] != dir+"/" {
		return "", false
	}
	return name[len(dir)+1:], true
}
