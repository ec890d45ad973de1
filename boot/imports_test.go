package boot_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const ours = "github.com/alpboot/alpboot/"

// leaves are packages that everybody may import. They import nothing of ours.
var leaves = []string{"boot", "boot/cmdline", "boot/cpio", "boot/efivar", "boot/password", "boot/version"}

// arrows are what packages may import of ours, besides leaves. A name that ends
// in /... is a package and all below it, unless one of these has a line of its own.
var arrows = map[string][]string{
	"boot":         {},
	"boot/cmdline": {}, "boot/cpio": {}, "boot/efivar": {}, "boot/password": {}, "boot/version": {},

	"boot/device/...":        {"boot/device/..."},
	"boot/device/superblock": {"boot/device/table"},
	"boot/device/mountinfo":  {"boot/device/superblock"},
	"boot/format/...":        {"boot/format/...", "boot/kernel", "boot/device/superblock"},
	"boot/kernel/...":        {"boot/kernel/...", "boot/device/superblock"},
	"boot/keymap":            {},
	"boot/module":            {"boot/device/superblock"},
	"boot/lasttime":          {"boot/pstore", "boot/watchdog"},
	"boot/manual":            {},
	"boot/manifest":          {"boot/signature"},
	"boot/pointer":           {},
	"boot/pstore":            {},
	"boot/chart":             {},
	"boot/securekeys":        {},
	"boot/signature":         {},
	"boot/sysinfo":           {},
	"boot/tpm":               {},
	"boot/watchdog":          {},

	"boot/choice":   {"boot/remember"},
	"boot/remember": {},
	"boot/settings": {"boot/device/superblock", "boot/remember"},

	"boot/discover": {"boot/device/...", "boot/format/...", "boot/kernel/..."},
	"boot/kexec":    {"boot/kernel/...", "boot/sysinfo"},
	"boot/measure":  {"boot/kernel", "boot/kexec", "boot/tpm"},
	"boot/list":     {"boot/choice", "boot/device/...", "boot/discover", "boot/kexec", "boot/list/readonly", "boot/remember", "boot/settings"},

	"boot/list/readonly": {"boot/device/superblock"},
	"boot/menu/...":      {"boot/menu/..."},

	"boot/payload/...":  {"boot/payload/...", "boot/kernel/...", "boot/module", "boot/remember", "initramfs"},
	"boot/payload/keys": {"boot/payload", "boot/payload/efi", "boot/payload/payloadtest", "boot/securekeys"},
	"boot/payload/esp":  {"boot/payload/...", "boot/remember", "boot/device/mountinfo"},
	"boot/install":      {"boot/payload/...", "boot/device/...", "boot/format/...", "boot/kernel"},
	"boot/session": {
		"boot/chart", "boot/choice", "boot/device/luks", "boot/device/superblock", "boot/discover", "boot/kernel/...", "boot/kexec",
		"boot/keymap", "boot/lasttime", "boot/manifest", "boot/measure", "boot/menu", "boot/pointer", "boot/remember", "boot/securekeys", "boot/settings", "boot/signature", "boot/sysinfo", "boot/tpm", "boot/watchdog",
	},
	"boot/doctor": {"boot/choice", "boot/device/superblock", "boot/format/fstab", "boot/kernel", "boot/manifest", "boot/module", "boot/payload/efi", "boot/payload/esp", "boot/payload/inspect", "boot/securekeys", "boot/settings", "boot/signature"},
	"boot/keep":   {"boot/device/mountinfo", "boot/format/kept", "boot/kernel"},
	"boot/reboot": {
		"boot/choice", "boot/device/...", "boot/discover", "boot/doctor", "boot/format/all", "boot/format/kept", "boot/keep", "boot/kernel/...", "boot/kexec",
		"boot/lasttime", "boot/manifest", "boot/measure", "boot/payload", "boot/payload/esp", "boot/remember", "boot/settings", "boot/signature", "boot/tpm",
	},

	"cmds/...": {"boot/...", "cmds/...", "initramfs"},

	// What only tests import.
	"boot/boottest/...":            {"boot/boottest/...", "boot/device/..."},
	"boot/boottest/hostile":        {"boot/boottest", "boot/format/uki/ukitest"},
	"boot/device/luks/lukstest":    {},
	"boot/format/uki/ukitest":      {"boot/boottest"},
	"boot/tpm/tpmtest":             {"boot/boottest"},
	"boot/signature/signaturetest": {},
	"boot/menu/term/testdata/demo": {"boot/menu/...", "boot/device/superblock"},
	"cmds/lsboot/layouttest":       {"boot/boottest", "boot/device/superblock", "boot/format/uki/ukitest", "qemu-tests/disk"},
}

func matches(pattern, pkg string) bool {
	dir, all := strings.CutSuffix(pattern, "/...")
	return pkg == dir || all && strings.HasPrefix(pkg, dir+"/")
}

// allowed returns the line of arrows for a package.
func allowed(pkg string) ([]string, bool) {
	if list, ok := arrows[pkg]; ok {
		return list, true
	}
	best := ""
	for pattern := range arrows {
		if matches(pattern, pkg) && len(pattern) > len(best) {
			best = pattern
		}
	}
	return arrows[best], best != ""
}

// isTestSupport reports whether only tests may import a package.
func isTestSupport(pkg string) bool {
	return strings.HasSuffix(path.Base(pkg), "test") || matches("boot/boottest/...", pkg) || strings.Contains(pkg, "/testdata/")
}

// wrong returns what is wrong with the imports of a package.
func wrong(pkg string, imports []string) []string {
	list, ok := allowed(pkg)
	if !ok {
		return []string{pkg + " has no place in the table of arrows: add it, where the design has it"}
	}
	var problems []string
	for _, i := range imports {
		i, isOurs := strings.CutPrefix(i, ours)
		switch {
		case !isOurs:
		case isTestSupport(i) && !isTestSupport(pkg):
			problems = append(problems, fmt.Sprintf("%s imports %s, which is for tests", pkg, i))
		case slices.Contains(leaves, i) && !slices.Contains(leaves, pkg):
		case !slices.ContainsFunc(list, func(pattern string) bool { return matches(pattern, i) }):
			problems = append(problems, fmt.Sprintf("%s must not import %s", pkg, i))
		}
	}
	return problems
}

// TestArrows asserts that no arrow between packages points the wrong way.
func TestArrows(t *testing.T) {
	imports := map[string][]string{}
	eachFile(t, func(pkg string, f *ast.File, _ *token.FileSet) {
		imports[pkg] = slices.Grow(imports[pkg], len(f.Imports)) // also of one that imports nothing
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			imports[pkg] = append(imports[pkg], name)
		}
	})
	if len(imports) < 40 {
		t.Fatalf("only %d packages were found", len(imports))
	}
	for _, pkg := range slices.Sorted(maps.Keys(imports)) {
		for _, problem := range wrong(pkg, imports[pkg]) {
			t.Error(problem)
		}
	}
}

// TestArrowsPoint asserts what must not be, whatever is in the table.
func TestArrowsPoint(t *testing.T) {
	for _, tt := range [][2]string{
		{"boot", "boot/cmdline"}, {"boot/efivar", "boot"}, {"boot/version", "boot/cmdline"},
		{"boot/menu", "boot/device"}, {"boot/menu/term", "boot/format/grub"}, {"boot/format/grub", "boot/menu"},
		{"boot/format/bls", "boot/device"}, {"boot/kexec", "boot/format/bls"}, {"boot/kexec", "boot/discover"},
		{"boot/choice", "boot/settings"}, {"boot/discover", "boot/session"}, {"boot/session", "cmds/bootmenu"},
		{"boot/device/luks", "boot/discover"}, {"boot/payload/esp", "boot/menu"}, {"boot/kernel", "boot/boottest"},
		{"boot/new", "boot"},
	} {
		if wrong(tt[0], []string{ours + tt[1]}) == nil {
			t.Errorf("%s may import %s", tt[0], tt[1])
		}
	}
	if problems := wrong("boot/format/new", []string{"fmt", ours + "boot", ours + "boot/format/fspath"}); problems != nil {
		t.Errorf("a new format: %q", problems)
	}
}

// eachFile calls f for each file of the program that is not a test.
func eachFile(t *testing.T, f func(pkg string, file *ast.File, fset *token.FileSet)) {
	t.Helper()
	for _, top := range []string{"boot", "cmds"} {
		err := filepath.WalkDir(filepath.Join("..", top), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			fset := token.NewFileSet()
			name = strings.TrimPrefix(filepath.ToSlash(name), "../")
			file, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
			if err == nil {
				f(path.Dir(name), file, fset)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestLibraries asserts what gobusybox, which links all commands into one program, makes
// matter: no package runs code of its own at the start. Libraries neither log nor print
// but to what they are given.
func TestLibraries(t *testing.T) {
	eachFile(t, func(pkg string, file *ast.File, fset *token.FileSet) {
		if isTestSupport(pkg) {
			return
		}
		where := func(n ast.Node) token.Position { return fset.Position(n.Pos()) }
		for _, i := range file.Imports {
			if i.Path.Value == `"log"` {
				t.Errorf("%v: the package log is global", where(i))
			}
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%v: an init function", where(f))
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok || matches("cmds/...", pkg) {
				return true
			}
			x, _ := s.X.(*ast.Ident)
			if x != nil && (x.Name == "os" && (s.Sel.Name == "Stdout" || s.Sel.Name == "Stderr") || x.Name == "fmt" && strings.HasPrefix(s.Sel.Name, "Print")) {
				t.Errorf("%v: %s.%s in a library", where(s), x.Name, s.Sel.Name)
			}
			return true
		})
	})
}

// absolute are the places that open a path of the running system, besides cmds
// and device/system, and why. Others get an fs.FS or a path.
var absolute = map[string]string{
	"boot/device/loop.go: /dev/loop-control":               "the only way to ask the kernel for a loop device",
	"boot/device/loop.go: /dev/loop%d":                     "which it then names by number",
	"boot/device/mapper/mapper.go: /dev/mapper":            "nodes of mappings, and the control node of device-mapper",
	"boot/device/mount.go: /dev/btrfs-control":             "the only way to register a device with btrfs",
	"boot/device/write.go: /proc/self/fd/%d":               "an os.Root of an open directory, which has no path",
	"boot/payload/esp/disk_linux.go: /dev":                 "the disk of a partition that is mounted here",
	"boot/payload/esp/disk_linux.go: /sys/dev/block/%d:%d": "which sysfs knows by its number",

	"boot/payload/linux/linux.go: /usr/src/linux-source-6.12.tar.xz": "the source of Linux, where Debian's package has it",
}

// TestAbsolutePaths asserts that libraries open nothing of the running system by
// an absolute path.
func TestAbsolutePaths(t *testing.T) {
	found := map[string]bool{}
	eachFile(t, func(pkg string, file *ast.File, fset *token.FileSet) {
		if matches("cmds/...", pkg) || pkg == "boot/device/system" || isTestSupport(pkg) {
			return
		}
		for _, opened := range openedPaths(file) {
			found[fset.Position(file.Pos()).Filename+": "+opened] = true
		}
	})
	for place := range found {
		if absolute[place] == "" {
			t.Errorf("%s: an absolute path is opened; take an fs.FS or a path from the command", place)
		}
	}
	for place := range absolute {
		if !found[place] {
			t.Errorf("%s: is not opened any more; take it off the list", place)
		}
	}
}

func TestOpenedPaths(t *testing.T) {
	const text = `package p
const a, b = "x", "/dev/b"
func f(s system) {
	os.Open("/proc/a"); os.DirFS("/"); os.ReadFile(filepath.Join("/sys", x)); os.OpenFile(fmt.Sprintf("/dev/%d", n), 0, 0)
	os.Stat("/run/" + x); os.Stat(b); filepath.EvalSymlinks("/c"); unix.Open("/d", 0, 0)
	os.Open(s.path("/proc/e")); os.Open("f"); os.Open(a); strings.TrimPrefix(x, "/dev/"); os.Open(strings.TrimPrefix(x, "/dev/"))
	v := fmt.Sprintf("/dev/v%d", n); os.Open(v)
}`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/proc/a", "/", "/sys", "/dev/%d", "/run/", "/dev/b", "/c", "/d", "/dev/v%d"}
	if got := openedPaths(file); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// openedPaths returns the absolute paths that a file passes to functions of
// packages that open files, as literals, constants, or the beginning of a path
// that is made there.
func openedPaths(file *ast.File) []string {
	constants := map[string]string{}
	for _, d := range file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.CONST {
			continue
		}
		for _, s := range decl.Specs {
			spec := s.(*ast.ValueSpec)
			for i, v := range spec.Values {
				if text, ok := literal(v); ok {
					constants[spec.Names[i].Name] = text
				}
			}
		}
	}
	var paths []string
	variables := map[string]ast.Expr{} // that are assigned once, by their names
	ast.Inspect(file, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && a.Tok == token.DEFINE && len(a.Lhs) == 1 && len(a.Rhs) == 1 {
			if id, ok := a.Lhs[0].(*ast.Ident); ok {
				variables[id.Name] = a.Rhs[0]
			}
		}
		return true
	})
	var look func(e ast.Expr)
	look = func(e ast.Expr) {
		text, ok := literal(e)
		switch e := e.(type) {
		case *ast.Ident:
			text, ok = constants[e.Name]
			if v := variables[e.Name]; v != nil {
				delete(variables, e.Name) // once is enough, and it may name itself
				look(v)
			}
		case *ast.BinaryExpr:
			look(e.X)
		case *ast.CallExpr:
			if fn := function(e); len(e.Args) > 0 && (fn == "fmt.Sprintf" || fn == "filepath.Join" || fn == "path.Join") {
				look(e.Args[0])
			}
		}
		if ok && strings.HasPrefix(text, "/") {
			paths = append(paths, text)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			pkg, _, _ := strings.Cut(function(call), ".")
			if pkg == "os" || pkg == "unix" || pkg == "syscall" || function(call) == "filepath.EvalSymlinks" {
				for _, arg := range call.Args {
					look(arg)
				}
			}
		}
		return true
	})
	return paths
}

// function returns the name of a function with its package, "" for what is none.
func function(call *ast.CallExpr) string {
	if s, ok := call.Fun.(*ast.SelectorExpr); ok {
		if pkg, ok := s.X.(*ast.Ident); ok {
			return pkg.Name + "." + s.Sel.Name
		}
	}
	return ""
}

func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(l.Value)
	return text, err == nil
}
