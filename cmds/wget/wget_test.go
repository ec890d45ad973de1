package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// server answers as a mirror does, and in the ways in which servers fail.
func server(t *testing.T, file []byte) string {
	mux := http.NewServeMux()
	mux.HandleFunc("/dir/vmlinuz-lts", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(file)))
		w.Write(file)
	})
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		// Flushed before it ends: without a length.
		io.WriteString(w, "a list ")
		w.(http.Flusher).Flush()
		io.WriteString(w, "of files")
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "dir/vmlinuz-lts", http.StatusFound) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/secure", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://mirror.invalid/file", http.StatusMovedPermanently)
	})
	mux.HandleFunc("/short", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.Write([]byte("not so much"))
	})
	mux.HandleFunc("/query", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, " ", r.URL.Query().Get("a")) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func TestRun(t *testing.T) {
	file := bytes.Repeat([]byte("a kernel\n"), 100_000)
	host := server(t, file)
	for _, tt := range []struct {
		name     string
		args     []string
		existing string // a file that is there already
		code     int
		stdout   string
		stderr   string
		file     string // that is there afterwards, and what it holds
		holds    []byte
	}{
		{name: "the name is the URL's", args: []string{host + "/dir/vmlinuz-lts"}, file: "vmlinuz-lts", holds: file, stderr: "vmlinuz-lts: 879 of 879 KiB\n"},
		{name: "-O after the URL", args: []string{host + "/dir/vmlinuz-lts", "-O", "k"}, file: "k", holds: file},
		{name: "to stdout, without a length", args: []string{"-O", "-", host}, stdout: "a list of files"},
		{name: "a URL without a name", args: []string{host + "/"}, file: "index.html", holds: []byte("a list of files")},
		{name: "a redirection", args: []string{host + "/moved"}, file: "moved", holds: file},
		{name: "a query", args: []string{"-O", "-", host + "/query?a=b%20c"}, stdout: strings.TrimPrefix(host, "http://") + " b c"},
		{name: "a file that exists stays", args: []string{host + "/dir/vmlinuz-lts"}, existing: "vmlinuz-lts", code: 1, file: "vmlinuz-lts", holds: []byte("mine"), stderr: "-O vmlinuz-lts replaces it"},
		{name: "and is replaced when named", args: []string{"-O", "vmlinuz-lts", host + "/dir/vmlinuz-lts"}, existing: "vmlinuz-lts", file: "vmlinuz-lts", holds: file},
		{name: "not there", args: []string{host + "/absent"}, code: 1, stderr: `the server answered "404 Not Found"`},
		{name: "half of it", args: []string{host + "/short"}, code: 1, stderr: "989 bytes too early, of 1000"},
		{name: "redirections without end", args: []string{host + "/loop"}, code: 1, stderr: "more than 10 redirections"},
		{name: "a redirection to HTTPS", args: []string{host + "/secure"}, code: 1, stderr: "no HTTPS"},
		{name: "HTTPS", args: []string{"https://mirror.invalid/"}, code: 1, stderr: "no HTTPS"},
		{name: "no URL", args: []string{"mirror.invalid/file"}, code: 1, stderr: "not a URL"},
		{name: "a directory that is not there", args: []string{"-O", "a/b", host}, code: 1, stderr: "a/b"},
		{name: "no arguments", code: 2, stderr: "usage"},
		{name: "two URLs", args: []string{host, host}, code: 2, stderr: "usage"},
		{name: "version", args: []string{"--version"}, stdout: "wget "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if tt.existing != "" {
				if err := os.WriteFile(tt.existing, []byte("mine"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var stdout, stderr strings.Builder
			if code := run(t.Context(), tt.args, &stdout, &stderr); code != tt.code {
				t.Errorf("exit code %d, want %d: %s", code, tt.code, &stderr)
			}
			if !strings.HasPrefix(stdout.String(), tt.stdout) || tt.stdout == "" && stdout.Len() > 0 || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("stdout %q, stderr %q; want %q, %q", &stdout, &stderr, tt.stdout, tt.stderr)
			}
			if tt.file != "" {
				if b, err := os.ReadFile(tt.file); err != nil || !bytes.Equal(b, tt.holds) {
					t.Errorf("%s: %d bytes, %v; want %d", tt.file, len(b), err, len(tt.holds))
				}
			} else if left, _ := os.ReadDir("."); len(left) > 0 {
				t.Errorf("%s is left", left[0].Name())
			}
		})
	}
}

// What is no HTTP at all ends with a sentence too, and so does one who waits no
// longer.
func TestRawServers(t *testing.T) {
	for _, tt := range []struct {
		name, sends string
		interrupt   bool
		want        string
	}{
		{name: "another protocol", sends: "220 mail.example ESMTP\r\n", want: "no HTTP"},
		{name: "nothing", want: "unexpected EOF"},
		{name: "a header without end", sends: "HTTP/1.0 200 OK\r\nA: " + strings.Repeat("b", 2*maxHeader), want: "header of the answer"},
		{name: "chunks", sends: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", want: `"chunked"`},
		{name: "a length below nothing", sends: "HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n", want: `"-1"`},
		{name: "Ctrl-C", sends: "HTTP/1.0 200 OK\r\n", interrupt: true, want: "interrupted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				conn.Read(make([]byte, 4096))
				io.WriteString(conn, tt.sends)
				if tt.interrupt {
					interrupt()
					conn.Read(make([]byte, 1)) // until the other side has gone
				}
			}()
			var stdout, stderr strings.Builder
			if code := run(ctx, []string{"http://" + l.Addr().String() + "/file"}, &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("exit code %d: %s; want %q", code, &stderr, tt.want)
			}
		})
	}
}

// What is not a regular file, a disk or /dev/null, stays when nothing whole came for it.
func TestDeviceStays(t *testing.T) {
	host := server(t, nil)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var stdout, stderr strings.Builder
	if code := run(t.Context(), []string{"-O", pipe, host + "/short"}, &stdout, &stderr); code != 1 {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
	if _, err := os.Lstat(pipe); err != nil {
		t.Errorf("it is gone: %v", err)
	}
}
