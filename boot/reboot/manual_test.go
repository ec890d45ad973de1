package reboot

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// kexec-reboot(8) has a section on each service, with all of its settings and their
// defaults.
func TestManualHasTheServices(t *testing.T) {
	page, err := os.ReadFile("../../docs/kexec-reboot.8")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "\n.Sh SERVICES\n")
	services, _, _ := strings.Cut(rest, "\n.Sh ")
	scripts, err := fs.Glob(os.DirFS("openrc"), "*")
	if err != nil {
		t.Fatal(err)
	}
	settings := 0
	for _, name := range scripts {
		if strings.Contains(name, ".") { // settings and hooks
			continue
		}
		if !strings.Contains(services, "\n.It "+name+"\n") {
			t.Errorf("%s is not there", name)
		}
		b, err := os.ReadFile("openrc/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\$\{([A-Z_]+):-([^}]*)\}`).FindAllStringSubmatch(string(b), -1) {
			settings++
			own := services
			if _, after, ok := strings.Cut(services, "\n.It "+name+"\n"); ok && name != "kexec-load" { // whose settings are a list of their own
				own, _, _ = strings.Cut(after, "\n.It ")
			}
			if _, after, ok := strings.Cut(own, " "+m[1]+"\n"); !ok || !strings.Contains(after, m[2]) {
				t.Errorf("%s: the setting %s is not there with its default %s", name, m[1], m[2])
			}
		}
	}
	if settings < 5 {
		t.Errorf("only %d settings were found", settings)
	}
}
