package openrc

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// The source of busybox that Debian 13 and Alpine 3.22 have.
const (
	busyboxVersion = "1.37.0"
	busyboxURL     = "http://deb.debian.org/debian/pool/main/b/busybox/busybox_" + busyboxVersion + ".orig.tar.bz2"
	busyboxSum     = "3311dff32e746499f4df0d5df04d7eb396382d7e108bb9250e7b519b837043a4"
)

// rebootAction adds to init the action "reboot" in the way of Alpine's busybox
// from 1.37.0-r13 on (aports b45665c4): on SIGTERM it is done in place of
// "shutdown", where inittab has it. Each pair is a text of init/init.c and what
// comes in its place.
var rebootAction = [][2]string{
	{"#define RESTART     0x80\n", "#define REBOOT      0x80\n#define RESTART     0x100\nstatic int goes_down_by;\n"},
	{"uint8_t action_type", "unsigned action_type"},
	{`"shutdown\0""restart\0"`, `"shutdown\0""reboot\0""restart\0"`},
	{"CTRLALTDEL | SHUTDOWN)", "CTRLALTDEL | SHUTDOWN | REBOOT)"},
	{"\trun_actions(SHUTDOWN);\n", `	{
		struct init_action *a;
		int what = SHUTDOWN;
		for (a = G.init_action_list; a; a = a->next)
			if (goes_down_by == SIGTERM && (a->action_type & REBOOT))
				what = REBOOT;
		run_actions(what);
	}
`},
	{"static void halt_reboot_pwoff(int sig)\n{\n", "static void halt_reboot_pwoff(int sig)\n{\n\tgoes_down_by = sig;\n"},
}

// buildInit returns the path of a busybox that is init and nothing else.
func buildInit(cache string) (string, error) {
	dir := filepath.Join(cache, "busybox-init-"+busyboxVersion)
	return filepath.Join(dir, "busybox"), once(cache, dir, func(work string) error {
		archive := filepath.Join(work, "busybox.tar.bz2")
		if err := run(work, "/usr/lib/apt/apt-helper", "download-file", busyboxURL, archive, "SHA256:"+busyboxSum); err != nil {
			return fmt.Errorf("downloading the source of busybox: %w", err)
		}
		if err := run(work, "tar", "xf", archive); err != nil {
			return err
		}
		source := filepath.Join(work, "busybox-"+busyboxVersion)
		if err := edit(filepath.Join(source, "init/init.c"), rebootAction); err != nil {
			return err
		}
		if err := run(source, "make", "allnoconfig"); err != nil {
			return err
		}
		var options [][2]string
		for _, name := range []string{"STATIC", "INIT", "FEATURE_USE_INITTAB"} {
			options = append(options, [2]string{"# CONFIG_" + name + " is not set\n", "CONFIG_" + name + "=y\n"})
		}
		// The options under INIT are there only now, and stay off.
		if err := edit(filepath.Join(source, ".config"), options); err != nil {
			return err
		}
		if err := run(source, "sh", "-c", fmt.Sprintf("yes '' | make oldconfig && make -j%d", runtime.NumCPU())); err != nil {
			return err
		}
		out := filepath.Join(work, "out")
		if err := os.Mkdir(out, 0o755); err != nil {
			return err
		}
		return os.Rename(filepath.Join(source, "busybox"), filepath.Join(out, "busybox"))
	})
}

// edit replaces texts in a file, each of which must be there.
func edit(name string, pairs [][2]string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	text := string(b)
	for _, p := range pairs {
		if !strings.Contains(text, p[0]) {
			return fmt.Errorf("%s does not hold %q", name, p[0])
		}
		text = strings.ReplaceAll(text, p[0], p[1])
	}
	return os.WriteFile(name, []byte(text), 0o644)
}
