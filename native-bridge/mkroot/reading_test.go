package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A view says of every path what is there, in one line each; files with several names name the first of them.
type view map[string]string

type file struct {
	mode       uint32
	uid, gid   uint32
	size       int64
	mtime      string
	target     string
	device     string
	attributes map[string]string
	content    []byte
	inode      uint64
}

func (f *file) line(owners bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%07o", f.mode)
	if owners {
		fmt.Fprintf(&b, " %d:%d", f.uid, f.gid)
	}
	switch f.mode & uint32(kindMask) {
	case uint32(kindRegular):
		fmt.Fprintf(&b, " %d bytes %x %s", f.size, sha256.Sum256(f.content), f.mtime)
	case uint32(kindSymlink):
		fmt.Fprintf(&b, " -> %q", f.target)
	case uint32(kindCharacter), uint32(kindBlock):
		fmt.Fprintf(&b, " device %s", f.device)
	}
	for _, name := range slices.Sorted(maps.Keys(f.attributes)) {
		fmt.Fprintf(&b, " %s=%q", name, f.attributes[name])
	}
	return b.String()
}

func viewOf(files map[string]*file, owners bool) view {
	v := view{}
	first := map[uint64]string{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := files[name]
		v[name] = f.line(owners)
		if f.mode&uint32(kindMask) == uint32(kindDirectory) {
			continue
		}
		if other, there := first[f.inode]; there {
			v[name] += " is " + other
		} else {
			first[f.inode] = name
		}
	}
	return v
}

// same tells the first differences of two views.
func (v view) same(t testing.TB, wanted view) {
	t.Helper()
	names := map[string]bool{}
	for name := range v {
		names[name] = true
	}
	for name := range wanted {
		names[name] = true
	}
	shown := 0
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if v[name] != wanted[name] && shown < 8 {
			shown++
			t.Errorf("%q\n  is     %s\n  wanted %s", name, v[name], wanted[name])
		}
	}
	if shown > 0 {
		t.FailNow()
	}
}

// readDirectory gives what is in a directory of this machine.
func readDirectory(t testing.TB, root string) map[string]*file {
	t.Helper()
	files := map[string]*file{}
	err := filepath.WalkDir(root, func(at string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var stat unix.Stat_t
		if err := unix.Lstat(at, &stat); err != nil {
			return err
		}
		f := &file{
			mode: stat.Mode, uid: stat.Uid, gid: stat.Gid, size: stat.Size, inode: stat.Ino,
			mtime:  fmt.Sprintf("%d.%09d", stat.Mtim.Sec, stat.Mtim.Nsec),
			device: fmt.Sprintf("%d:%d", unix.Major(stat.Rdev), unix.Minor(stat.Rdev)),
		}
		switch kind(stat.Mode) & kindMask {
		case kindSymlink:
			f.target, err = os.Readlink(at)
		case kindRegular:
			f.content, err = os.ReadFile(at)
		}
		if err != nil {
			return err
		}
		f.attributes, err = attributesAt(at)
		name, _ := filepath.Rel(root, at)
		files[name] = f
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func attributesAt(at string) (map[string]string, error) {
	names := make([]byte, 64<<10)
	count, err := unix.Llistxattr(at, names)
	if err != nil || count == 0 {
		return nil, nil
	}
	found := map[string]string{}
	for _, name := range strings.Split(strings.TrimSuffix(string(names[:count]), "\x00"), "\x00") {
		value := make([]byte, 64<<10)
		size, err := unix.Lgetxattr(at, name, value)
		if err != nil {
			return nil, err
		}
		found[name] = string(value[:size])
	}
	return found, nil
}

// mounted reads an image as this machine's kernel sees it; false where it may not be mounted.
func mounted(t testing.TB, image string) (map[string]*file, bool) {
	t.Helper()
	if os.Getuid() != 0 {
		return nil, false
	}
	at := t.TempDir()
	if err := command("mount", "-o", "loop,ro", image, at); err != nil {
		return nil, false
	}
	defer func() {
		if err := unix.Unmount(at, 0); err != nil {
			t.Fatal(err)
		}
	}()
	return readDirectory(t, at), true
}

// readImage gives what is in an ext4 image, read by the format's description and nothing of the program under test.
func readImage(t testing.TB, path string) map[string]*file {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := &imageReader{t: t, data: data, files: map[string]*file{}}
	r.perGroup = r.u32(1024 + 0x28)
	r.directory(2, ".")
	return r.files
}

type imageReader struct {
	t        testing.TB
	data     []byte
	perGroup uint32
	files    map[string]*file
}

func (r *imageReader) u16(at int) uint16 { return binary.LittleEndian.Uint16(r.data[at:]) }
func (r *imageReader) u32(at int) uint32 { return binary.LittleEndian.Uint32(r.data[at:]) }

func (r *imageReader) inode(number uint32) int {
	group, index := (number-1)/r.perGroup, (number-1)%r.perGroup
	table := r.u32(4096 + int(group)*32 + 8)
	return int(table)*4096 + int(index)*256
}

func (r *imageReader) directory(number uint32, name string) {
	r.read(number, name)
	content := r.content(r.inode(number))
	for at := 0; at < len(content); {
		child := binary.LittleEndian.Uint32(content[at:])
		length := int(binary.LittleEndian.Uint16(content[at+4:]))
		entry := string(content[at+8 : at+8+int(content[at+6])])
		if child != 0 && entry != "." && entry != ".." {
			path := filepath.Join(name, entry)
			if content[at+7] == 2 {
				r.directory(child, path)
			} else {
				r.read(child, path)
			}
		}
		at += length
	}
}

func (r *imageReader) read(number uint32, name string) {
	at := r.inode(number)
	extra := r.u32(at + 0x88)
	f := &file{
		mode:  uint32(r.u16(at)),
		uid:   uint32(r.u16(at+2)) | uint32(r.u16(at+0x78))<<16,
		gid:   uint32(r.u16(at+0x18)) | uint32(r.u16(at+0x7a))<<16,
		size:  int64(r.u32(at+4)) | int64(r.u32(at+0x6c))<<32,
		inode: uint64(number),
		mtime: fmt.Sprintf("%d.%09d", int64(int32(r.u32(at+0x10)))+int64(extra&3)<<32, extra>>2),
	}
	device := r.u32(at + 0x28 + 4)
	f.device = fmt.Sprintf("%d:%d", device>>8&0xfff, device&0xff|device>>12&0xfff00)
	switch kind(f.mode) & kindMask {
	case kindSymlink:
		if f.size < 60 {
			f.target = string(r.data[at+0x28 : at+0x28+int(f.size)])
		} else {
			f.target = string(r.content(at))
		}
	case kindRegular:
		f.content = r.content(at)
	}
	f.attributes = map[string]string{}
	if start := at + 128 + int(r.u16(at+0x80)); r.u32(start) == 0xEA020000 {
		r.attributes(f.attributes, start+4, start+4)
	}
	if block := int(r.u32(at+0x68)) * 4096; block != 0 {
		r.attributes(f.attributes, block+32, block)
	}
	r.files[name] = f
}

func (r *imageReader) attributes(into map[string]string, at, base int) {
	prefixes := map[byte]string{1: "user.", 2: "system.posix_acl_access", 3: "system.posix_acl_default", 4: "trusted.", 6: "security."}
	for r.u32(at) != 0 {
		length, value, size := int(r.data[at]), base+int(r.u16(at+2)), int(r.u32(at+8))
		into[prefixes[r.data[at+1]]+string(r.data[at+16:at+16+length])] = string(r.data[value : value+size])
		at += 16 + (length+3)&^3
	}
}

func (r *imageReader) content(inode int) []byte {
	size := int64(r.u32(inode+4)) | int64(r.u32(inode+0x6c))<<32
	content := make([]byte, (size+4095)/4096*4096)
	r.extents(inode+0x28, content)
	return content[:size]
}

func (r *imageReader) extents(node int, content []byte) {
	if r.u16(node) != 0xF30A {
		r.t.Fatalf("no extents at %d", node)
	}
	for i := range int(r.u16(node + 2)) {
		at := node + 12*(1+i)
		if r.u16(node+6) > 0 {
			r.extents(int(r.u32(at+4))*4096, content)
			continue
		}
		from := int(r.u32(at+8)) * 4096
		copy(content[int(r.u32(at))*4096:], r.data[from:min(from+int(r.u16(at+4))*4096, len(r.data))])
	}
}

func setAttribute(at, name, value string) error { return unix.Lsetxattr(at, name, []byte(value), 0) }
