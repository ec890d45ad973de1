package main

import (
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/alpboot/alpboot/boot/boottest"
)

func TestConsoleDevices(t *testing.T) {
	const active, vt = "sys/class/tty/console/active", "sys/class/vtconsole/"
	for _, tt := range []struct {
		name  string
		files map[string]string
		asked []string
		want  string
	}{
		{name: "serial alone", files: map[string]string{active: "ttyS0\n", vt + "vtcon0/name": "(S) dummy device\n"}, want: "/dev/ttyS0"},
		{name: "VGA text beside it", files: map[string]string{active: "ttyS0\n", vt + "vtcon0/name": "(S) VGA+\n"}, want: "/dev/ttyS0 /dev/tty1"},
		{name: "a framebuffer beside it", files: map[string]string{active: "ttyS0\n", "sys/class/graphics/fb0/name": "simpledrmdrmfb\n"}, want: "/dev/ttyS0 /dev/tty1"},
		{name: "no framebuffer yet", files: map[string]string{active: "ttyS0\n", "sys/class/graphics/fbcon/rotate": "0\n"}, want: "/dev/ttyS0"},
		{name: "both named", files: map[string]string{active: "tty0 ttyS0\n", "sys/class/graphics/fb0/name": "x\n"}, want: "/dev/tty1 /dev/ttyS0"},
		{name: "asked for", files: map[string]string{active: "tty0 ttyS0\n", "sys/class/graphics/fb0/name": "x\n"}, asked: []string{"ttyS1", "tty2"}, want: "/dev/ttyS1 /dev/tty2"},
		{name: "nothing known", want: "/dev/console"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range tt.files {
				root[name] = boottest.File(text)
			}
			if got := strings.Join(consoleDevices(root, tt.asked), " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestKernelLine(t *testing.T) {
	for _, tt := range []struct {
		record string
		level  slog.Level
		text   string
		ok     bool
	}{
		{"6,339,5140900,-;NET: Registered protocol family 10\n SUBSYSTEM=net\n", slog.LevelDebug, "    5.141 kernel: NET: Registered protocol family 10", true},
		{"3,340,12,-,caller=T1;ata1: failed; gave up", slog.LevelError, "    0.000 kernel: ata1: failed; gave up", true},
		{"12,341,61000000,-;hello\n", slog.LevelWarn, "   61.000 kernel: hello", true},
		{"no record", 0, "", false},
		{"x,1,2,-;text", 0, "", false},
	} {
		level, text, ok := kernelLine(tt.record)
		if level != tt.level || text != tt.text || ok != tt.ok {
			t.Errorf("%q: got %v, %q, %v", tt.record, level, text, ok)
		}
	}
}
