package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func (o outcome) failure(t testing.TB) failure {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(o.stderr, "\n"), "\n")
	var got failure
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
		t.Fatalf("exit %d, stderr %q: %v", o.code, o.stderr, err)
	}
	return got
}

// has checks what stands at paths: the text of a file, "/" for a directory, "-> target" for a link, "" for nothing.
func has(t testing.TB, files map[string]*file, wanted map[string]string) {
	t.Helper()
	for name, want := range wanted {
		got := ""
		if f := files[name]; f != nil {
			switch kind(f.mode) & kindMask {
			case kindDirectory:
				got = "/"
			case kindSymlink:
				got = "-> " + f.target
			default:
				got = string(f.content)
			}
		}
		if got != want {
			t.Errorf("%q is %q, wanted %q", name, got, want)
		}
	}
	for name := range files {
		if strings.HasPrefix(filepath.Base(name), ".wh.") {
			t.Errorf("%q is left", name)
		}
	}
}

func TestT74Names(t *testing.T) {
	names := []string{
		"/absolute", "./dot", "back\\slash", "new\nline", "esc\x1b[2J", "latin\xe9\xff", "caf\u00e9", "cafe\u0301",
		"..foo", strings.Repeat("n", 255), strings.Repeat("d/", 127) + "deep", strings.Repeat(strings.Repeat("x", 200)+"/", 19) + "long",
	}
	var entries []entry
	for _, name := range names {
		entries = append(entries, regular(name, name))
	}
	files := layers(t, entries)
	for _, name := range names {
		has(t, files, map[string]string{filepath.Clean(strings.TrimPrefix(name, "/")): name})
	}
	has(t, layers(t, []entry{dir(".", 0o700), regular("a/../b", "b"), dir("/", 0o711)}), map[string]string{"b": "b", "a": "", ".": "/"})

	for name, code := range map[string]string{
		"../up": codeBadPath, "/../up": codeBadPath, "a/../../up": codeBadPath, "..": codeBadPath,
		strings.Repeat("n", 256) + "/x": codeBadPath, strings.Repeat("a/", 3000) + "x": codeTooLarge,
		strings.Repeat(strings.Repeat("x", 200)+"/", 21) + "x": codeTooLarge, strings.Repeat("d/", 128) + "deep": codeTooLarge,
	} {
		mergeBlobs(t, nil, plain(t, regular("before", ""), regular(name, ""))).refused(t, code, name)
	}
	mergeBlobs(t, nil, plain(t, regular(".", ""))).refused(t, codeBadEntry, ".")
	mergeBlobs(t, nil, plain(t, symlink("a/..", "x"))).refused(t, codeBadEntry, ".")
	// What archive/tar would not write.
	empty := plain(t, regular("x", ""))
	at := bytes.Index(empty.data, []byte("x\x00"))
	empty.data[at] = 0
	rechecksum(empty.data[at : at+tarBlock])
	empty.diffID = ""
	mergeBlobs(t, nil, empty).refused(t, codeBadPath, "")
}

func rechecksum(header []byte) {
	copy(header[148:156], "        ")
	sum := 0
	for _, b := range header[:tarBlock] {
		sum += int(b)
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

func TestT75SymbolicLinks(t *testing.T) {
	base := []entry{
		dir("usr/lib", 0o755), regular("usr/lib/low", "low"), symlink("lib", "usr/lib"), symlink("abs", "/usr/lib"),
		symlink("out", "../../../../../../etc"), symlink("hop", "abs"), symlink("loop", "pool"), symlink("pool", "loop"),
		symlink("dangling", "not/there"), symlink("self", "/proc/self/root"), regular("target", "untouched"), symlink("to", "target"),
	}
	files := layers(t, base, []entry{
		regular("lib/through", "1"), regular("abs/absolute", "2"), regular("hop/chain", "3"), regular("out/passwd", "4"),
		regular("dangling/made", "5"), regular("to", "replaced, not written through"), dir("self", 0o700),
	})
	has(t, files, map[string]string{
		"usr/lib/low": "low", "usr/lib/through": "1", "usr/lib/absolute": "2", "usr/lib/chain": "3", "etc/passwd": "4",
		"not/there/made": "5", "target": "untouched", "to": "replaced, not written through", "self": "/",
		"lib": "-> usr/lib", "dangling": "-> not/there", "out": "-> ../../../../../../etc", "loop": "-> pool",
	})
	mergeBlobs(t, nil, plain(t, base...), plain(t, regular("loop/x", ""))).refused(t, codeBadPath, "loop/x")
	mergeBlobs(t, nil, plain(t, base...), plain(t, regular("to/x", ""))).refused(t, codeBadPath, "to/x")
	// A directory takes a link's place; it does not go through it, nor do modes and owners.
	files = layers(t, base, []entry{dir("lib", 0o700), regular("lib/own", "own")})
	has(t, files, map[string]string{"lib": "/", "lib/own": "own", "lib/low": "", "usr/lib/low": "low"})
	if files["usr/lib"].mode&modeBits != 0o755 || files["lib"].mode&modeBits != 0o700 {
		t.Errorf("%o %o", files["usr/lib"].mode, files["lib"].mode)
	}
	// Links that lead below each other cannot make a tree deeper than may be.
	var deep []entry
	for i := range 200 {
		deep = append(deep, dir(fmt.Sprintf("l%d/d", i), 0o755), symlink(fmt.Sprintf("l%d", i+1), fmt.Sprintf("l%d/d", i)))
	}
	if got := mergeBlobs(t, nil, plain(t, deep...)); got.failure(t).Code != codeBadPath && got.failure(t).Code != codeTooLarge {
		t.Errorf("%+v", got.failure(t))
	}
}

func TestT76HardLinks(t *testing.T) {
	base := []entry{regular("low", "low"), dir("d", 0o755), symlink("s", "low"), symlink("to-d", "d"), regular("d/f", "in d")}
	files := layers(t, base, []entry{
		hardlink("cross", "low"), hardlink("absolute", "/low"), hardlink("to-link", "s"), hardlink("through", "to-d/f"), hardlink("again", "low"), hardlink("again", "low"),
	})
	has(t, files, map[string]string{"cross": "low", "absolute": "low", "to-link": "-> low", "through": "in d", "again": "low"})
	if files["cross"].inode != files["low"].inode || files["to-link"].inode != files["s"].inode || files["through"].inode != files["d/f"].inode {
		t.Error("the links are other files")
	}
	// Broken by a later layer: the other name keeps the contents, and writing to one does not reach the other.
	files = layers(t, []entry{regular("a", "first"), hardlink("b", "a")}, []entry{regular("a", "second")}, []entry{whiteout(".wh.c")})
	has(t, files, map[string]string{"a": "second", "b": "first"})
	files = layers(t, []entry{regular("a", "first"), hardlink("b", "a")}, []entry{whiteout(".wh.a")})
	has(t, files, map[string]string{"a": "", "b": "first"})
	// A name hidden in its own layer's successor, and linked to in that very layer: the whiteout comes first.
	mergeBlobs(t, nil, plain(t, base...), plain(t, hardlink("x", "low"), whiteout(".wh.low"))).refused(t, codeBadEntry, "x")
	for name, e := range map[string]entry{
		"missing": hardlink("missing", "nothing"), "directory": hardlink("directory", "d"), "me": hardlink("me", "me"), "root": hardlink("root", "/"),
	} {
		mergeBlobs(t, nil, plain(t, base...), plain(t, e)).refused(t, codeBadEntry, name)
	}
	mergeBlobs(t, nil, plain(t, base...), plain(t, hardlink("out", "../../etc/passwd"))).refused(t, codeBadPath, "out")
}

func TestT77Whiteouts(t *testing.T) {
	base := []entry{
		dir("d", 0o755), regular("d/x", "low x"), regular("d/y", "low y"), dir("d/sub", 0o755), regular("d/sub/z", "low z"),
		symlink("to-d", "d"), regular("f", "low f"), dir("e", 0o755), regular("e/1", "1"), symlink("l", "e"),
	}
	hides := []entry{whiteout("d/.wh.x"), whiteout(".wh.f"), whiteout("e/.wh..wh..opq")}
	brings := []entry{regular("d/x", "new x"), dir("e", 0o700), regular("e/2", "2")}
	wanted := map[string]string{"d/x": "new x", "d/y": "low y", "f": "", "e/1": "", "e/2": "2", "d/sub/z": "low z"}
	has(t, layers(t, base, append(append([]entry{}, hides...), brings...)), wanted)
	has(t, layers(t, base, append(append([]entry{}, brings...), hides...)), wanted)

	has(t, layers(t, base, []entry{whiteout("to-d/.wh.x")}), map[string]string{"d/x": "", "d/y": "low y", "to-d": "-> d"})
	has(t, layers(t, base, []entry{whiteout(".wh..wh..opq"), regular("only", "only")}), map[string]string{"d": "", "f": "", "only": "only"})
	has(t, layers(t, base, []entry{whiteout(".wh.d"), regular("d/n", "n")}), map[string]string{"d/n": "n", "d/y": "", "d/sub": ""})
	has(t, layers(t, base, []entry{regular("d/n", "n"), whiteout(".wh.d")}), map[string]string{"d/n": "n", "d/y": "", "d/sub": ""})
	// A directory in a link's or a file's place is empty of lower layers; the link's end keeps what it has.
	for _, marker := range [][]entry{{dir("l", 0o755), whiteout("l/.wh..wh..opq"), whiteout("l/.wh.1")}, {whiteout("l/.wh..wh..opq"), dir("l", 0o755)}} {
		has(t, layers(t, base, marker), map[string]string{"l": "/", "l/1": "", "e/1": "1"})
	}
	has(t, layers(t, base, []entry{dir("f", 0o755), whiteout("f/.wh..wh..opq"), regular("f/in", "in")}), map[string]string{"f/in": "in"})
	// Nothing to hide, and AUFS's books.
	files := layers(t, base, []entry{
		whiteout("not/there/.wh.x"), whiteout(".wh.nothing"), whiteout("f/.wh.x"), dir(".wh..wh.plnk", 0o700), regular(".wh..wh.plnk/1", ""),
		regular(".wh..wh.aufs", ""), regular("d/.wh..wh.orph", ""),
	})
	has(t, files, map[string]string{"not": "", "f": "low f", ".wh..wh.plnk": "", "d/x": "low x"})
	if len(files) != len(layers(t, base)) {
		t.Error("something is left of what means nothing")
	}
	for _, name := range []string{".wh.", ".wh..", ".wh...", "d/.wh.", "d/.wh...", ".wh.d/x"} {
		mergeBlobs(t, nil, plain(t, base...), plain(t, whiteout(name))).refused(t, codeBadPath, name)
	}
}

func TestT78Types(t *testing.T) {
	device := func(name string, typeflag byte, major, minor int64) entry {
		return entry{Header: tar.Header{Typeflag: typeflag, Name: name, Mode: 0o660, Devmajor: major, Devminor: minor}}
	}
	files := layers(t, []entry{
		device("fifo", tar.TypeFifo, 0, 0), device("null", tar.TypeChar, 1, 3), device("sda", tar.TypeBlock, 8, 0), device("large", tar.TypeBlock, 0xfff, 0xfffff),
		regular("twice", "first"), regular("twice", "last"), dir("gone", 0o755), regular("gone/x", "x"), regular("gone", "a file"),
		regular("file", ""), dir("file", 0o755), regular("file/in", "in"),
	})
	has(t, files, map[string]string{"twice": "last", "gone": "a file", "gone/x": "", "file/in": "in"})
	for name, wanted := range map[string]string{"null": "1:3", "sda": "8:0", "large": "4095:1048575"} {
		if files[name].device != wanted || files[name].mode&modeBits != 0o660 {
			t.Errorf("%s is %s", name, files[name].line(true))
		}
	}
	if kind(files["fifo"].mode)&kindMask != kindFifo || kind(files["sda"].mode)&kindMask != kindBlock {
		t.Error("wrong kinds")
	}
	mergeBlobs(t, nil, plain(t, regular("f", ""), regular("f/g", ""))).refused(t, codeBadPath, "f/g")

	patched := func(change func(header []byte)) blob {
		data := archive(t, regular("ok", "1"), entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: "odd", Mode: 0o600}, data: "22"}, regular("after", "3"))
		at := bytes.Index(data, []byte("odd\x00"))
		change(data[at : at+tarBlock])
		return blob{data: data, compression: compressionNone}
	}
	typed := func(typeflag byte) blob {
		return patched(func(h []byte) { h[156] = typeflag; rechecksum(h) })
	}
	has(t, made(t, mergeBlobs(t, nil, typed(tar.TypeCont))), map[string]string{"odd": "22", "after": "3"})
	mergeBlobs(t, nil, typed('Z')).refused(t, codeBadEntry, "odd")
	mergeBlobs(t, nil, patched(func(h []byte) { copy(h[124:136], "77777777777\x00"); rechecksum(h) })).refused(t, codeTooLarge, "odd")
	huge := func(h []byte) { copy(h[124:136], "\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00"); rechecksum(h) }
	mergeBlobs(t, nil, patched(huge)).refused(t, codeTooLarge, "odd")
	for name, change := range map[string]func([]byte){
		"checksum":      func(h []byte) { h[148] ^= 1 },
		"negative size": func(h []byte) { copy(h[124:136], bytes.Repeat([]byte{0xff}, 12)); rechecksum(h) },
		"no number":     func(h []byte) { copy(h[124:136], "not a number"); rechecksum(h) },
		// An extended header, or a long name, that claims to be gigabytes long.
		"1 GiB header": func(h []byte) { h[156] = 'x'; copy(h[124:136], "10000000000\x00"); rechecksum(h) },
		"8 GiB name": func(h []byte) {
			h[156] = 'L'
			copy(h[124:136], "\x80\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00")
			rechecksum(h)
		},
		"no such records": func(h []byte) { h[156] = 'x'; rechecksum(h) },
	} {
		if got := mergeBlobs(t, nil, patched(change)); got.failure(t).Code != codeBadTar {
			t.Errorf("%s: %+v", name, got.failure(t))
		}
	}
	whole := archive(t, regular("a", strings.Repeat("a", 1000)))
	for length := range len(whole) - 2*tarBlock {
		if length%100 == 0 && length > 0 {
			if got := mergeBlobs(t, nil, blob{whole[:length], compressionNone, digestOf(whole[:length])}); length%tarBlock != 0 && got.failure(t).Code != codeBadTar {
				t.Errorf("cut at %d: %+v", length, got.failure(t))
			}
		}
	}
	// Without an end marker only a digest tells that nothing is missing.
	unmarked := whole[:len(whole)-2*tarBlock]
	has(t, made(t, mergeBlobs(t, nil, blob{unmarked, compressionNone, digestOf(unmarked)})), map[string]string{"a": strings.Repeat("a", 1000)})
	mergeBlobs(t, nil, blob{unmarked, compressionNone, ""}).refused(t, codeBadTar, "a")
	// What follows the marker is no part of the archive.
	behind := append(bytes.Clone(whole), archive(t, regular("behind", ""))...)
	has(t, made(t, mergeBlobs(t, nil, blob{behind, compressionNone, digestOf(behind)})), map[string]string{"behind": ""})

	long := strings.Repeat("long/", 40) + "name"
	var gnu bytes.Buffer
	w := tar.NewWriter(&gnu)
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeReg, Name: long, Format: tar.FormatGNU}, {Typeflag: tar.TypeSymlink, Name: "s", Linkname: long, Format: tar.FormatGNU},
		{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "ignored", "comment": "text"}}, {Typeflag: tar.TypeReg, Name: "after-global"},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files = made(t, mergeBlobs(t, nil, blob{gnu.Bytes(), compressionNone, ""}))
	has(t, files, map[string]string{"s": "-> " + long, "ignored": ""})
	if files[long] == nil || files["after-global"] == nil {
		t.Error("long names, or what follows a global header, are lost")
	}
}

func TestT79Metadata(t *testing.T) {
	acl := "\x02\x00\x00\x00" + "\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x04\x00\xe8\x03\x00\x00" + "\x04\x00\x04\x00\xff\xff\xff\xff" + "\x10\x00\x04\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"
	attribute := func(name string, attributes map[string]string) entry {
		e := regular(name, "x")
		e.PAXRecords = map[string]string{}
		for key, value := range attributes {
			e.PAXRecords["SCHILY.xattr."+key] = value
		}
		return e
	}
	at := func(name string, when time.Time) entry {
		e := regular(name, "")
		e.ModTime = when
		return e
	}
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	many := map[string]string{"security.capability": capability, "user.empty": "", "user.b": strings.Repeat("b", 700), "user.aa": strings.Repeat("a", 900), "user.c": "\x00\xff"}
	if os.Getuid() == 0 {
		many["trusted.z"] = "z"
	}
	stack := [][]entry{{
		dir("closed", 0), regular("closed/in", "in"), dir("read-only", 0o555), dir("listed", 0o700), dir("tmp", 0o1777), dir("/", 0o750),
		{Header: tar.Header{Typeflag: tar.TypeReg, Name: "su", Mode: 0o6755, Uid: 1 << 31, Gid: math.MaxUint32 - 1}},
		attribute("many", many), attribute("acl", map[string]string{"system.posix_acl_access": acl}),
		attribute("books", map[string]string{"trusted.overlay.opaque": "y", "user.overlay.origin": "x", "user.containers.override_stat": "0:0:0", "com.apple.quarantine": "q", "user.kept": "k"}),
		at("old", time.Unix(-1, 500)), at("oldest", time.Unix(-1<<40, 0)), at("2040", time.Unix(2208988800, 7)), at("latest", time.Unix(1<<40, 0)),
	}, {dir("listed", 0o711), regular("implied/by/this", "")}}
	var blobs []blob
	for _, entries := range stack {
		blobs = append(blobs, plain(t, entries...))
	}
	o := mergeBlobs(t, nil, blobs...)
	files := made(t, o)
	for name, wanted := range map[string]uint32{"closed": 0, "read-only": 0o555, "listed": 0o711, "tmp": 0o1777, ".": 0o750, "su": 0o6755, "implied": 0o755, "implied/by": 0o755} {
		if files[name].mode&modeBits != wanted {
			t.Errorf("%s has mode %o", name, files[name].mode)
		}
	}
	if f := files["su"]; f.uid != 1<<31 || f.gid != math.MaxUint32-1 {
		t.Errorf("su: %s", f.line(true))
	}
	for name, wanted := range map[string]string{"old": "-1.000000500", "oldest": "-2147483648.000000000", "2040": "2208988800.000000007", "latest": "15032385535.000000000"} {
		if files[name].mtime != wanted {
			t.Errorf("%s is of %s", name, files[name].mtime)
		}
	}
	for name, value := range many {
		if files["many"].attributes[name] != value {
			t.Errorf("%s=%q", name, files["many"].attributes[name])
		}
	}
	if got := files["books"].attributes; len(got) != 1 || got["user.kept"] != "k" {
		t.Errorf("%v", got)
	}
	// This machine's kernel sees the same. It tells access control lists in the form of programs, and no times of which it is unsure.
	if seen, ok := mounted(t, o.image); ok {
		if seen["acl"].attributes["system.posix_acl_access"] != acl {
			t.Errorf("acl %q", seen["acl"].attributes)
		}
		delete(seen, "acl")
		delete(files, "acl")
		viewOf(seen, true).same(t, viewOf(files, true))
	}
	for name, e := range map[string]entry{
		"name":  attribute("name", map[string]string{"user." + strings.Repeat("n", 300): ""}),
		"value": attribute("value", map[string]string{"user.v": strings.Repeat("v", 70<<10)}),
		"acl":   attribute("acl", map[string]string{"system.posix_acl_access": "nonsense"}),
		"-1":    {Header: tar.Header{Typeflag: tar.TypeReg, Name: "-1", Uid: math.MaxUint32}},
	} {
		mergeBlobs(t, nil, plain(t, e)).refused(t, codeBadEntry, name)
	}
}

func TestT80LinksWhereAGuestMounts(t *testing.T) {
	wanted := map[string]string{}
	var entries []entry
	for _, name := range []string{"proc", "dev", "sys", "tmp", "workspace", "etc/resolv.conf", "usr/bin", ".krun_config.json"} {
		wanted[name] = "-> /out/of/here"
		entries = append(entries, symlink(name, "/out/of/here"))
	}
	has(t, layers(t, entries), wanted)
}
