package main

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	long := strings.Repeat("long/", 30) + "target"
	made := build(t, archive(t,
		dir("./", 0o755),
		dir("etc", 0o750),
		entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: "etc/shadow", Mode: 0o640, Uid: 12, Gid: 34}, data: "secret\n"},
		entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: "bin/su", Mode: 0o4755, PAXRecords: map[string]string{
			"SCHILY.xattr.security.capability": capability,
			"SCHILY.xattr.user.note":           "hello",
		}}, data: strings.Repeat("x", 10_000)},
		entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: "bin/su2", Linkname: "./bin/su"}},
		entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: "short", Linkname: "etc/shadow"}},
		entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: "long", Linkname: long}},
		entry{Header: tar.Header{Typeflag: tar.TypeChar, Name: "dev/null", Mode: 0o666, Devmajor: 1, Devminor: 3}},
		entry{Header: tar.Header{Typeflag: tar.TypeBlock, Name: "dev/vda", Mode: 0o660, Devmajor: 254, Devminor: 300}},
		entry{Header: tar.Header{Typeflag: tar.TypeFifo, Name: "run/fifo", Mode: 0o600, Uid: 1_000_000, Gid: 70_000}},
		regular("empty", ""),
		regular(".wh.kept", "whiteouts mean nothing here"),
	))
	if made.code != 0 || made.stderr != "" {
		t.Fatalf("exit %d: %s", made.code, made.stderr)
	}
	var got result
	if err := json.Unmarshal([]byte(made.stdout), &got); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(made.image)
	if err != nil || info.Size() != got.Bytes || got.Bytes%4096 != 0 || got.Entries != 12 {
		t.Fatalf("%+v, file of %d bytes, %v", got, info.Size(), err)
	}
	fsck(t, made.image)

	for request, wanted := range map[string][]string{
		"stat /etc":        {"Type: directory", "Mode:  0750"},
		"stat /etc/shadow": {"Type: regular", "Mode:  0640", "User:    12", "Group:    34", "Size: 7", "mtime: 0x663881d9", "atime: 0x663881d9"},
		"stat /bin/su":     {"Mode:  04755", "Links: 2", "Size: 10000"},
		"ea_list /bin/su":  {"security.capability (20)", `user.note (5) = "hello"`},
		"stat /short":      {"Type: symlink", `Fast link dest: "etc/shadow"`},
		"stat /long":       {"Type: symlink", "Size: 156"},
		"stat /dev/null":   {"Type: character special", "01:03"},
		"stat /dev/vda":    {"Type: block special", "major/minor number: 254:300"},
		"stat /run/fifo":   {"Type: FIFO", "User: 1000000", "Group: 70000"},
		"cat /.wh.kept":    {"whiteouts mean nothing here"},
		"cat /etc/shadow":  {"secret\n"},
	} {
		text := debugfs(t, made.image, request)
		for _, want := range wanted {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", request, want, text)
			}
		}
	}
	inode := func(path string) string {
		return strings.Fields(debugfs(t, made.image, "stat "+path))[1]
	}
	if inode("/bin/su") != inode("/bin/su2") {
		t.Error("the hard link is another file")
	}
	if data := debugfs(t, made.image, "cat /bin/su"); data != strings.Repeat("x", 10_000) {
		t.Errorf("bin/su has %d bytes of content", len(data))
	}
}

func TestManyFilesNeedManyInodes(t *testing.T) {
	var entries []entry
	for i := range 5000 {
		entries = append(entries, regular(fmt.Sprintf("d%d/f%d", i%50, i), fmt.Sprint(i)))
	}
	made := build(t, archive(t, entries...))
	if made.code != 0 {
		t.Fatal(made.stderr)
	}
	fsck(t, made.image)
	if text := debugfs(t, made.image, "cat /d49/f4999"); text != "4999" {
		t.Fatalf("%q", text)
	}
}

func TestSameArchiveSameImage(t *testing.T) {
	input := archive(t, regular("a", "1"), regular("b/c", strings.Repeat("2", 100_000)))
	one, two := build(t, input), build(t, input)
	first, err := os.ReadFile(one.image)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(two.image)
	if err != nil || string(first) != string(second) {
		t.Fatal("two images of one archive differ")
	}
}

func TestArchiveFromAFile(t *testing.T) {
	data := archive(t, regular(".wh.kept", "whiteouts mean nothing here"))
	for name, bytes := range map[string][]byte{"plain": data, "gzip": gzipped(t, data), "zstd": zstandard(t, data)} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		if files := made(t, build(t, nil, "--input", file)); string(files[".wh.kept"].content) != "whiteouts mean nothing here" {
			t.Errorf("%s: %v", name, files)
		}
	}
	build(t, nil, "--input", "/not/there").refused(t, codeIO, "")
	cut := filepath.Join(t.TempDir(), "cut")
	if err := os.WriteFile(cut, gzipped(t, data)[:40], 0o600); err != nil {
		t.Fatal(err)
	}
	build(t, nil, "--input", cut).refused(t, codeBadCompression, "")
}

func TestRefusedEntries(t *testing.T) {
	link := func(name, target string) entry {
		return entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target}}
	}
	tests := map[string]struct {
		entries []entry
		entry   string
		code    string
	}{
		"upwards":                {[]entry{regular("a/../../b", "")}, "a/../../b", codeBadPath},
		"link to nothing":        {[]entry{link("a", "b")}, "a", codeBadEntry},
		"link to itself":         {[]entry{link("a", "a")}, "a", codeBadEntry},
		"link to a directory":    {[]entry{dir("d", 0o755), link("a", "d")}, "a", codeBadEntry},
		"twice":                  {[]entry{regular("a", "1"), regular("./a", "2")}, "./a", codeBadEntry},
		"file over directory":    {[]entry{dir("d", 0o755), regular("d", "")}, "d", codeBadEntry},
		"below a file":           {[]entry{regular("f", ""), regular("f/g", "")}, "f/g", codeBadPath},
		"below a symbolic link":  {[]entry{{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: "s", Linkname: "/etc"}}, regular("s/passwd", "")}, "s/passwd", codeBadPath},
		"a file as the root":     {[]entry{regular(".", "")}, ".", codeBadEntry},
		"long name":              {[]entry{regular(strings.Repeat("n", 256), "")}, strings.Repeat("n", 256), codeBadPath},
		"attribute too large":    {[]entry{{Header: tar.Header{Typeflag: tar.TypeReg, Name: "x", PAXRecords: map[string]string{"SCHILY.xattr.user.big": strings.Repeat("v", 5000)}}}}, "x", codeBadEntry},
		"owner out of range":     {[]entry{{Header: tar.Header{Typeflag: tar.TypeReg, Name: "o", Uid: 1 << 32}}}, "o", codeBadEntry},
		"device out of range":    {[]entry{{Header: tar.Header{Typeflag: tar.TypeChar, Name: "c", Devmajor: 1 << 20}}}, "c", codeBadEntry},
		"attribute without name": {[]entry{{Header: tar.Header{Typeflag: tar.TypeReg, Name: "x", PAXRecords: map[string]string{"SCHILY.xattr.": "v"}}}}, "x", codeBadEntry},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			build(t, archive(t, test.entries...)).refused(t, test.code, test.entry)
		})
	}
}

func TestTooLarge(t *testing.T) {
	build(t, archive(t, regular("big", strings.Repeat("x", 2<<20))), "--size-limit", "1048576").refused(t, codeTooLarge, "big")
	var many []entry
	for i := range 40 {
		many = append(many, regular(fmt.Sprint(i), strings.Repeat("x", 100_000)))
	}
	got := build(t, archive(t, many...), "--size-limit", "2097152")
	if got.code != exitFailure || !strings.Contains(got.stderr, codeTooLarge) {
		t.Fatalf("%d %s", got.code, got.stderr)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {""}, {"a", "b"}, {"--size-limit", "12", "a"}, {"--size-limit", "x", "a"}, {"--what", "a"}, {"merge"}, {"merge", "--input", "x", "a"}} {
		if code := run(args, strings.NewReader(""), os.Stdout, discard{}); code != exitUsage {
			t.Errorf("%v: exit %d", args, code)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
