package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// stripes are pieces that alternate between data and zeros.
type stripes struct{ at int64 }

func (s *stripes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 0
		if piece := s.at / pieceSize; piece%2 == 0 {
			p[i] = byte(piece) | 1
		}
		s.at++
	}
	return len(p), nil
}

func TestExtentsOfOneToThreeLevels(t *testing.T) {
	for _, pieces := range []int64{2, 8, 9, 100, 2 * (inodeExtents*blockExtents + 10)} {
		image, err := os.Create(filepath.Join(t.TempDir(), "image"))
		if err != nil {
			t.Fatal(err)
		}
		defer image.Close()
		d, err := newDisk(image, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		size := pieces*pieceSize - 1
		extents, err := d.store(&stripes{}, size)
		if err != nil || int64(len(extents)) < pieces/2 {
			t.Fatalf("%d extents, %v", len(extents), err)
		}
		tree := newTree(10, d.release)
		n := &node{mode: uint16(kindRegular) | 0o600, size: size, extents: extents}
		if err := tree.place("f", n); err != nil {
			t.Fatal(err)
		}
		bytesUsed, err := d.finish(tree.root)
		if err != nil || image.Truncate(bytesUsed) != nil {
			t.Fatal(err)
		}
		fsck(t, image.Name())
		wanted := make([]byte, size)
		_, _ = io.ReadFull(&stripes{}, wanted)
		if files := readImage(t, image.Name()); !bytes.Equal(files["f"].content, wanted) {
			t.Errorf("%d pieces: other contents", pieces)
		}
		if files, ok := mounted(t, image.Name()); ok && !bytes.Equal(files["f"].content, wanted) {
			t.Errorf("%d pieces: other contents for the kernel", pieces)
		}
	}
}

func TestMoreSubdirectoriesThanLinks(t *testing.T) {
	var entries []entry
	for i := range maxLinks + 10 {
		entries = append(entries, dir(fmt.Sprint("d/", i), 0o700))
	}
	o := mergeBlobs(t, nil, plain(t, entries...))
	if files := made(t, o); len(files) != maxLinks+12 {
		t.Errorf("%d files", len(files))
	}
	if text := debugfs(t, o.image, "stat /d"); !strings.Contains(text, "Links: 1 ") {
		t.Error(text)
	}
}

func TestMoreNamesThanLinks(t *testing.T) {
	entries := []entry{regular("f", "")}
	for i := range maxLinks {
		entries = append(entries, hardlink(fmt.Sprint("l", i), "f"))
	}
	o := mergeBlobs(t, nil, plain(t, entries[:maxLinks]...))
	made(t, o)
	mergeBlobs(t, nil, plain(t, entries...)).refused(t, codeTooLarge, fmt.Sprint("l", maxLinks-1))
}

// What a later layer hides takes no space on the host.
func TestHiddenContentsAreFree(t *testing.T) {
	big := regular("big", strings.Repeat("x", 20<<20))
	o := mergeBlobs(t, nil, plain(t, big), plain(t, regular("small", "s"), whiteout(".wh.big")))
	has(t, made(t, o), map[string]string{"big": "", "small": "s"})
	var stat syscall.Stat_t
	if err := syscall.Stat(o.image, &stat); err != nil {
		t.Fatal(err)
	}
	if stat.Blocks*512 > 4<<20 {
		t.Skipf("%d bytes in use: this file system makes no holes", stat.Blocks*512)
	}
	text := debugfs(t, o.image, "stats")
	if !strings.Contains(text, "Free blocks:              51") {
		t.Error(text)
	}
}

func TestSameLayersSameImage(t *testing.T) {
	stack := []blob{
		plain(t, dir("d", 0o755), regular("d/a", "1"), regular("b", strings.Repeat("2", 100_000))),
		plain(t, entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: "d/x", PAXRecords: map[string]string{"SCHILY.xattr.user.a": "1", "SCHILY.xattr.user.b": "2"}}}, whiteout(".wh.b")),
	}
	var first []byte
	for range 3 {
		image, err := os.ReadFile(mergeBlobs(t, nil, stack...).image)
		if err != nil || first != nil && !bytes.Equal(image, first) {
			t.Fatal("two images of the same layers differ", err)
		}
		first = image
	}
}
