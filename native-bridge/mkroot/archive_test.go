package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary stand in for the program, so that tests can start, stop and kill it.
func TestMain(m *testing.M) {
	if os.Getenv("AEGIS_MKROOT_TEST_RUN") == "1" {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), "AEGIS_MKROOT_TEST_RUN=1")
	return cmd
}

type entry struct {
	tar.Header
	data string
}

var when = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for _, e := range entries {
		h := e.Header
		h.Format = tar.FormatPAX
		if h.ModTime.IsZero() {
			h.ModTime = when
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(e.data))
		}
		if err := writer.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write([]byte(e.data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func dir(name string, mode int64) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode}}
}

func regular(name, data string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, data: data}
}

// outcome of one run of the program in this process.
type outcome struct {
	code           int
	stdout, stderr string
	image          string
}

func build(t testing.TB, input []byte, flags ...string) outcome {
	t.Helper()
	image := filepath.Join(t.TempDir(), "root.ext4")
	var stdout, stderr bytes.Buffer
	code := run(append(flags, image), bytes.NewReader(input), &stdout, &stderr)
	return outcome{code: code, stdout: stdout.String(), stderr: stderr.String(), image: image}
}

// refused checks that a run failed as told, in one line, and left no file at all.
func (o outcome) refused(t testing.TB, code, entry string) failure {
	t.Helper()
	if o.code != exitFailure || o.stdout != "" {
		t.Fatalf("exit %d, stdout %q", o.code, o.stdout)
	}
	lines := strings.Split(strings.TrimSuffix(o.stderr, "\n"), "\n")
	var got failure
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
		t.Fatalf("stderr %q: %v", o.stderr, err)
	}
	if got.Code != code || got.Entry != entry || got.Message == "" {
		t.Fatalf("got %+v, want code %q entry %q", got, code, entry)
	}
	left, err := os.ReadDir(filepath.Dir(o.image))
	if err != nil || len(left) != 0 {
		t.Fatalf("left behind: %v %v", left, err)
	}
	return got
}

// debugfs runs one request on an image and gives its output.
func debugfs(t testing.TB, image, request string) string {
	t.Helper()
	cmd := exec.Command("debugfs", "-R", request, image)
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/sbin:/usr/bin:/bin", "DEBUGFS_PAGER=cat", "PAGER=cat", "TZ=UTC")
	cmd.Path = tool(t, "debugfs")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("debugfs %s: %v", request, err)
	}
	return string(out)
}

func fsck(t testing.TB, image string) {
	t.Helper()
	out, err := exec.Command(tool(t, "e2fsck"), "-fn", image).CombinedOutput()
	if err != nil {
		t.Fatalf("e2fsck: %v\n%s", err, out)
	}
}

// tool finds a program of e2fsprogs, which users' PATHs often leave out.
func tool(t testing.TB, name string) string {
	t.Helper()
	for _, directory := range []string{"/usr/sbin", "/sbin", "/usr/bin", "/usr/local/sbin", "/opt/homebrew/opt/e2fsprogs/sbin"} {
		path := filepath.Join(directory, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatalf("%s is missing: install e2fsprogs", name)
	return ""
}
