package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

func symlink(name, target string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}}
}

func hardlink(name, target string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}}
}

func whiteout(name string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: name}}
}

func digestOf(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t testing.TB, data []byte, options ...zstd.EOption) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, options...)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// blob is a layer as it lies in a store.
type blob struct {
	data                []byte
	compression, diffID string
}

func plain(t testing.TB, entries ...entry) blob {
	data := archive(t, entries...)
	return blob{data, compressionNone, digestOf(data)}
}

// mergeBlobs runs the program on blobs, the lowest first.
func mergeBlobs(t testing.TB, limits map[string]int64, blobs ...blob) outcome {
	t.Helper()
	store := t.TempDir()
	request := map[string]any{}
	var layers []layerRequest
	for i, b := range blobs {
		file := filepath.Join(store, fmt.Sprint(i))
		if err := os.WriteFile(file, b.data, 0o600); err != nil {
			t.Fatal(err)
		}
		layers = append(layers, layerRequest{Path: file, Digest: digestOf(b.data), Compression: b.compression, DiffID: b.diffID})
	}
	request["layers"] = layers
	if limits != nil {
		request["limits"] = limits
	}
	return mergeOf(t, request)
}

func mergeOf(t testing.TB, request any) outcome {
	t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(t.TempDir(), "root.ext4")
	var stdout, stderr bytes.Buffer
	code := run([]string{"merge", image}, bytes.NewReader(text), &stdout, &stderr)
	return outcome{code: code, stdout: stdout.String(), stderr: stderr.String(), image: image}
}

// layers merges plain layers and gives what is in the image.
func layers(t testing.TB, stack ...[]entry) map[string]*file {
	t.Helper()
	var blobs []blob
	for _, entries := range stack {
		blobs = append(blobs, plain(t, entries...))
	}
	return made(t, mergeBlobs(t, nil, blobs...))
}

// made checks that a disk was made, and gives what is in it.
func made(t testing.TB, o outcome) map[string]*file {
	t.Helper()
	if o.code != 0 {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	fsck(t, o.image)
	return readImage(t, o.image)
}
