package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io/fs"
	"time"
)

// compress returns b as gzip, without a name and a time.
func compress(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

// member is a file of a tarball, or a link.
type member struct {
	name    string
	content []byte
	link    string
	mode    fs.FileMode
}

// tarball returns members in their order, all of one time and of root, compressed.
func tarball(members []member, when time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Typeflag: tar.TypeReg, Mode: int64(m.mode), Size: int64(len(m.content)), ModTime: when,
			Uname: "root", Gname: "root", Format: tar.FormatUSTAR}
		if m.link != "" {
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, m.link, 0o777
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(m.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return compress(b.Bytes())
}
