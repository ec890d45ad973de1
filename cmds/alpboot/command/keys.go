package command

import (
	"context"
	"flag"
	"path/filepath"
	"time"

	"github.com/alpboot/alpboot/boot/efivar"
	"github.com/alpboot/alpboot/boot/payload/keys"
)

const textKeys = `Makes keys for Secure Boot: PK, KEK and db, each with its certificate, in PEM.
Keys that are in DIRECTORY are taken instead: those of a run before, of Alpine's
efi-mkkeys (/etc/uefi-keys) or of sbctl (/var/lib/sbctl/keys). Then it signs the
updates that enrol them, PK.auth, KEK.auth and db.auth. They keep what the
firmware has, or has by default, Microsoft's certificates among it.

With --esp, the updates are copied to loader/keys/alpboot there. In the setup
mode of the firmware, the boot menu offers to enrol them (p). The image of the
menu is to be signed before: mkpayload uki --sign DIRECTORY/db.key,
DIRECTORY/db.crt. Nothing is enrolled by this command.`

func keysVerb(f *flag.FlagSet) runner {
	var s keys.Setup
	f.StringVar(&s.Dir, "dir", "/etc/uefi-keys", "the `DIRECTORY` of the keys")
	f.StringVar(&s.ESP, "esp", "", "copy the updates to an EFI system partition, at `DIR`")
	f.BoolVar(&s.Own, "own", false, "keep nothing that the firmware has")
	return func(_ context.Context, c command, _ []string) (int, error) {
		s.Out, s.Now = c.Stdout, time.Now()
		s.Vars = efivar.Dir(filepath.Join(c.Root, efivar.Path))
		return 0, s.Write()
	}
}
