package server

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"aegis.dev/guest-harness/internal/wire"
)

func at(path string) string { return "/files?path=" + url.QueryEscape(path) }

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

func packed(t *testing.T, entries ...tar.Header) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, entry := range entries {
		body := entry.PAXRecords["body"]
		entry.PAXRecords = nil
		entry.Size = int64(len(body))
		if err := w.WriteHeader(&entry); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func file(name, body string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o4755, PAXRecords: map[string]string{"body": body}}
}

func TestATreeComesAsAnArchiveAndGoesBack(t *testing.T) {
	h := booted(t)
	from, to := filepath.Join(t.TempDir(), "tree"), t.TempDir()
	put(t, from+"/a/ä", "one")
	put(t, from+"/empty", "")
	if err := os.Symlink("../etc", from+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(from+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	status, archive := h.do("GET", at(from), "")
	if status != 200 {
		t.Fatal(archive)
	}
	names := []string{}
	for in := tar.NewReader(strings.NewReader(archive)); ; {
		entry, err := in.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		names = append(names, entry.Name)
	}
	if got := strings.Join(names, " "); got != "tree/ tree/a/ tree/a/ä tree/empty tree/link" {
		t.Fatal(got)
	}
	h.expect("PUT", at(to), archive, 200, `{"files":3,"bytes":3}`)
	h.expect("PUT", at(to+"/renamed"), archive, 200, `{"files":3,"bytes":3}`)
	h.expect("PUT", at(to), archive, 200, `{"files":3,"bytes":3}`) // over what is there
	for _, name := range []string{"/tree/a/ä", "/renamed/a/ä"} {
		if text, err := os.ReadFile(to + name); err != nil || string(text) != "one" {
			t.Fatalf("%q %v", text, err)
		}
	}
	h.expect("PUT", at(to+"/nowhere/x"), archive, 404, "no such file")
	h.expect("PUT", at(to+"/nowhere")+"&into=true", archive, 404, "no such file")
	h.expect("PUT", at(to), "this is no archive"+strings.Repeat("x", 1024), 422, "no tar archive")
	h.expect("PUT", at("relative"), archive, 400, "absolute")
	h.expect("GET", at(from+"/none"), "", 404, "no such file")
	h.expect("GET", at(from+"/fifo"), "", 422, "no regular file")
	h.expect("GET", at(from+"/empty"), "", 200, "empty")
}

func TestAnArchiveLeadsNowhereElse(t *testing.T) {
	h := booted(t)
	to, outside := t.TempDir(), t.TempDir()
	for _, name := range []string{"../x", "/x", "a/../../x", ".."} {
		h.expect("PUT", at(to), packed(t, file(name, "x")), 422, "outside")
	}
	link := func(kind byte, name, target string) tar.Header {
		return tar.Header{Typeflag: kind, Name: name, Linkname: target}
	}
	h.expect("PUT", at(to), packed(t, link(tar.TypeSymlink, "d", outside), file("d/x", "x")), 422, "")
	h.expect("PUT", at(to), packed(t, link(tar.TypeLink, "l", "../x")), 422, "outside")
	h.expect("PUT", at(to), packed(t, tar.Header{Typeflag: tar.TypeFifo, Name: "f"}), 422, "only files")
	put(t, outside+"/kept", "kept")
	if err := os.Symlink(outside+"/kept", to+"/file"); err != nil {
		t.Fatal(err)
	}
	h.expect("PUT", at(to), packed(t, file("file", "new")), 200, `{"files":1,"bytes":3}`)
	if text, err := os.ReadFile(outside + "/kept"); err != nil || string(text) != "kept" {
		t.Fatalf("%q %v", text, err)
	}
	if info, err := os.Lstat(to + "/file"); err != nil || info.Mode() != 0o755 {
		t.Fatal(info.Mode(), err)
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
		t.Fatal(left, err)
	}
}

func TestPiecesOfFiles(t *testing.T) {
	h := booted(t)
	path := filepath.Join(t.TempDir(), "made", "f")
	write := func(text string, more bool) string {
		return fmt.Sprintf(`{"path":%q,"bytes":%q,"append":%t}`, path, base64.StdEncoding.EncodeToString([]byte(text)), more)
	}
	h.expect("POST", "/files/write", write("hello longer", false), 204, "")
	h.expect("POST", "/files/write", write("hello", false), 204, "")
	h.expect("POST", "/files/write", write(" world", true), 204, "")
	_, answer := h.do("POST", "/files/read", fmt.Sprintf(`{"path":%q,"offset":6,"limit":3}`, path))
	var piece wire.FilePiece
	if err := json.Unmarshal([]byte(answer), &piece); err != nil || piece.Size != 11 || string(piece.Bytes) != "wor" {
		t.Fatal(answer, err)
	}
	read := func(path string) string { return fmt.Sprintf(`{"path":%q,"offset":0,"limit":10}`, path) }
	h.expect("POST", "/files/read", fmt.Sprintf(`{"path":%q,"offset":99,"limit":3}`, path), 200, `{"size":11,"bytes":""}`)
	h.expect("POST", "/files/read", read(path+"x"), 404, "no such file")
	h.expect("POST", "/files/read", read("/dev/null"), 422, "no regular file")
	h.expect("POST", "/files/read", read("/tmp"), 422, "directory")
	h.expect("POST", "/files/read", read("x"), 400, "absolute")
	h.expect("POST", "/files/read", `{"path":"/a\u0000b","offset":0,"limit":10}`, 400, "NUL")
	if err := syscall.Mkfifo(path+"ifo", 0o600); err != nil {
		t.Fatal(err)
	}
	h.expect("POST", "/files/read", read(path+"ifo"), 422, "no regular file")
}

func TestHowAFileIsWritten(t *testing.T) {
	h := booted(t)
	path := filepath.Join(t.TempDir(), "made", "f")
	write := func(path, more string) string {
		return fmt.Sprintf(`{"path":%q,"bytes":"aGk=","append":false%s}`, path, more)
	}
	mode := func(path string) fs.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode()
	}
	h.expect("POST", "/files/write", write(path, `,"exclusive":true,"mode":504`), 204, "")
	if mode(path) != 0o770 {
		t.Fatal(mode(path))
	}
	h.expect("POST", "/files/write", write(path, `,"exclusive":true`), 422, "file exists")
	h.expect("POST", "/files/write", write(path, ""), 204, "")
	if mode(path) != 0o770 {
		t.Fatal("a mode that nobody asked for", mode(path))
	}
	h.expect("POST", "/files/write", write(path, `,"mode":384`), 204, "")
	if mode(path) != 0o600 {
		t.Fatal(mode(path))
	}
	dangling := path + "-link"
	if err := os.Symlink(path+"-nowhere", dangling); err != nil {
		t.Fatal(err)
	}
	h.expect("POST", "/files/write", write(dangling, `,"exclusive":true`), 422, "file exists")
	for _, wrong := range []string{`,"mode":512`, `,"mode":-1`, `,"mode":null`, `,"mode":"644"`, `,"exclusive":1`} {
		h.expect("POST", "/files/write", write(path, wrong), 400, "")
	}
}

func TestFilesOfTheKernelAreRead(t *testing.T) {
	h := booted(t)
	read := func(offset int) string {
		_, answer := h.do("POST", "/files/read", fmt.Sprintf(`{"path":"/proc/version","offset":%d,"limit":5}`, offset))
		var piece wire.FilePiece
		if err := json.Unmarshal([]byte(answer), &piece); err != nil || piece.Size != 0 {
			t.Fatal(answer, err)
		}
		return string(piece.Bytes)
	}
	if read(0) != "Linux" || read(1) != "inux " {
		t.Fatal(read(0), read(1))
	}
}
