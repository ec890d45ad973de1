package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/textproto"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/alpboot/alpboot/boot/version"
)

const (
	patience     = 30 * time.Second // for a server that is silent
	maxRedirects = 10
	maxHeader    = 64 << 10 // bytes
)

// download gets what a URL names into a file, or to stdout when the file's name
// is "-". Without a name it is the URL's, and a file that exists is left alone.
// What came of a file that could not be had whole is removed.
func download(ctx context.Context, from, file string, stdout, stderr io.Writer) error {
	body, err := get(ctx, from)
	if err != nil {
		return err
	}
	defer body.Close()
	if file == "-" {
		return body.copyTo(stdout)
	}
	mode := os.O_TRUNC
	if file == "" {
		file, mode = body.name, os.O_EXCL
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|mode, 0o644)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists; -O %s replaces it", file, file)
	}
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	show := &progress{to: stderr, file: file, size: body.size, shown: time.Now()}
	err = body.copyTo(io.MultiWriter(f, show))
	if err = errors.Join(err, f.Close()); err != nil {
		if st.Mode().IsRegular() { // not /dev/null, nor a disk
			os.Remove(file)
		}
		return err
	}
	show.line("\n")
	return nil
}

// progress prints each second how much has come.
type progress struct {
	to    io.Writer
	file  string
	size  int64 // bytes; -1 when not known
	have  int64
	shown time.Time
}

func (p *progress) Write(b []byte) (int, error) {
	p.have += int64(len(b))
	if time.Since(p.shown) >= time.Second {
		p.line("")
		p.shown = time.Now()
	}
	return len(b), nil
}

func (p *progress) line(end string) {
	kib := func(n int64) int64 { return (n + 1023) >> 10 }
	of := "" // to the last line: a line never gets shorter than what it is written over
	if p.size >= 0 {
		of = fmt.Sprintf(" of %d", kib(p.size))
	}
	fmt.Fprintf(p.to, "\r%s: %d%s KiB%s", p.file, kib(p.have), of, end)
}

// body is what a server sends.
type body struct {
	io.Reader
	io.Closer
	name string // what the URL calls it
	size int64  // bytes; -1 when the server does not send it
}

// copyTo writes the body to w, and fails unless it comes whole.
func (b *body) copyTo(w io.Writer) error {
	n, err := io.Copy(w, b)
	if err == nil && n < b.size {
		err = fmt.Errorf("the connection ended %d bytes too early, of %d", b.size-n, b.size)
	}
	return err
}

// get asks for a URL, and for where it is redirected to.
func get(ctx context.Context, from string) (*body, error) {
	u, err := url.Parse(from)
	if err != nil {
		return nil, err
	}
	name := path.Base(u.Path)
	if name == "." || name == "/" {
		name = "index.html"
	}
	for range maxRedirects {
		b, to, err := ask(ctx, u)
		if err != nil {
			return nil, fmt.Errorf("getting %s: %w", u.Redacted(), err)
		}
		if b != nil {
			b.name = name
			return b, nil
		}
		if u, err = u.Parse(to); err != nil {
			return nil, fmt.Errorf("getting %s: its redirection: %w", from, err)
		}
	}
	return nil, fmt.Errorf("getting %s: more than %d redirections", from, maxRedirects)
}

// ask sends one request. It returns the answer, or else where to ask instead. The
// request is one of HTTP/1.0 (RFC 1945), to which the answer is sent in one
// piece, until the connection ends.
func ask(ctx context.Context, u *url.URL) (b *body, redirect string, err error) {
	switch {
	case u.Scheme == "https":
		return nil, "", errors.New("this wget speaks no HTTPS: get it by http://, or on another machine")
	case u.Scheme != "http" || u.Host == "":
		return nil, "", errors.New("not a URL such as http://192.168.0.1/file")
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	dialer := net.Dialer{Timeout: patience}
	tcp, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, "", err
	}
	conn := &patient{Conn: tcp, ctx: ctx}
	conn.stop = context.AfterFunc(ctx, func() { tcp.Close() })
	defer func() {
		if b == nil {
			conn.Close()
		}
	}()
	request := fmt.Sprintf("GET %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: alpboot/%s\r\nAccept: */*\r\n\r\n", u.RequestURI(), u.Host, version.String())
	if _, err := io.WriteString(conn, request); err != nil {
		return nil, "", fmt.Errorf("asking: %w", err)
	}
	limited := &io.LimitedReader{R: conn, N: maxHeader}
	answer := bufio.NewReader(limited)
	lines := textproto.NewReader(answer)
	status, err := lines.ReadLine()
	if err != nil {
		return nil, "", fmt.Errorf("the answer: %w", whole(err))
	}
	protocol, status, _ := strings.Cut(status, " ")
	if !strings.HasPrefix(protocol, "HTTP/") {
		return nil, "", errors.New("the server speaks no HTTP")
	}
	header, err := lines.ReadMIMEHeader()
	if err != nil {
		return nil, "", fmt.Errorf("the header of the answer: %w", whole(err))
	}
	limited.N = math.MaxInt64
	code, _, _ := strings.Cut(status, " ")
	switch to := header.Get("Location"); {
	case code == "200":
	case strings.HasPrefix(code, "3") && to != "":
		return nil, to, nil
	default:
		return nil, "", fmt.Errorf("the server answered %q", status)
	}
	if coding := header.Get("Transfer-Encoding"); coding != "" && coding != "identity" {
		return nil, "", fmt.Errorf("the server sends it %q, though asked by HTTP/1.0", coding)
	}
	b = &body{Reader: answer, Closer: conn, size: -1}
	if length := header.Get("Content-Length"); length != "" {
		n, err := strconv.ParseInt(length, 10, 64)
		if err != nil || n < 0 {
			return nil, "", fmt.Errorf("the answer has a length of %q", length)
		}
		b.size = n
		b.Reader = io.LimitReader(answer, n)
	}
	return b, "", nil
}

// whole makes of an end of input one that is an error.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// patient is a connection that waits for each piece as long as patience, and
// ends with its context.
type patient struct {
	net.Conn
	ctx  context.Context
	stop func() bool
}

func (c *patient) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil && c.ctx.Err() == nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	if err != nil && c.ctx.Err() != nil {
		err = errors.New("interrupted")
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("nothing came for %v", patience)
	}
	return n, err
}

func (c *patient) Close() error {
	c.stop()
	return c.Conn.Close()
}
