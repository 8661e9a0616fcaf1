package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"
)

const (
	tarBlock = 512
	// PATH_MAX and NAME_MAX of Linux, without the NUL.
	maxPath = 4095
	maxName = 255
	// The low twelve bits of st_mode: permissions, setuid, setgid, sticky.
	modeBits = 0o7777
)

// normaliser reads the entries of an archive, refuses what an ext4 file system cannot hold, and writes the rest as a PAX tar.
type normaliser struct {
	source  *counter
	limit   int64
	report  func(progress)
	count   int64
	current string
	// kinds remembers what is at each path: a hard link must lead to a file that is there, and nothing may be replaced.
	kinds map[string]byte
}

func (n *normaliser) copyTo(out io.Writer) error {
	n.kinds = map[string]byte{"/": tar.TypeDir}
	from := tar.NewReader(n.source)
	to := tar.NewWriter(out)
	for {
		header, err := n.next(from)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			// Defaults for the entries that follow; archive/tar does not apply them, and what writes root file systems sets
			// nothing but comments in them.
			continue
		}
		plain, err := n.plain(header)
		if err != nil {
			return err
		}
		if err := to.WriteHeader(plain); err != nil {
			return n.outOf(err)
		}
		if _, err := io.Copy(to, &watched{normaliser: n, reader: from}); err != nil {
			return n.outOf(err)
		}
		n.count++
		n.report(progress{BytesIn: n.source.bytes, Entries: n.count})
	}
	if err := to.Close(); err != nil {
		return n.outOf(err)
	}
	return n.drain()
}

// next gives the next header; io.EOF only at a real end of archive. An archive that stops between two entries, without the
// block of zeros that ends it, was cut off: a file system from half of it must not look whole.
func (n *normaliser) next(from *tar.Reader) (*tar.Header, error) {
	before := (n.source.bytes + tarBlock - 1) / tarBlock * tarBlock
	header, err := from.Next()
	switch {
	case err == nil:
		n.current = header.Name
		return header, nil
	case errors.Is(err, io.EOF):
		if n.source.bytes-before < tarBlock {
			return nil, n.fault(codeBadTar, "the archive is cut off: its end marker is missing")
		}
		return nil, io.EOF
	}
	return nil, n.unreadable(err)
}

func (n *normaliser) unreadable(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n.fault(codeBadTar, "the archive is cut off")
	case errors.Is(err, tar.ErrHeader):
		return n.fault(codeBadTar, "not a tar archive, or a damaged one: "+err.Error())
	case errors.Is(err, tar.ErrFieldTooLong), errors.Is(err, tar.ErrInsecurePath):
		return n.fault(codeBadTar, err.Error())
	}
	return n.outOf(err)
}

// outOf names an error that came up while an entry went from one half to the other.
func (n *normaliser) outOf(err error) error {
	var known *failure
	switch {
	case errors.Is(err, errImageFailed), errors.As(err, &known):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n.fault(codeBadTar, "the archive is cut off")
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong), errors.Is(err, tar.ErrWriteTooLong), errors.Is(err, tar.ErrWriteAfterClose):
		return n.fault(codeBadTar, err.Error())
	}
	if strings.HasPrefix(err.Error(), "archive/tar:") {
		return n.fault(codeBadEntry, strings.TrimPrefix(err.Error(), "archive/tar: "))
	}
	named := asFailure(err)
	named.Entry = n.current
	return named
}

func (n *normaliser) fault(code, message string) error {
	return &failure{Code: code, Message: message, Entry: n.current}
}

func (n *normaliser) refuse(format string, values ...any) error {
	return n.fault(codeBadEntry, fmt.Sprintf(format, values...))
}

// plain is the header as tar2ext4 understands it in every case.
func (n *normaliser) plain(h *tar.Header) (*tar.Header, error) {
	name, err := n.cleanPath(h.Name)
	if err != nil {
		return nil, err
	}
	plain := &tar.Header{
		Typeflag: h.Typeflag,
		Name:     name,
		Mode:     h.Mode & modeBits,
		Uid:      h.Uid, Gid: h.Gid,
		ModTime: h.ModTime, AccessTime: h.AccessTime, ChangeTime: h.ChangeTime,
		Format: tar.FormatPAX,
	}
	if h.Uid < 0 || h.Gid < 0 || int64(h.Uid) >= math.MaxUint32 || int64(h.Gid) >= math.MaxUint32 {
		return nil, n.refuse("owner %d:%d does not fit 32 bits", h.Uid, h.Gid)
	}
	// A time the archive does not tell is the file's modification, not 1970.
	if plain.AccessTime.IsZero() {
		plain.AccessTime = h.ModTime
	}
	if plain.ChangeTime.IsZero() {
		plain.ChangeTime = h.ModTime
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		plain.Typeflag = tar.TypeReg
		plain.Size = h.Size
		if h.Size > n.limit {
			return nil, n.fault(codeTooLarge, fmt.Sprintf("a file of %d bytes; the image may have %d", h.Size, n.limit))
		}
	case tar.TypeDir:
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) > maxPath || strings.IndexByte(h.Linkname, 0) >= 0 {
			return nil, n.refuse("a symbolic link of %d bytes cannot be", len(h.Linkname))
		}
		plain.Linkname = h.Linkname
	case tar.TypeLink:
		target, err := n.cleanPath(h.Linkname)
		if err != nil {
			return nil, err
		}
		kind, there := n.kinds[target]
		if !there || kind == tar.TypeDir {
			return nil, n.refuse("a hard link to %q, which is not a file before it in the archive", h.Linkname)
		}
		plain.Linkname = target
		// An archive may store the file's data again with its link; the first copy is the file.
		plain.Size = 0
	case tar.TypeChar, tar.TypeBlock:
		if h.Devmajor < 0 || h.Devmajor > 0xfff || h.Devminor < 0 || h.Devminor > 0xfffff {
			return nil, n.refuse("device %d:%d does not exist in Linux", h.Devmajor, h.Devminor)
		}
		plain.Devmajor, plain.Devminor = h.Devmajor, h.Devminor
	case tar.TypeFifo:
	default:
		return nil, n.refuse("entries of type %q are unknown", string(rune(h.Typeflag)))
	}
	if h.Typeflag != tar.TypeLink {
		if err := n.extendedAttributes(h, plain); err != nil {
			return nil, err
		}
	}
	return plain, n.place(name, plain.Typeflag)
}

// cleanPath gives the absolute path in the image.
func (n *normaliser) cleanPath(name string) (string, error) {
	if name == "" || len(name) > maxPath || strings.IndexByte(name, 0) >= 0 {
		return "", n.refuse("a path of %d bytes cannot be", len(name))
	}
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			return "", n.refuse("%q leads upwards", name)
		}
		if len(part) > maxName {
			return "", n.refuse("a name of %d bytes; at most %d are possible", len(part), maxName)
		}
	}
	return path.Clean("/" + name), nil
}

const xattrRecord = "SCHILY.xattr."

func (n *normaliser) extendedAttributes(h, plain *tar.Header) error {
	for key, value := range h.PAXRecords {
		name, found := strings.CutPrefix(key, xattrRecord)
		if !found {
			continue
		}
		if name == "" || len(name) > maxName {
			return n.refuse("an extended attribute's name of %d bytes cannot be", len(name))
		}
		if plain.PAXRecords == nil {
			plain.PAXRecords = map[string]string{}
		}
		plain.PAXRecords[key] = value
	}
	return nil
}

// place notes that something of this kind is at name. A directory may come again, to set its attributes; anything else may
// stand in one place once, and only below directories.
func (n *normaliser) place(name string, kind byte) error {
	for parent := path.Dir(name); parent != "/"; parent = path.Dir(parent) {
		was, there := n.kinds[parent]
		if there && was != tar.TypeDir {
			return n.refuse("it lies below %q, which is not a directory", parent)
		}
		if there {
			break
		}
		n.kinds[parent] = tar.TypeDir
	}
	if was, there := n.kinds[name]; there && !(was == tar.TypeDir && kind == tar.TypeDir) {
		return n.refuse("%q is in the archive already", name)
	}
	n.kinds[name] = kind
	return nil
}

// drain reads what lies behind the end marker: tar pads its last record, and its writer must not meet a closed pipe.
func (n *normaliser) drain() error {
	if _, err := io.Copy(io.Discard, n.source); err != nil {
		return asFailure(err)
	}
	return nil
}

// watched reports progress within a long file.
type watched struct {
	normaliser *normaliser
	reader     io.Reader
}

func (w *watched) Read(p []byte) (int, error) {
	count, err := w.reader.Read(p)
	w.normaliser.report(progress{BytesIn: w.normaliser.source.bytes, Entries: w.normaliser.count})
	return count, err
}
