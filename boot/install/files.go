package install

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"

	"github.com/alpboot/alpboot/boot/payload/esp"
)

// Files are the files below a directory of the system. Write, Rename and Exchange
// are as of [esp.Files].
type Files interface {
	esp.Files
	// Like gives a file the owner and mode of another one.
	Like(name, other string) error
}

// An images' name holds what its content has to be, so that whoever finds the name
// can check the file.
var imageName = regexp.MustCompile(`^(bzImage|initramfs)-[0-9a-f]{16}$`)

func nameOf(kind string, b []byte) string {
	sum := sha256.Sum256(b)
	return fmt.Sprintf("%s-%x", kind, sum[:8])
}

// wholeImage reports whether a file has the content that its name promises.
func wholeImage(name string, b []byte) bool {
	kind := imageName.FindStringSubmatch(path.Base(name))
	return kind != nil && nameOf(kind[1], b) == path.Base(name)
}

// replace makes a file hold data. Whenever power goes, the old or the new content is
// under its name, whole. It goes by way of temp, which nobody reads, in whatever
// directory of the same filesystem.
//
// FAT has no journal, so that after a power cut in the midst of it both names may
// lead to the same content; then neither may be removed.
func replace(files Files, name, temp string, data []byte) error {
	old, err := esp.Read(files, name)
	if err != nil || old != nil && bytes.Equal(old, data) {
		return err
	}
	left, err := esp.Read(files, temp)
	switch {
	case err != nil:
		return err
	case left != nil && bytes.Equal(left, old):
		return fmt.Errorf("%s may be a second name of %s after a power cut: unmount the filesystem, have fsck repair it, and remove the file", temp, name)
	case left != nil:
		if err := esp.Remove(files, temp); err != nil {
			return err
		}
	}
	if err := esp.WriteChecked(files, temp, data); err != nil {
		return err
	}
	if old == nil {
		err = files.Rename(temp, name)
	} else if err = files.Like(temp, name); err == nil {
		err = files.Exchange(temp, name)
	}
	if err == nil {
		err = files.Sync()
	}
	if err != nil {
		if errors.Is(err, esp.ErrNoExchange) {
			files.Remove(temp)
		}
		return fmt.Errorf("putting %s in its place: %w", name, err)
	}
	if old == nil {
		return nil
	}
	return esp.Remove(files, temp)
}

// putImages writes images, by their names, into Dir, and reports whether one was not
// there.
func putImages(files Files, images map[string][]byte) (missing bool, err error) {
	need := int64(64 << 10) // directories, and blocks that are not filled
	var todo []string
	for _, name := range slices.Sorted(maps.Keys(images)) {
		file := path.Join(Dir, name)
		old, err := esp.Read(files, file)
		switch {
		case err != nil:
			return false, err
		case bytes.Equal(old, images[name]):
			continue
		case old != nil: // cut short: nothing names it, or what names it cannot start it
			if err := esp.Remove(files, file); err != nil {
				return false, err
			}
		}
		todo = append(todo, name)
		need += int64(len(images[name]))
	}
	if todo == nil {
		return false, nil
	}
	free, err := files.Free()
	if err != nil {
		return false, err
	}
	if free < need {
		return false, fmt.Errorf("the filesystem has %d bytes free, and %d are needed: %d too few", free, need, need-free)
	}
	for _, name := range todo {
		if err := esp.WriteChecked(files, path.Join(Dir, name), images[name]); err != nil {
			return false, err
		}
	}
	return true, files.Sync()
}

// dropImages removes all images but some from Dir, and Dir when it is empty then.
func dropImages(files Files, but []string) error {
	names, err := files.List(Dir)
	if err != nil {
		return err
	}
	left := 0
	for _, name := range names {
		if !imageName.MatchString(name) || slices.Contains(but, name) {
			left++
			continue
		}
		if err := esp.Remove(files, path.Join(Dir, name)); err != nil {
			return err
		}
	}
	if left == 0 && len(names) > 0 {
		return esp.Remove(files, Dir)
	}
	return nil
}
