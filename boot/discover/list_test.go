package discover

import (
	"strings"
	"testing"

	"github.com/alpboot/alpboot/boot"
)

func TestInOrder(t *testing.T) {
	entry := func(id string, guessed, snapshot bool) boot.Entry {
		device, _, _ := strings.Cut(id, "-")
		return boot.Entry{ID: id, Volume: boot.Volume{Device: device}, Guessed: guessed, Snapshot: snapshot}
	}
	list := []boot.Entry{
		entry("stick-guess", true, false),
		entry("root-guess", true, false),
		entry("root-snap", false, true),
		entry("root-2", false, false),
		entry("root-1", false, false),
		entry("other-1", false, false),
		entry("root-snapguess", true, true),
	}
	inOrder(list)
	var got []string
	for _, e := range list {
		got = append(got, e.ID)
	}
	const want = "root-2 root-1 root-guess root-snap root-snapguess other-1 stick-guess"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}
