package initramfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// trims are what modules set up at each start of a program, and nothing in the image
// uses: tables of character sets, descriptions of terminals, a checksum of Snappy.
// The linker cannot leave it out.
var trims = []struct {
	dir   string   // below GOPATH's src
	files []string // that are removed; nil for all
	text  string   // of a file instead; "" for none
}{
	{dir: "github.com/gdamore/encoding", text: encodings},
	{dir: "github.com/gdamore/tcell/v2/terminfo/base", text: "// Package base has no terminals: those of the menu are in boot/menu/term.\npackage base\n"},
	{dir: "github.com/klauspost/compress/zstd", files: []string{"snappy.go"}},
}

// encodings is what tcell needs to be compiled. boot/menu/term asks it for UTF-8.
const encodings = `package encoding

import "golang.org/x/text/encoding"

type utf8 struct{}

func (utf8) NewDecoder() *encoding.Decoder { return &encoding.Decoder{Transformer: encoding.UTF8Validator} }
func (utf8) NewEncoder() *encoding.Encoder { return &encoding.Encoder{Transformer: encoding.UTF8Validator} }

var UTF8, ASCII encoding.Encoding = utf8{}, utf8{}
`

// trim removes that from the sources below src, of which some modules may be missing.
func trim(src string) error {
	for _, t := range trims {
		dir := filepath.Join(src, filepath.FromSlash(t.dir))
		files := t.files
		if files == nil {
			entries, err := os.ReadDir(dir)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return err
			}
			for _, e := range entries {
				if strings.HasSuffix(e.Name(), ".go") {
					files = append(files, e.Name())
				}
			}
		} else if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for _, name := range files {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return fmt.Errorf("leaving out what the image does not use: %w", err)
			}
		}
		if t.text != "" {
			if err := os.WriteFile(filepath.Join(dir, "trimmed.go"), []byte(t.text), 0o666); err != nil {
				return err
			}
		}
	}
	return nil
}
