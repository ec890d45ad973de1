package main

import (
	"errors"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name     string
		args     []string
		err      error
		wantCode int
		wantCall bool
		wantErr  string
		wantOut  string
	}{
		{name: "restarts", wantCall: true},
		{name: "is refused", err: errors.New("operation not permitted"), wantCall: true, wantCode: 1, wantErr: "operation not permitted"},
		{name: "a mistyped flag restarts nothing", args: []string{"-f"}, wantCode: 2, wantErr: "usage"},
		{name: "version", args: []string{"--version"}, wantOut: "reboot "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			called := false
			code := run(tt.args, &stdout, &stderr, func() error { called = true; return tt.err })
			if code != tt.wantCode || called != tt.wantCall {
				t.Errorf("exit code %d, called %v; want %d, %v", code, called, tt.wantCode, tt.wantCall)
			}
			if !strings.Contains(stderr.String(), tt.wantErr) || !strings.Contains(stdout.String(), tt.wantOut) {
				t.Errorf("stdout %q, stderr %q", stdout.String(), stderr.String())
			}
		})
	}
}
