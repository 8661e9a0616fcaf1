package files

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"aegis.dev/guest-harness/internal/wire"
)

// Extract unpacks an archive, and says how much there was. Into a directory everything goes under its own name; any other path is what
// the archive's first name, and everything below it, is called here; `into` demands the directory. Nothing is written outside of that
// directory. What is written belongs to root. A symlink or a file that is in the way of a file is replaced.
func Extract(r io.Reader, named string, into bool) (wire.Extracted, *wire.Failure) {
	var done wire.Extracted
	if failure := absolute(named); failure != nil {
		return done, failure
	}
	info, err := os.Stat(named)
	directory, called := named, ""
	switch {
	case err == nil && info.IsDir():
	case into:
		return done, failureOf(named, errors.Join(err, syscall.ENOTDIR))
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return done, failureOf(named, err)
	default:
		directory, called = path.Dir(path.Clean(named)), path.Base(path.Clean(named))
	}
	root, err := os.OpenRoot(directory)
	if err != nil {
		return done, failureOf(directory, err)
	}
	defer root.Close()
	x := extraction{root: root, called: called, done: &done}
	in := tar.NewReader(r)
	for {
		entry, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return done, wire.Failf(wire.File, "no tar archive that could be read: %v", err)
		}
		if err := x.add(entry, in); err != nil {
			return done, failureOf(path.Join(directory, entry.Name), err)
		}
	}
	for i := len(x.times) - 1; i >= 0; i-- {
		t := x.times[i]
		_ = root.Chtimes(t.name, t.header.ModTime, t.header.ModTime)
	}
	return done, nil
}

type extraction struct {
	root   *os.Root
	called string
	done   *wire.Extracted
	times  []dated // of directories, whose time changes until all is in them
}

type dated struct {
	name   string
	header *tar.Header
}

var errOutside = errors.New("the archive's name leads outside of its directory")

func (x *extraction) place(name string) (string, error) {
	name = strings.TrimSuffix(name, "/")
	if !filepath.IsLocal(name) {
		return "", errOutside
	}
	name = path.Clean(name)
	if x.called == "" {
		return name, nil
	}
	_, below, _ := strings.Cut(name, "/")
	return path.Join(x.called, below), nil
}

func (x *extraction) add(h *tar.Header, body io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := x.place(h.Name)
	if err != nil {
		return err
	}
	mode := fs.FileMode(h.Mode) & 0o777
	if h.Typeflag == tar.TypeDir {
		if err := x.root.MkdirAll(name, 0o755); err != nil {
			return err
		}
		x.times = append(x.times, dated{name, h})
		if name == "." {
			return nil // it was there, with a mode of its own
		}
		return x.root.Chmod(name, mode)
	}
	if parent := path.Dir(name); parent != "." {
		if err := x.root.MkdirAll(parent, 0o755); err != nil {
			return err
		}
	}
	if info, err := x.root.Lstat(name); err == nil && !info.IsDir() {
		if err := x.root.Remove(name); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return x.file(name, mode, h, body)
	case tar.TypeSymlink:
		x.done.Files++
		return x.root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		target, err := x.place(h.Linkname)
		if err != nil {
			return err
		}
		x.done.Files++
		return x.root.Link(target, name)
	default:
		return errors.New("only files, directories and links can be copied")
	}
}

func (x *extraction) file(name string, mode fs.FileMode, h *tar.Header, body io.Reader) error {
	file, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(file, body)
	err = errors.Join(err, file.Chmod(mode), file.Close())
	if err == nil {
		err = x.root.Chtimes(name, h.ModTime, h.ModTime)
	}
	x.done.Files++
	x.done.Bytes += n
	return err
}
