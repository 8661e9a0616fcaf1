// Package files reads and writes the guest's files for its host, as whole trees (tar) and as pieces of one file.
package files

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"aegis.dev/guest-harness/internal/wire"
)

// Source is what an archive is made of: a file or a tree, opened.
type Source struct {
	name string
	file *os.File // a file
	root *os.Root // a tree
}

// Open finds what is at a path, following symlinks to it.
func Open(named string) (*Source, *wire.Failure) {
	if failure := absolute(named); failure != nil {
		return nil, failure
	}
	real, err := filepath.EvalSymlinks(named)
	if err != nil {
		return nil, failureOf(named, err)
	}
	s := &Source{name: path.Base(path.Clean(named))}
	if s.name == "/" {
		s.name = "."
	}
	if info, err := os.Stat(real); err == nil && info.IsDir() {
		if s.root, err = os.OpenRoot(real); err != nil {
			return nil, failureOf(named, err)
		}
		return s, nil
	}
	var failure *wire.Failure
	s.file, failure = openRegular(named, real, os.O_RDONLY)
	return s, failure
}

// Close lets go of it.
func (s *Source) Close() {
	if s.root != nil {
		_ = s.root.Close()
	} else {
		_ = s.file.Close()
	}
}

// Archive writes it as a tar archive whose first entry has its own name. Of a tree it has files, directories and symlinks; what is
// mounted below it, and all else, is left out. A file that is linked twice comes twice.
func (s *Source) Archive(w io.Writer) error {
	out := tar.NewWriter(w)
	var err error
	if s.root == nil {
		err = addFile(out, s.name, s.file)
	} else {
		err = s.addTree(out)
	}
	return errors.Join(err, out.Close())
}

func (s *Source) addTree(out *tar.Writer) error {
	top, err := s.root.Stat(".")
	if err != nil {
		return err
	}
	device := deviceOf(top)
	return fs.WalkDir(s.root.FS(), ".", func(at string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went while we were looking
		} else if err != nil {
			return err
		}
		name := path.Join(s.name, at)
		info, err := s.root.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case info.IsDir() && deviceOf(info) != device:
			return fs.SkipDir
		case info.IsDir():
			return out.WriteHeader(header(info, tar.TypeDir, name+"/", ""))
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := s.root.Readlink(at)
			if err != nil {
				return nil // it is no symlink any more
			}
			return out.WriteHeader(header(info, tar.TypeSymlink, name, target))
		case !info.Mode().IsRegular():
			return nil
		}
		file, err := s.root.OpenFile(at, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
		if err != nil {
			return nil // it went, or is something else by now
		}
		defer file.Close()
		return addFile(out, name, file)
	})
}

// addFile writes as many bytes as the file has at the begin: one that grows is cut off, one that shrinks is filled with zeros.
func addFile(out *tar.Writer, name string, file *os.File) error {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	if err := out.WriteHeader(header(info, tar.TypeReg, name, "")); err != nil {
		return err
	}
	written, err := io.CopyN(out, file, info.Size())
	if err == io.EOF {
		_, err = io.CopyN(out, zeros{}, info.Size()-written)
	}
	return err
}

func header(info fs.FileInfo, kind byte, name, target string) *tar.Header {
	h := &tar.Header{
		Typeflag: kind, Name: name, Linkname: target, Mode: int64(info.Mode().Perm()), ModTime: info.ModTime(), Format: tar.FormatPAX,
	}
	if kind == tar.TypeReg {
		h.Size = info.Size()
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		h.Uid, h.Gid = int(stat.Uid), int(stat.Gid)
	}
	return h
}

func deviceOf(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Dev
	}
	return 0
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
