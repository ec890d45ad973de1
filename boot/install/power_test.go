package install

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot/payload"
)

// powerCut is what cutting panics with.
type powerCut struct{}

// cutting are files with a power cut in the midst of an operation. What an operation
// leaves then is one of several ways; a filesystem without a journal has some more of
// them. What is done without Sync after the one before is a failure of the test: then
// the ways would be many more.
type cutting struct {
	Files
	t         *testing.T
	n         *int // operations so far
	at, way   int  // the operation in which power goes, and what it leaves
	ways      *int // of that operation
	isPending *string
}

// op does one of the ways of an operation, the last of which is all of it.
func (c cutting) op(what string, ways ...func() error) error {
	if *c.isPending != "" {
		c.t.Fatalf("%s comes before %s is on the disk", what, *c.isPending)
	}
	*c.isPending = what
	*c.n++
	if *c.n != c.at {
		return ways[len(ways)-1]()
	}
	*c.ways = len(ways)
	if c.way > 0 {
		ways[c.way-1]()
	}
	panic(powerCut{})
}

func (c cutting) Sync() error {
	*c.isPending = ""
	return c.Files.Sync()
}

func (c cutting) Write(name string, data []byte) error {
	err := c.op("writing "+name,
		func() error { return c.Files.Write(name, data[:len(data)/2]) },
		func() error { return c.Files.Write(name, data) })
	*c.isPending = "" // it returns when all is on the disk
	return err
}

func (c cutting) Remove(name string) error {
	return c.op("removing "+name, func() error { return c.Files.Remove(name) })
}

// both makes to hold what from does, as when both entries of a directory lead to it.
func (c cutting) both(from, to string) error {
	b, err := c.Files.Read(from)
	if err != nil {
		return err
	}
	if err := c.Files.Remove(to); err != nil && !os.IsNotExist(err) {
		return err
	}
	return c.Files.Write(to, b)
}

func (c cutting) Rename(from, to string) error {
	return c.op("renaming "+from,
		func() error { return c.both(from, to) },
		func() error { return c.Files.Rename(from, to) })
}

func (c cutting) Exchange(a, b string) error {
	return c.op("exchanging "+a,
		func() error { return c.both(a, b) },
		func() error { return c.both(b, a) },
		func() error { return c.Files.Exchange(a, b) })
}

// In whichever operation power goes, and whatever that leaves: what the loader starts
// is there, whole. Doing the same again ends it, or names what fsck has to do first.
func TestPowerCuts(t *testing.T) {
	one, two := makeImages(t)
	cuts := 0
	for _, s := range systems() {
		t.Run(s.name, func(t *testing.T) {
			for stage, do := range map[string]func(Machine, payload.Output) error{
				"install":   Setup{Image: one}.Install,
				"update":    Setup{Image: two}.Update,
				"uninstall": Setup{}.Uninstall,
			} {
			operations:
				for at := 1; ; at++ {
					ways := 1
					for way := 0; way <= ways; way++ {
						o := s.make(t)
						before := o.tree(t)
						if stage != "install" {
							if _, err := o.do(Setup{Image: one}.Install); err != nil {
								needExchange(t, err)
								t.Fatal(err)
							}
						}
						whole := o
						n, pending := 0, ""
						o.files = func(dir string) Files {
							return cutting{o.open(dir), t, &n, at, way, &ways, &pending}
						}
						cut, err := func() (cut bool, err error) {
							defer func() {
								if p := recover(); p != nil {
									if p != any(powerCut{}) {
										panic(p)
									}
									cut = true
								}
							}()
							_, err = o.do(do)
							return false, err
						}()
						if !cut {
							if err != nil {
								needExchange(t, err)
								t.Fatal(err)
							}
							break operations
						}
						cuts++
						when := fmt.Sprintf("%s, power cut in operation %d, way %d", stage, at, way)
						t.Log(when)
						first, besides := whole.loads(t)
						if first != "alpboot" && first != s.starts || besides != s.starts {
							t.Fatalf("%s: it starts %q, and %q without alpboot", when, first, besides)
						}
						out, err := whole.do(do)
						if err != nil && strings.Contains(err.Error(), "a second name of") {
							b := whole.tree(t)
							if !slices.ContainsFunc(slices.Collect(maps.Keys(b)), func(n string) bool { return strings.HasSuffix(n, "-new") }) {
								t.Errorf("%s: %v, without reason", when, err)
							}
							continue
						}
						if err != nil && !(stage == "uninstall" && strings.Contains(err.Error(), "not installed")) {
							t.Fatalf("%s: then %q, %v", when, out, err)
						}
						after := whole.tree(t)
						first, _ = whole.loads(t)
						if want := map[string]string{"uninstall": s.starts}[stage]; want == "" && first != "alpboot" || want != "" && first != want {
							t.Errorf("%s: then it starts %q", when, first)
						}
						if stage == "uninstall" && err == nil && !maps.Equal(after, before) {
							t.Errorf("%s: then there is %q\nwant %q", when, slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(before)))
						}
						images, _ := filepath.Glob(filepath.Join(filepath.Dir(filepath.Join(whole.root, s.config)), Dir, "*"))
						if stage != "uninstall" && len(images) != 2 {
							t.Errorf("%s: then there are the images %q", when, images)
						}
					}
				}
			}
		})
	}
	if cuts < 100 {
		t.Errorf("only %d power cuts", cuts)
	}
}
