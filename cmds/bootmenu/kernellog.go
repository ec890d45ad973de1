package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alpboot/alpboot/boot/session"
)

// followKernel adds what the kernel logs, and has logged so far, until ctx ends.
func followKernel(ctx context.Context, log *session.LogBuffer) {
	f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		log.Add(slog.LevelInfo, fmt.Sprintf("the log of the kernel cannot be read: %v", err))
		return
	}
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.Close() })()
	record := make([]byte, 8<<10) // each read returns one
	for {
		n, err := f.Read(record)
		switch {
		case errors.Is(err, unix.EPIPE): // some were overwritten before they were read
			continue
		case errors.Is(err, fs.ErrClosed) || err != nil:
			return
		}
		if level, text, ok := kernelLine(string(record[:n])); ok {
			log.Add(level, text)
		}
	}
}

// kernelLine reads a record of /dev/kmsg: "6,339,5140900,-;text", and more lines
// that begin with a space (Documentation/ABI/testing/dev-kmsg). What the kernel
// calls a notice or less is for those who look for it only.
func kernelLine(record string) (level slog.Level, text string, ok bool) {
	head, text, ok := strings.Cut(record, ";")
	fields := strings.Split(head, ",")
	if !ok || len(fields) < 3 {
		return 0, "", false
	}
	priority, err := strconv.Atoi(fields[0])
	micros, err2 := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || err2 != nil {
		return 0, "", false
	}
	text, _, _ = strings.Cut(text, "\n")
	switch priority & 7 {
	case 0, 1, 2, 3:
		level = slog.LevelError
	case 4:
		level = slog.LevelWarn
	default:
		level = slog.LevelDebug
	}
	return level, session.Stamped(micros, "kernel: "+text), true
}

// kernelMessages has the kernel print its messages on the consoles, or not, as
// they would tear the menu. They stay in the kernel's log.
func kernelMessages(on bool) {
	const consoleOff, consoleOn = 6, 7 // SYSLOG_ACTION_CONSOLE_OFF and _ON
	action := consoleOff
	if on {
		action = consoleOn
	}
	unix.Klogctl(action, nil)
}
