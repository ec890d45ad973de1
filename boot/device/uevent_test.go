package device

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseEvent(t *testing.T) {
	tests := []struct {
		name string
		msg  string // with | for NUL
		want Event
		ok   bool
	}{
		{
			name: "a partition comes",
			msg: "add@/devices/pci0000:00/0000:00:14.0/usb1/1-1/block/sda/sda1|ACTION=add|DEVPATH=/devices/pci0000:00/0000:00:14.0/usb1/1-1/block/sda/sda1|" +
				"SUBSYSTEM=block|MAJOR=8|MINOR=1|DEVNAME=sda1|DEVTYPE=partition|PARTN=1|SEQNUM=1234|",
			want: Event{Action: "add", DevPath: "/devices/pci0000:00/0000:00:14.0/usb1/1-1/block/sda/sda1", Subsystem: "block", DevType: "partition", DevName: "sda1"},
			ok:   true,
		}, {
			name: "a device wants a driver",
			msg:  "add@/devices/x|ACTION=add|DEVPATH=/devices/x|SUBSYSTEM=pci|MODALIAS=pci:v00008086d00001234sv*|SEQNUM=5|",
			want: Event{Action: "add", DevPath: "/devices/x", Subsystem: "pci", Modalias: "pci:v00008086d00001234sv*"},
			ok:   true,
		}, {
			name: "a value with an equals sign, a pair without one, and no NUL at the end",
			msg:  "change@/d|DEVNAME=a=b|garbage|=x|SUBSYSTEM=block",
			want: Event{Action: "change", DevPath: "/d", DevName: "a=b", Subsystem: "block"},
			ok:   true,
		},
		{
			name: "a disc is put in",
			msg:  "change@/devices/x/block/sr0|ACTION=change|SUBSYSTEM=block|DISK_MEDIA_CHANGE=1|DEVNAME=sr0|DEVTYPE=disk|",
			want: Event{Action: "change", DevPath: "/devices/x/block/sr0", Subsystem: "block", DevType: "disk", DevName: "sr0", MediaChange: true},
			ok:   true,
		}, {
			name: "the button of a drive in use",
			msg:  "change@/devices/x/block/sr0|SUBSYSTEM=block|DISK_EJECT_REQUEST=1|DEVNAME=sr0|",
			want: Event{Action: "change", DevPath: "/devices/x/block/sr0", Subsystem: "block", DevName: "sr0", EjectRequest: true},
			ok:   true,
		},
		{name: "what udev sends", msg: "libudev|\xfe\xed\xca\xfe|"},
		{name: "no path", msg: "add@|ACTION=add|"},
		{name: "no action", msg: "@/devices/x|"},
		{name: "a path that is none", msg: "add@devices|"},
		{name: "no NUL", msg: "add@/devices/x"},
		{name: "nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseEvent([]byte(strings.ReplaceAll(tt.msg, "|", "\x00")))
			if got != tt.want || ok != tt.ok {
				t.Errorf("got %+v, %v; want %+v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte("add@/devices/x\x00ACTION=add\x00DEVPATH=/devices/x\x00SUBSYSTEM=block\x00DEVNAME=sda\x00"))
	f.Add([]byte("@\x00=\x00"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		e, ok := parseEvent(msg)
		if !ok && e != (Event{}) {
			t.Errorf("%+v and not ok", e)
		}
		if ok && (e.Action == "" || !strings.HasPrefix(e.DevPath, "/") || e.Lost || !bytes.HasPrefix(msg, []byte(e.Action+"@"+e.DevPath))) {
			t.Errorf("%+v of %q", e, msg)
		}
	})
}

// TestEvents asks the kernel to send its message about a device again.
func TestEvents(t *testing.T) {
	trigger := "/sys/class/mem/null/uevent"
	if f, err := os.OpenFile(trigger, os.O_WRONLY, 0); err != nil {
		t.Skip(err)
	} else {
		f.Close()
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	events, err := Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(trigger, []byte("change"), 0); err != nil {
		t.Fatal(err)
	}
	timeout := time.After(20 * time.Second)
	for found := false; !found; {
		select {
		case e := <-events:
			found = e.Action == "change" && e.DevName == "null" && e.Subsystem == "mem" && filepath.Base(e.DevPath) == "null"
		case <-timeout:
			t.Fatal("no message came")
		}
	}
	cancel()
	for {
		select {
		case _, open := <-events:
			if !open {
				return
			}
		case <-timeout:
			t.Fatal("the channel stays open")
		}
	}
}

// TestEventsLost sends more messages than fit the socket while nobody listens.
func TestEventsLost(t *testing.T) {
	trigger := "/sys/class/mem/null/uevent"
	f, err := os.OpenFile(trigger, os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	events, err := Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 20000 {
		if _, err := f.WriteAt([]byte("change"), 0); err != nil {
			t.Fatal(err)
		}
	}
	timeout := time.After(20 * time.Second)
	for {
		select {
		case e := <-events:
			if e.Lost {
				return
			}
		case <-timeout:
			t.Fatal("lost messages are not reported")
		}
	}
}
