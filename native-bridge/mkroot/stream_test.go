package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestTruncatedAnywhere(t *testing.T) {
	whole := archive(t, dir("d", 0o755), regular("d/a", strings.Repeat("a", 700)), regular("d/b", "b"))
	// The archive proper ends before its two blocks of zeros; one of them is enough to know that nothing is missing.
	for length := 0; length < len(whole)-2*tarBlock; length += 128 {
		got := build(t, whole[:length])
		if got.code != exitFailure || !strings.Contains(got.stderr, `"code":"bad-tar"`) {
			t.Fatalf("cut at %d of %d: exit %d %s", length, len(whole), got.code, got.stderr)
		}
	}
	if got := build(t, whole[:len(whole)-tarBlock]); got.code != 0 {
		t.Fatalf("one block of zeros: %s", got.stderr)
	}
	if got := build(t, append(bytes.Clone(whole), make([]byte, 10*tarBlock)...)); got.code != 0 {
		t.Fatalf("a padded record: %s", got.stderr)
	}
}

func TestNotATar(t *testing.T) {
	build(t, bytes.Repeat([]byte("not a tar\n"), 200)).refused(t, codeBadTar, "")
	build(t, nil).refused(t, codeBadTar, "")
}

func TestDamagedHeaderNamesTheEntryBefore(t *testing.T) {
	input := archive(t, regular("first", "1"), regular("second", "2"))
	input[2*tarBlock+tarBlock/2] ^= 0xff
	at := bytes.Index(input, []byte("second"))
	input[at] = 'S'
	build(t, input).refused(t, codeBadTar, "first")
}

func TestUnwritableDirectory(t *testing.T) {
	var stderr bytes.Buffer
	code := run([]string{filepath.Join(t.TempDir(), "missing", "root.ext4")}, strings.NewReader(""), io.Discard, &stderr)
	if code != exitFailure || !strings.Contains(stderr.String(), `"code":"io"`) {
		t.Fatalf("exit %d: %s", code, stderr.String())
	}
}

func TestReplacesOnlyOnSuccess(t *testing.T) {
	image := filepath.Join(t.TempDir(), "root.ext4")
	if err := os.WriteFile(image, []byte("the last good one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := run([]string{image}, strings.NewReader("bad"), io.Discard, io.Discard); code != exitFailure {
		t.Fatalf("exit %d", code)
	}
	if text, err := os.ReadFile(image); err != nil || string(text) != "the last good one" {
		t.Fatalf("%q %v", text, err)
	}
}

func TestProgressIsSparse(t *testing.T) {
	// Two seconds of a slow archive: at most five lines a second, and at least one at all.
	whole := archive(t, regular("a", strings.Repeat("a", 400*1024)))
	var stderr bytes.Buffer
	code := run([]string{filepath.Join(t.TempDir(), "root.ext4")}, &slow{data: whole}, io.Discard, &stderr)
	lines := strings.Count(stderr.String(), `{"progress":{"bytesIn":`)
	if code != 0 || lines < 1 || lines > 12 {
		t.Fatalf("exit %d, %d lines: %s", code, lines, stderr.String())
	}
}

// slow gives its data in about two seconds.
type slow struct{ data []byte }

func (s *slow) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	time.Sleep(5 * time.Millisecond)
	n := copy(p[:min(len(p), 1024)], s.data)
	s.data = s.data[n:]
	return n, nil
}

// startedOnEndlessInput runs the program as a process of its own until its temporary file is there.
func startedOnEndlessInput(t *testing.T) (directory string, signal func(syscall.Signal) *os.ProcessState) {
	t.Helper()
	directory = t.TempDir()
	cmd := program(t, filepath.Join(directory, "root.ext4"))
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer := tar.NewWriter(input)
	if err := writer.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		found, err := filepath.Glob(filepath.Join(directory, "root.ext4.tmp-*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no temporary file")
		}
		time.Sleep(5 * time.Millisecond)
	}
	// Between the file and the signal handler lie a few instructions: the header is read only after both.
	time.Sleep(50 * time.Millisecond)
	return directory, func(s syscall.Signal) *os.ProcessState {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		return cmd.ProcessState
	}
}

func TestTermLeavesNothing(t *testing.T) {
	directory, signal := startedOnEndlessInput(t)
	if state := signal(syscall.SIGTERM); state.ExitCode() != exitInterrupted {
		t.Fatalf("%v", state)
	}
	if left, err := os.ReadDir(directory); err != nil || len(left) != 0 {
		t.Fatalf("%v %v", left, err)
	}
}

func TestKillLeavesOnlyTheTemporaryFile(t *testing.T) {
	directory, signal := startedOnEndlessInput(t)
	signal(syscall.SIGKILL)
	left, err := os.ReadDir(directory)
	if err != nil || len(left) != 1 || !strings.Contains(left[0].Name(), ".tmp-") {
		t.Fatalf("%v %v", left, err)
	}
}

func FuzzAnyBytes(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 1024))
	f.Add(archive(f, dir("d", 0o755), regular("d/a", "text"), entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: "l", Linkname: "d/a"}}))
	f.Add(archive(f, entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: "x", PAXRecords: map[string]string{"SCHILY.xattr.user.a": "1"}}, data: "x"}))
	f.Add(archive(f, entry{Header: tar.Header{Typeflag: tar.TypeChar, Name: "dev/null", Devmajor: 1, Devminor: 3}}))
	f.Fuzz(func(t *testing.T, input []byte) {
		image, err := os.Create(filepath.Join(t.TempDir(), "image"))
		if err != nil {
			t.Fatal(err)
		}
		defer image.Close()
		made, err := convert(bytes.NewReader(input), image, 1<<24, func(progress) {})
		var known *failure
		switch {
		case err == nil:
			if made.Bytes%blockSize != 0 || image.Truncate(made.Bytes) != nil {
				t.Fatalf("%+v", made)
			}
			fsck(t, image.Name())
		case !errors.As(err, &known) || known.Code == codeInternal || known.Code == codeIO || known.Message == "":
			t.Fatalf("%#v", err)
		}
	})
}
