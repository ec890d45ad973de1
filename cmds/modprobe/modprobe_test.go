package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

const release = "6.12.1-test"

// tree is a machine's files: modules of which some are loaded.
func tree() fstest.MapFS {
	const dir = "lib/modules/" + release + "/"
	files := fstest.MapFS{
		"proc/cmdline": {Data: []byte("quiet dm_crypt.max_read_size=4096 modprobe.blacklist=aes_ti -- xts.x=1\n")},
		dir + "modules.dep": {Data: []byte(`kernel/drivers/md/dm-crypt.ko: kernel/drivers/md/dm-mod.ko
kernel/drivers/md/dm-mod.ko:
kernel/crypto/xts.ko:
kernel/crypto/ecb.ko:
kernel/crypto/aes_ti.ko:
kernel/crypto/aesni-intel.ko: kernel/crypto/crypto_simd.ko
kernel/crypto/crypto_simd.ko:
kernel/fs/gone.ko:
`)},
		dir + "modules.alias": {Data: []byte(`alias crypto-xts xts
alias crypto-aes aes_ti
alias crypto-aes aesni_intel
alias crypto-ti aes_ti
alias char-major-10-235 autofs4
`)},
		dir + "modules.softdep": {Data: []byte("softdep xts pre: ecb\n")},
		dir + "modules.builtin": {Data: []byte("kernel/drivers/ata/ahci.ko\n")},

		"sys/module/dm_mod/initstate":         {Data: []byte("live\n")},
		"sys/module/dm_mod/holders/dm_crypt":  {Mode: fs.ModeSymlink},
		"sys/module/dm_crypt/initstate":       {Data: []byte("live\n")},
		"sys/module/ahci/parameters/skip_lpm": {Data: []byte("0\n")},
	}
	for _, name := range []string{"drivers/md/dm-crypt", "drivers/md/dm-mod", "crypto/xts", "crypto/ecb", "crypto/aes_ti", "crypto/aesni-intel", "crypto/crypto_simd"} {
		files[dir+"kernel/"+name+".ko"] = &fstest.MapFile{Data: []byte("ELF")}
	}
	return files
}

// fake is a machine that writes down what the kernel is asked to do.
type fake struct {
	files   fstest.MapFS
	refuses map[string]error // by module file or name
	did     []string
}

func (f *fake) system() (system, error) {
	return system{
		root:    f.files,
		release: release,
		insert: func(file fs.File, params string) error {
			st, err := file.Stat()
			if err != nil {
				return err
			}
			if err := f.refuses[st.Name()]; err != nil {
				return err
			}
			f.did = append(f.did, strings.TrimSpace("+"+st.Name()+" "+params))
			return nil
		},
		remove: func(name string) error {
			if err := f.refuses[name]; err != nil {
				return err
			}
			if _, err := fs.Stat(f.files, "sys/module/"+name+"/initstate"); err != nil {
				return unix.ENOENT
			}
			f.did = append(f.did, "-"+name)
			return nil
		},
	}, nil
}

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name    string
		args    string // separated by blanks, or by | if there is one
		change  func(fstest.MapFS)
		refuses map[string]error

		want     []string // asked of the kernel
		wantCode int
		wantOut  string   // all of it
		wantErr  []string // parts of it; none is nothing at all
	}{
		{name: "a name", args: "aesni-intel", want: []string{"+crypto_simd.ko", "+aesni-intel.ko"}},
		{name: "as the kernel calls it", args: "-q -- crypto-xts", want: []string{"+ecb.ko", "+xts.ko"}},
		{name: "not there, as the kernel calls it", args: "-q -- crypto-xts(aes)", wantCode: 1},
		{
			name: "not there", args: "net-pf-4", wantCode: 1,
			wantErr: []string{"modprobe: net-pf-4: no such kernel module in /lib/modules/" + release + ", neither by name nor by alias\n"},
		},
		{name: "an alias of a module that is not there", args: "char-major-10-235", wantCode: 1, wantErr: []string{"no such kernel module"}},
		{
			name: "a kernel without modules", args: "ext4", change: func(f fstest.MapFS) { clear(f) }, wantCode: 1,
			wantErr: []string{"ext4: no such kernel module: /lib/modules holds none for this kernel, Linux " + release},
		},
		{name: "built in", args: "ahci"},
		{name: "an alias without its blacklisted modules", args: "crypto-aes", want: []string{"+crypto_simd.ko", "+aesni-intel.ko"}},
		{name: "an alias of blacklisted modules only", args: "crypto-ti"},
		{name: "a blacklisted module by its own name", args: "aes_ti", want: []string{"+aes_ti.ko"}},
		{
			name: "parameters of the command line, then of the arguments",
			args: `dm-crypt|max_write_size=1|model=a b|quoted="c d"|flag`,
			want: []string{"+dm-mod.ko", `+dm-crypt.ko max_read_size=4096 max_write_size=1 model="a b" quoted="c d" flag`},
		},
		{name: "command line not to be read", args: "dm-crypt", change: func(f fstest.MapFS) { delete(f, "proc/cmdline") }, want: []string{"+dm-mod.ko", "+dm-crypt.ko"}},
		{
			name: "all, of which one is not there", args: "-a nothing xts aes_ti", wantCode: 1,
			want: []string{"+ecb.ko", "+xts.ko", "+aes_ti.ko"}, wantErr: []string{"modprobe: nothing: no such"},
		},
		{name: "all, quietly", args: "-qa nothing xts", wantCode: 1, want: []string{"+ecb.ko", "+xts.ko"}},
		{name: "loaded already", args: "dm-mod", refuses: map[string]error{"dm-mod.ko": unix.EEXIST}},

		{name: "dry run", args: "-n xts"},
		{name: "dry run of what is not there", args: "--dry-run nothing", wantCode: 1, wantErr: []string{"nothing: no such"}},
		{name: "dry run, aloud", args: "-nv dm-crypt xts=1"},
		{
			name: "dry run of what is not loaded, aloud", args: "-n --verbose xts x=1",
			wantOut: "insmod /lib/modules/6.12.1-test/kernel/crypto/ecb.ko\ninsmod /lib/modules/6.12.1-test/kernel/crypto/xts.ko x=1\n",
		},
		{
			name: "aloud", args: "xts -v", want: []string{"+ecb.ko", "+xts.ko"},
			wantOut: "insmod /lib/modules/6.12.1-test/kernel/crypto/ecb.ko\ninsmod /lib/modules/6.12.1-test/kernel/crypto/xts.ko\n",
		},
		{
			name: "dependencies", args: "--show-depends dm-crypt a=b",
			wantOut: "insmod /lib/modules/6.12.1-test/kernel/drivers/md/dm-mod.ko\ninsmod /lib/modules/6.12.1-test/kernel/drivers/md/dm-crypt.ko max_read_size=4096 a=b\n",
		},
		{name: "dependencies of what is built in", args: "-D ahci", wantOut: "builtin ahci\n"},
		{name: "dependencies of what is not there", args: "-D nothing", wantCode: 1, wantErr: []string{"nothing: no such"}},

		{
			name: "refused for a symbol or parameter", args: "xts bad=1", refuses: map[string]error{"xts.ko": unix.ENOENT},
			want: []string{"+ecb.ko"}, wantCode: 1, wantErr: []string{"loading kernel module xts: ", "does not know a parameter"},
		},
		{
			name: "without its hardware", args: "crypto-aes", refuses: map[string]error{"aesni-intel.ko": unix.ENODEV},
			want: []string{"+crypto_simd.ko"}, wantCode: 1, wantErr: []string{"aesni_intel: ", "nothing that it drives is there"},
		},
		{
			name: "a dependency is refused", args: "dm-crypt", refuses: map[string]error{"dm-mod.ko": unix.EKEYREJECTED},
			wantCode: 1, wantErr: []string{"loading kernel module dm_mod: ", "signature"},
		},
		{name: "in the index, but not there", args: "gone", wantCode: 1, wantErr: []string{"loading kernel module gone: open ", "gone.ko: file does not exist\n"}},

		{name: "remove", args: "-r dm-crypt", want: []string{"-dm_crypt", "-dm_mod"}},
		{name: "remove, aloud", args: "-rv dm-crypt", want: []string{"-dm_crypt", "-dm_mod"}, wantOut: "rmmod dm_crypt\nrmmod dm_mod\n"},
		{name: "remove, with a dependency in use", args: "-r dm-crypt", refuses: map[string]error{"dm_mod": unix.EWOULDBLOCK}, want: []string{"-dm_crypt"}},
		{name: "remove what another one uses", args: "-r dm-mod", refuses: map[string]error{"dm_mod": unix.EWOULDBLOCK}, wantCode: 1, wantErr: []string{"unloading kernel module dm_mod: it is in use by dm_crypt\n"}},
		{name: "remove what something uses", args: "-r dm-crypt", refuses: map[string]error{"dm_crypt": unix.EWOULDBLOCK}, wantCode: 1, wantErr: []string{"unloading kernel module dm_crypt: it is in use\n"}},
		{name: "remove what is not loaded", args: "-r xts"},
		{name: "remove what is built in", args: "-r ahci", wantCode: 1, wantErr: []string{"ahci: built into the kernel"}},
		{name: "remove what is not there", args: "-r nothing dm-crypt", want: []string{"-dm_crypt", "-dm_mod"}, wantCode: 1, wantErr: []string{"nothing: no such"}},
		{name: "remove, dry", args: "-rnv dm-crypt", wantOut: "rmmod dm_crypt\n"},
		{name: "remove what is not loaded, dry", args: "-rnv xts"},
		{name: "remove what another one uses, dry", args: "-rn dm_mod", wantCode: 1, wantErr: []string{"in use by dm_crypt"}},

		{name: "no name", args: "-a", wantCode: 1, wantErr: []string{"which module?", "Usage: modprobe"}},
		{name: "an option that is none", args: "-aZ xts", wantCode: 1, wantErr: []string{"no option -aZ", "Usage: modprobe"}},
		{name: "a long option that is none", args: "--all-of-it xts", wantCode: 1, wantErr: []string{"no option --all-of-it", "Usage: modprobe"}},
		{name: "an option's name behind one dash", args: "-all xts", wantCode: 1, wantErr: []string{"no option -all"}},
		{name: "an option behind two dashes is a name", args: "-- -v", wantCode: 1, wantErr: []string{"-v: no such kernel module"}},
		{name: "help", args: "-h", wantOut: usage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := fake{files: tree(), refuses: tt.refuses}
			if tt.change != nil {
				tt.change(f.files)
			}
			separator := " "
			if strings.Contains(tt.args, "|") {
				separator = "|"
			}
			var stdout, stderr strings.Builder
			code := run(strings.Split(tt.args, separator), &stdout, &stderr, f.system)
			if code != tt.wantCode {
				t.Errorf("exit code %d, want %d", code, tt.wantCode)
			}
			if !slices.Equal(f.did, tt.want) {
				t.Errorf("asked of the kernel: %q, want %q", f.did, tt.want)
			}
			if stdout.String() != tt.wantOut {
				t.Errorf("stdout %q, want %q", stdout.String(), tt.wantOut)
			}
			for _, want := range tt.wantErr {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("stderr %q, want %q in it", stderr.String(), want)
				}
			}
			if tt.wantErr == nil && stderr.Len() > 0 {
				t.Errorf("stderr %q, want nothing", stderr.String())
			}
		})
	}
}

func TestVersion(t *testing.T) {
	var stdout, stderr strings.Builder
	code := run([]string{"--version"}, &stdout, &stderr, func() (system, error) { return system{}, errors.New("not to be asked") })
	if code != 0 || !strings.HasPrefix(stdout.String(), "modprobe ") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
	}
}

func TestWithoutAMachine(t *testing.T) {
	for quiet, want := range map[string]string{"-v": "modprobe: no uname\n", "-q": ""} {
		var stdout, stderr strings.Builder
		code := run([]string{quiet, "xts"}, &stdout, &stderr, func() (system, error) { return system{}, fmt.Errorf("no %s", "uname") })
		if code != 1 || stderr.String() != want {
			t.Errorf("%s: exit code %d, stderr %q; want 1, %q", quiet, code, stderr.String(), want)
		}
	}
}
