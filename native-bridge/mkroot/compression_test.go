package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func TestT69EveryByteIsWhatItsDigestSays(t *testing.T) {
	data := archive(t, regular("a", "1"))
	other := digestOf([]byte("other"))
	for name, b := range map[string]blob{"plain": {data, compressionNone, other}, "gzip": {gzipped(t, data), compressionGzip, other}, "zstd": {zstandard(t, data), compressionZstd, other}} {
		got := mergeBlobs(t, nil, plain(t, regular("low", "")), b).refused(t, codeMismatch, "")
		if got.Expected != other || got.Actual != digestOf(data) || got.Layer != digestOf(b.data) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// The blob's own digest counts, too.
	file := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	request := map[string]any{"layers": []layerRequest{{Path: file, Digest: other, Compression: compressionNone}}}
	if got := mergeOf(t, request).refused(t, codeMismatch, ""); got.Actual != digestOf(data) {
		t.Errorf("%+v", got)
	}
	// So do bytes behind the archive's end marker, which no tar reader looks at.
	padded := append(bytes.Clone(data), 'x')
	mergeBlobs(t, nil, blob{padded, compressionNone, digestOf(data)}).refused(t, codeMismatch, "")
}

func TestT81Gzip(t *testing.T) {
	data := archive(t, regular("a", strings.Repeat("text ", 10_000)))
	whole := gzipped(t, data)
	half := len(data) / 2
	members := append(gzipped(t, data[:half]), gzipped(t, data[half:])...)
	empty := gzipped(t, nil)
	for name, b := range map[string][]byte{"one member": whole, "two members": members, "an empty member": append(bytes.Clone(empty), whole...)} {
		for _, compression := range []string{compressionGzip, compressionAuto} {
			if files := made(t, mergeBlobs(t, nil, blob{b, compression, digestOf(data)})); len(files["a"].content) != 50_000 {
				t.Errorf("%s: %d bytes", name, len(files["a"].content))
			}
		}
	}
	made(t, mergeBlobs(t, nil, blob{empty, compressionGzip, digestOf(nil)}))
	broken := bytes.Clone(whole)
	broken[len(broken)-8] ^= 1 // the CRC, behind all that a tar reader wants
	wrongSize := bytes.Clone(whole)
	wrongSize[len(wrongSize)-1] ^= 1
	for name, b := range map[string][]byte{
		"cut": whole[:len(whole)/2], "cut in its CRC": whole[:len(whole)-6], "CRC": broken, "size": wrongSize, "trailing bytes": append(bytes.Clone(whole), "trailing"...),
		"empty": {}, "plain": data,
	} {
		if got := mergeBlobs(t, nil, blob{b, compressionGzip, ""}); got.failure(t).Code != codeBadCompression {
			t.Errorf("%s: %+v", name, got.failure(t))
		}
	}
}

func TestT82Zstd(t *testing.T) {
	data := archive(t, regular("a", strings.Repeat("text ", 10_000)))
	half := len(data) / 2
	skippable := append([]byte{0x53, 0x2a, 0x4d, 0x18, 4, 0, 0, 0}, "skip"...)
	frames := slices.Concat(skippable, zstandard(t, data[:half]), skippable, zstandard(t, data[half:]))
	for _, compression := range []string{compressionZstd, compressionAuto} {
		has(t, made(t, mergeBlobs(t, nil, blob{frames, compression, digestOf(data)})), map[string]string{"a": strings.Repeat("text ", 10_000)})
	}
	whole := zstandard(t, data)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-1] ^= 1
	dictionary := bytes.Clone(whole)
	dictionary = slices.Insert(dictionary, 6, 7)
	dictionary[4] |= 1
	// A frame header with a window of 2^31 bytes, and one raw block.
	window := append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, (31 - 10) << 3}, 1, 0, 0)
	for name, b := range map[string][]byte{"cut": whole[:len(whole)/2], "checksum": flipped, "dictionary": dictionary, "trailing": append(bytes.Clone(whole), "junk"...), "empty": {}, "gzip": gzipped(t, data)} {
		if got := mergeBlobs(t, nil, blob{b, compressionZstd, ""}); got.failure(t).Code != codeBadCompression {
			t.Errorf("%s: %+v", name, got.failure(t))
		}
	}
	if got := mergeBlobs(t, nil, blob{window, compressionZstd, ""}).refused(t, codeTooLarge, ""); got.Limit != "128 MiB" {
		t.Errorf("%+v", got)
	}
	// The largest window that is allowed works.
	large := zstandard(t, data, zstd.WithWindowSize(maxWindow), zstd.WithSingleSegment(false))
	made(t, mergeBlobs(t, nil, blob{large, compressionZstd, digestOf(data)}))
}

func TestT83Bombs(t *testing.T) {
	// 96 MiB of zeros.
	bomb := func(wrap func(io.Writer) io.WriteCloser) blob {
		var b bytes.Buffer
		compressor := wrap(&b)
		w := tar.NewWriter(compressor)
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "zeros", Size: 96 << 20}); err != nil {
			t.Fatal(err)
		}
		for range 96 {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
		_ = w.Close()
		_ = compressor.Close()
		return blob{data: b.Bytes()}
	}
	deflated := bomb(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	deflated.compression = compressionGzip
	if got := mergeBlobs(t, nil, deflated).failure(t); got.Code != codeTooLarge || !strings.Contains(got.What, "ratio") || got.Limit != "1000" {
		t.Errorf("%d bytes of gzip: %+v", len(deflated.data), got)
	}
	framed := bomb(func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z })
	framed.compression = compressionZstd
	if got := mergeBlobs(t, nil, framed).failure(t); got.Code != codeTooLarge || !strings.Contains(got.What, "ratio") {
		t.Errorf("%d bytes of zstd: %+v", len(framed.data), got)
	}
	// Allowed, zeros take no place.
	o := mergeBlobs(t, map[string]int64{"ratio": 1_000_000}, framed)
	info, err := os.Stat(o.image)
	if err != nil || info.Size() > 1<<20 {
		t.Fatalf("%v %v", info, err)
	}
	fsck(t, o.image)

	sparse := func(size string) blob {
		data := archive(t, regular("s", ""))
		w := &bytes.Buffer{}
		records := pax("GNU.sparse.major", "1") + pax("GNU.sparse.minor", "0") + pax("GNU.sparse.name", "sparse") + pax("GNU.sparse.realsize", size)
		header := func(typeflag byte, name string, size int) {
			h := bytes.Clone(data[:tarBlock])
			copy(h, name+"\x00")
			h[156] = typeflag
			copy(h[124:136], fmt.Sprintf("%011o\x00", size))
			rechecksum(h)
			w.Write(h)
		}
		header('x', "x", len(records))
		w.WriteString(records)
		w.Write(make([]byte, tarBlock-len(records)))
		// One piece of data, "end", at the file's end.
		header('0', "s", tarBlock+3)
		var end int64
		_, _ = fmt.Sscan(size, &end)
		table := fmt.Sprintf("1\n%d\n3\n", end-3)
		w.WriteString(table)
		w.Write(make([]byte, tarBlock-len(table)))
		w.WriteString("end")
		w.Write(make([]byte, tarBlock-3+2*tarBlock))
		return blob{w.Bytes(), compressionNone, digestOf(w.Bytes())}
	}
	mergeBlobs(t, nil, sparse("1099511627776")).refused(t, codeTooLarge, "sparse")
	o = mergeBlobs(t, nil, sparse("50000003"))
	files := made(t, o)
	if info, err = os.Stat(o.image); err != nil || info.Size() > 1<<20 || !bytes.HasSuffix(files["sparse"].content, []byte("\x00end")) || files["sparse"].size != 50_000_003 {
		t.Errorf("%v %v", info, err)
	}
	// Many sparse files are bounded together.
	mergeBlobs(t, map[string]int64{"totalBytes": 90_000_000}, sparse("50000003"), sparse("50000003")).refused(t, codeTooLarge, "sparse")

	var many []entry
	for i := range 101 {
		many = append(many, regular(fmt.Sprint(i), "x"))
	}
	for name, test := range map[string]struct {
		limit  string
		value  int64
		layers []blob
	}{
		"entries":         {"entries", 100, []blob{plain(t, many...)}},
		"entries of many": {"entries", 150, []blob{plain(t, many...), plain(t, many...)}},
		"file":            {"fileBytes", 9, []blob{plain(t, regular("f", "ten bytes."))}},
		"total":           {"totalBytes", 20_000, []blob{plain(t, regular("f", strings.Repeat("x", 12_000))), plain(t, regular("f", strings.Repeat("x", 12_000)))}},
		"path":            {"pathBytes", 10, []blob{plain(t, regular("a/b/c/d/e/f", ""))}},
		"depth":           {"depth", 3, []blob{plain(t, regular("a/b/c/d", ""))}},
	} {
		if got := mergeBlobs(t, map[string]int64{test.limit: test.value}, test.layers...).failure(t); got.Code != codeTooLarge || got.What == "" || got.Limit == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func pax(key, value string) string {
	text := " " + key + "=" + value + "\n"
	length := len(text) + 2
	if len(fmt.Sprint(length))+len(text) != length {
		length = len(text) + 1
	}
	return fmt.Sprint(length) + text
}

// The disk fills up at the N-th block, for many N: on a file system of that size.
func TestT84NoSpaceAnywhere(t *testing.T) {
	var entries []entry
	for i := range 20 {
		entries = append(entries, regular(fmt.Sprint("d", i, "/f"), strings.Repeat(fmt.Sprint(i), 30_000)))
	}
	store := t.TempDir()
	data := archive(t, entries...)
	file := filepath.Join(store, "layer")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	request, err := json.Marshal(map[string]any{"layers": []layerRequest{{Path: file, Digest: digestOf(data), Compression: compressionNone}}})
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	flags := "-m"
	if os.Getuid() != 0 {
		flags = "-rm"
	}
	if err := exec.Command("unshare", flags, "true").Run(); err != nil {
		t.Skip("no namespaces here:", err)
	}
	script := `mount -t tmpfs -o size="$1" tmpfs "$2" && cd "$2" && { "$3" merge "$2/root.ext4"; code=$?; ls -A >&2; exit $code; }`
	succeeded := false
	for kilobytes := 4; kilobytes < 2000; kilobytes += 184 {
		cmd := exec.Command("unshare", flags, "sh", "-c", script, "sh", fmt.Sprintf("%dk", kilobytes), t.TempDir(), self)
		cmd.Env = append(os.Environ(), "AEGIS_MKROOT_TEST_RUN=1")
		cmd.Stdin = bytes.NewReader(request)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err == nil {
			succeeded = true
			continue
		}
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		if len(lines) != 1 || !strings.Contains(lines[0], `"code":"no-space"`) {
			t.Fatalf("%d KiB: %s", kilobytes, stderr.String())
		}
	}
	if !succeeded {
		t.Error("there was never enough space")
	}
}

func TestRequests(t *testing.T) {
	for _, request := range []string{
		``, `[]`, `{"layers":[{}]}`, `{"what":1}`, `{"layers":[{"path":"/x","compression":"lzma"}]}`, `{"layers":[{"path":"","compression":"none"}]}`,
		`{"layers":[{"path":"/x","compression":"none","digest":"sha256:../../x"}]}`, `{"layers":[{"path":"/x","compression":"none","diffId":"sha256:ABC"}]}`, `{"layers":[],"limits":{"depth":0}}`,
	} {
		image := filepath.Join(t.TempDir(), "root.ext4")
		var stderr bytes.Buffer
		if code := run([]string{"merge", image}, strings.NewReader(request), io.Discard, &stderr); code != exitFailure || !strings.Contains(stderr.String(), codeBadRequest) {
			t.Errorf("%s: exit %d %s", request, code, stderr.String())
		}
	}
	mergeOf(t, map[string]any{"layers": []layerRequest{{Path: "/not/there", Compression: compressionNone}}}).refused(t, codeIO, "")
	mergeOf(t, map[string]any{"layers": []layerRequest{{Path: "/dev/zero", Compression: compressionNone}}}).refused(t, codeIO, "")
	// No layers at all are an empty root.
	if files := made(t, mergeOf(t, map[string]any{"layers": []layerRequest{}})); len(files) != 1 {
		t.Errorf("%d files", len(files))
	}
}
