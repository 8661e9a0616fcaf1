package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	archives "github.com/moby/go-archive"
)

// What the merge makes of layers is what Docker's own unpacker makes of them in a directory. A plain user can own nothing for
// others there and make no devices: owners are compared as root.
func TestRandomStacksAgainstGoArchive(t *testing.T) {
	stacks := 120
	if testing.Short() {
		stacks = 30
	}
	seen := map[string]int{}
	for seed := range stacks {
		stack := &randomStack{t: t, random: rand.New(rand.NewPCG(uint64(seed), 77)), root: t.TempDir(), seen: seen}
		stack.attributes = takesAttributes(stack.root)
		var blobs []blob
		for layers := 1 + stack.random.IntN(5); layers > 0 && stack.refused == nil; layers-- {
			blobs = append(blobs, stack.layer())
		}
		if stack.refused != nil {
			continue
		}
		outcome := mergeBlobs(t, nil, blobs...)
		owners := os.Getuid() == 0
		got, wanted := viewOf(made(t, outcome), owners), viewOf(readDirectory(t, stack.root), owners)
		// Of the root go-archive leaves everything as it was.
		delete(got, ".")
		delete(wanted, ".")
		if t.Run(fmt.Sprint("stack ", seed), func(t *testing.T) { got.same(t, wanted) }); t.Failed() {
			return
		}
		if err := os.RemoveAll(stack.root); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(seen)
	if seen["refused"] > stacks/10 {
		t.Errorf("go-archive refused %d", seen["refused"])
	}
	for _, what := range []string{"hide", "hide all", "dir", "file", "symlink", "link", "fifo", "implied", "through a link", "replaced"} {
		if seen[what] < stacks/10 {
			t.Errorf("only %d of %q", seen[what], what)
		}
	}
}

func takesAttributes(directory string) bool {
	probe := filepath.Join(directory, "probe")
	if os.WriteFile(probe, nil, 0o600) != nil {
		return false
	}
	defer os.Remove(probe)
	return setAttribute(probe, "user.probe", "1") == nil
}

// randomStack makes layers that can be applied to what the layers before them have made.
type randomStack struct {
	t          testing.TB
	random     *rand.Rand
	root       string
	attributes bool
	seen       map[string]int
	refused    error
}

var randomNames = []string{"a", "b", "c", "d", "caf\xe9", "new\nline", strings.Repeat("n", 255)}

func (s *randomStack) layer() blob {
	var hidden, placed []entry
	directories, others := s.listing()
	for range s.random.IntN(4) {
		in := pick(s, directories)
		if s.random.IntN(4) == 0 && in != "." {
			hidden = append(hidden, whiteout(in+"/.wh..wh..opq"))
			s.seen["hide all"]++
		} else if name := pick(s, append(others, directories...)); name != "." {
			hidden = append(hidden, whiteout(filepath.Join(filepath.Dir(name), ".wh."+filepath.Base(name))))
			s.seen["hide"]++
		}
	}
	for _, e := range hidden {
		// The directory of one may be what another hides.
		if _, err := os.Lstat(filepath.Join(s.root, filepath.Dir(e.Name))); err == nil {
			s.unpack(e)
		}
	}
	for entries := 1 + s.random.IntN(12); entries > 0 && s.refused == nil; entries-- {
		if e, ok := s.entry(); ok {
			s.unpack(e)
			placed = append(placed, e)
		}
	}
	for _, e := range hidden {
		placed = slices.Insert(placed, s.random.IntN(len(placed)+1), e)
	}
	data := archive(s.t, placed...)
	switch s.random.IntN(3) {
	case 0:
		return blob{gzipped(s.t, data), compressionGzip, digestOf(data)}
	case 1:
		return blob{zstandard(s.t, data), compressionZstd, digestOf(data)}
	}
	return blob{data, compressionNone, ""}
}

func (s *randomStack) unpack(e entry) {
	options := &archives.TarOptions{NoLchown: os.Getuid() != 0, InUserNS: os.Getuid() != 0}
	if _, err := archives.UnpackLayer(s.root, bytes.NewReader(archive(s.t, e)), options); err != nil {
		// It removes a link "l" that leads to its own directory for an entry "l/l", and then does not find it any more.
		s.refused = fmt.Errorf("%q: %w", e.Name, err)
		s.seen["refused"]++
	}
}

func (s *randomStack) entry() (entry, bool) {
	directories, others := s.listing()
	in := pick(s, directories)
	for _, name := range others {
		if s.random.IntN(4) == 0 && s.leadsToDirectory(name) {
			in = name
			s.seen["through a link"]++
		}
	}
	if s.random.IntN(8) == 0 {
		in += "/" + pick(s, randomNames)[:1] + "x/" + pick(s, randomNames)[:1]
		s.seen["implied"]++
	}
	name := in + "/" + pick(s, randomNames)
	if filepath.Base(in) == filepath.Base(name) {
		return entry{}, false
	}
	if parent, err := os.Lstat(filepath.Join(s.root, in)); err == nil && parent.Mode()&fs.ModeSymlink == 0 && !parent.IsDir() {
		return entry{}, false
	}
	for at := filepath.Dir(in); at != "."; at = filepath.Dir(at) {
		if was, err := os.Lstat(filepath.Join(s.root, at)); err == nil && !was.IsDir() && !s.leadsToDirectory(at) {
			return entry{}, false
		}
	}
	if _, err := os.Lstat(filepath.Join(s.root, name)); err == nil {
		s.seen["replaced"]++
	}
	e := entry{Header: tar.Header{
		Name: name, Mode: int64(s.random.IntN(0o10000)), Uid: s.random.IntN(3) * 1_500_000_000, Gid: s.random.IntN(1 << 20),
		ModTime: time.Unix(s.random.Int64N(1<<31), s.random.Int64N(1_000_000_000)), PAXRecords: map[string]string{},
	}}
	if os.Getuid() != 0 {
		// So that the owner can read it all.
		e.Mode |= 0o700
	}
	switch s.random.IntN(10) {
	case 0, 1, 2:
		e.Typeflag = tar.TypeDir
		s.seen["dir"]++
		// A directory that is made below one with setgid gets its group from the host's file system.
		e.Mode &^= 0o2000
		if s.attributes {
			e.PAXRecords["SCHILY.xattr.user.directory"] = "yes"
		}
	case 3, 4, 5:
		e.Typeflag = tar.TypeReg
		s.seen["file"]++
		e.data = strings.Repeat(pick(s, []string{"", "x", "\x00", "text "}), s.random.IntN(40_000))
		if s.attributes && s.random.IntN(3) == 0 {
			e.PAXRecords["SCHILY.xattr.user.one"] = strings.Repeat("1", s.random.IntN(300))
			e.PAXRecords["SCHILY.xattr.user.zwei"] = ""
			e.PAXRecords["SCHILY.xattr.user.three"] = pick(s, []string{"\x00\xff", "abc"})
		}
	case 6, 7:
		e.Typeflag = tar.TypeSymlink
		s.seen["symlink"]++
		e.Linkname = pick(s, []string{"a", "b", "../c", "/d", "../../../../etc/passwd", "./" + strings.Repeat("l", 100), "..", "."})
	case 8:
		var files []string
		for _, other := range others {
			if other != filepath.Clean(name) && !strings.HasPrefix(other, filepath.Clean(name)+"/") {
				files = append(files, other)
			}
		}
		if len(files) == 0 || s.throughLink(in) {
			return entry{}, false
		}
		e.Typeflag, e.Linkname = tar.TypeLink, pick(s, files)
		s.seen["link"]++
	case 9:
		e.Typeflag = tar.TypeFifo
		if os.Getuid() == 0 && s.random.IntN(2) == 0 {
			e.Typeflag, e.Devmajor, e.Devminor = tar.TypeChar, 200, 300
		}
		s.seen["fifo"]++
	}
	return e, true
}

func (s *randomStack) throughLink(in string) bool {
	for at := filepath.Clean(in); at != "."; at = filepath.Dir(at) {
		if was, err := os.Lstat(filepath.Join(s.root, at)); err == nil && !was.IsDir() {
			return true
		}
	}
	return false
}

func (s *randomStack) leadsToDirectory(name string) bool {
	root, err := os.OpenRoot(s.root)
	if err != nil {
		s.t.Fatal(err)
	}
	defer root.Close()
	info, err := root.Stat(name)
	return err == nil && info.IsDir()
}

// listing gives the directories, and all else, that are reached without a link.
func (s *randomStack) listing() (directories, others []string) {
	files := readDirectory(s.t, s.root)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if kind(files[name].mode)&kindMask == kindDirectory {
			directories = append(directories, name)
		} else {
			others = append(others, name)
		}
	}
	return directories, others
}

func pick[A any](s *randomStack, from []A) A { return from[s.random.IntN(len(from))] }
