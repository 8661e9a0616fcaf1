package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"
	"time"
)

const (
	tarBlock = 512
	// NAME_MAX, and PATH_MAX without its NUL, of Linux.
	maxName   = 255
	maxTarget = 4095
	// The low twelve bits of st_mode: permissions, setuid, setgid, sticky.
	modeBits = 0o7777
)

// change is what one entry of an archive does to a tree. A file's contents are on the disk already.
type change struct {
	name string
	act  act
	// The file, or, for a link, what the entry tells of the file it leads to.
	node *node
	// The file that a link leads to.
	target string
}

type act byte

const (
	actPlace act = iota
	actLink
	// Whiteouts: what has this name, or all in the directory of this name, is hidden from below.
	actHide
	actHideAll
)

// entryReader reads the entries of an archive and refuses what an ext4 file system cannot hold.
type entryReader struct {
	source *counter
	disk   *disk
	limits *limits
	spent  *spent
	// In a layer some names are whiteouts. Elsewhere they are names.
	whiteouts bool
	// An archive that ends without its end marker may have been cut off, unless it is known to be whole.
	markerNeeded bool
	report       func()
	current      string
}

// spent is what the archives of one disk have used of its limits.
type spent struct{ entries, bytes int64 }

// each gives every entry to apply, and reads the archive to its very end: its writer must not meet a closed pipe.
func (r *entryReader) each(apply func(change) error) error {
	archive := tar.NewReader(r.source)
	for {
		header, err := r.next(archive)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if r.spent.entries++; r.spent.entries > r.limits.Entries {
			return overLimit("the number of entries", fmt.Sprint(r.limits.Entries))
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			// Defaults for the entries that follow; archive/tar does not apply them, and what writes root file systems sets
			// nothing but comments in them.
			continue
		}
		made, err := r.change(header)
		if err == nil && made != nil && made.node.kind() == kindRegular && made.act == actPlace {
			made.node.extents, err = r.disk.store(&watched{r, archive}, made.node.size)
		}
		if err == nil && made != nil {
			err = apply(*made)
		}
		if err != nil {
			return r.named(err)
		}
		r.report()
	}
	_, err := io.Copy(io.Discard, r.source)
	return err
}

// next gives the next header; io.EOF only at a real end of archive. An archive that stops between two entries, without the
// block of zeros that ends it, was cut off: a file system from half of it must not look whole.
func (r *entryReader) next(archive *tar.Reader) (*tar.Header, error) {
	before := ceil(r.source.bytes, tarBlock) * tarBlock
	header, err := archive.Next()
	switch {
	case err == nil:
		r.current = header.Name
		return header, nil
	case errors.Is(err, io.EOF):
		if r.markerNeeded && r.source.bytes-before < tarBlock {
			return nil, &failure{Code: codeBadTar, Message: "the archive is cut off: its end marker is missing", Entry: r.current}
		}
		return nil, io.EOF
	}
	return nil, r.named(err)
}

// named makes a failure of an error that came up at the current entry.
func (r *entryReader) named(err error) error {
	var known *failure
	switch {
	case errors.As(err, &known):
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		known = &failure{Code: codeBadTar, Message: "the archive is cut off"}
	case errors.Is(err, tar.ErrHeader):
		known = &failure{Code: codeBadTar, Message: "not a tar archive, or a damaged one: " + err.Error()}
	case errors.Is(err, tar.ErrFieldTooLong), errors.Is(err, tar.ErrInsecurePath), strings.HasPrefix(err.Error(), "archive/tar:"):
		known = &failure{Code: codeBadTar, Message: err.Error()}
	default:
		known = asFailure(err)
	}
	if known.Entry == "" {
		known.Entry = r.current
	}
	return known
}

func refuse(format string, values ...any) error {
	return &failure{Code: codeBadEntry, Message: fmt.Sprintf(format, values...)}
}

// change is nil for an entry that means nothing.
func (r *entryReader) change(h *tar.Header) (*change, error) {
	name, err := r.clean(h.Name)
	if err != nil {
		return nil, err
	}
	n := &node{
		mode:  uint16(h.Mode & modeBits),
		uid:   uint32(h.Uid),
		gid:   uint32(h.Gid),
		mtime: stampOf(h.ModTime),
		atime: stampOf(h.AccessTime, h.ModTime),
		ctime: stampOf(h.ChangeTime, h.ModTime),
	}
	if r.whiteouts {
		if made, whiteout, err := whiteoutOf(name); err != nil || whiteout {
			if made != nil {
				made.node = n
			}
			return made, err
		}
	}
	// The highest number is no user: it stands for none in the kernel's calls.
	if h.Uid < 0 || h.Gid < 0 || int64(h.Uid) >= math.MaxUint32 || int64(h.Gid) >= math.MaxUint32 {
		return nil, refuse("owner %d:%d does not fit 32 bits", h.Uid, h.Gid)
	}
	if n.attributes, err = attributesOf(h); err != nil {
		return nil, refuse("%s", err)
	}
	made := &change{name: name, node: n}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		n.mode |= uint16(kindRegular)
		n.size = h.Size
		if h.Size > r.limits.File {
			return nil, overLimit(fmt.Sprintf("a file of %d bytes", h.Size), inBytes(r.limits.File))
		}
		// Also what takes no space in the archive, as holes of a sparse file do not, takes time to read.
		if r.spent.bytes += h.Size; r.spent.bytes > r.limits.Total {
			return nil, overLimit("the size of all files", inBytes(r.limits.Total))
		}
	case tar.TypeDir:
		n.mode |= uint16(kindDirectory)
	case tar.TypeSymlink:
		n.mode = uint16(kindSymlink) | 0o777
		if h.Linkname == "" || len(h.Linkname) > maxTarget || strings.IndexByte(h.Linkname, 0) >= 0 {
			return nil, refuse("a symbolic link of %d bytes cannot be", len(h.Linkname))
		}
		n.target, n.size = strings.Clone(h.Linkname), int64(len(h.Linkname))
	case tar.TypeLink:
		made.act = actLink
		made.target, err = r.clean(h.Linkname)
	case tar.TypeChar, tar.TypeBlock:
		if h.Devmajor < 0 || h.Devmajor > 0xfff || h.Devminor < 0 || h.Devminor > 0xfffff {
			return nil, refuse("device %d:%d does not exist in Linux", h.Devmajor, h.Devminor)
		}
		n.major, n.minor = uint32(h.Devmajor), uint32(h.Devminor)
		n.mode |= uint16(kindCharacter)
		if h.Typeflag == tar.TypeBlock {
			n.mode = n.mode&modeBits | uint16(kindBlock)
		}
	case tar.TypeFifo:
		n.mode |= uint16(kindFifo)
	default:
		return nil, refuse("entries of type %q are unknown", string(rune(h.Typeflag)))
	}
	return made, err
}

// clean gives the path below the root, "" for the root itself. Nothing leads above the root.
func (r *entryReader) clean(name string) (string, error) {
	if name == "" || strings.IndexByte(name, 0) >= 0 {
		return "", &failure{Code: codeBadPath, Message: fmt.Sprintf("a path of %d bytes cannot be", len(name))}
	}
	if int64(len(name)) > r.limits.Path {
		return "", overLimit("the length of a path", inBytes(r.limits.Path))
	}
	clean := path.Clean(strings.TrimLeft(name, "/"))
	switch {
	case clean == ".":
		return "", nil
	case clean == "..", strings.HasPrefix(clean, "../"):
		return "", &failure{Code: codeBadPath, Message: fmt.Sprintf("%q leads upwards", name)}
	}
	depth := int64(0)
	for part := range strings.SplitSeq(clean, "/") {
		if r.whiteouts {
			// The longest name can be hidden, too.
			part = strings.TrimPrefix(part, whiteoutPrefix)
		}
		if len(part) > maxName {
			return "", &failure{Code: codeBadPath, Message: fmt.Sprintf("a name of %d bytes; at most %d are possible", len(part), maxName)}
		}
		if depth++; depth > r.limits.Depth {
			return "", overLimit("the depth of its directories", fmt.Sprint(r.limits.Depth))
		}
	}
	return clean, nil
}

const attributeRecord = "SCHILY.xattr."

func attributesOf(h *tar.Header) (*attributes, error) {
	var found map[string]string
	for key, value := range h.PAXRecords {
		if name, is := strings.CutPrefix(key, attributeRecord); is {
			if found == nil {
				found = map[string]string{}
			}
			found[name] = value
		}
	}
	return newAttributes(found)
}

// stampOf takes the first time that the archive tells.
func stampOf(times ...time.Time) stamp {
	for _, t := range times {
		if !t.IsZero() {
			return newStamp(t.Unix(), t.Nanosecond())
		}
	}
	return stamp{}
}

// watched reports progress within a long file.
type watched struct {
	entries *entryReader
	reader  io.Reader
}

func (w *watched) Read(p []byte) (int, error) {
	count, err := w.reader.Read(p)
	w.entries.report()
	return count, err
}

// counter counts what is read through it.
type counter struct {
	reader io.Reader
	bytes  int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.reader.Read(p)
	c.bytes += int64(n)
	return n, err
}
