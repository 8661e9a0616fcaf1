package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/sys/unix"
)

// port gives a serial over one end of a socket pair, which behaves as the driver does: POLLHUP and empty reads once
// the other end is closed.
func port(t *testing.T) (*serial, net.Conn) {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(ends[1]), "host")
	defer file.Close()
	host, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	return &serial{fd: ends[0]}, host
}

// serve answers each connection with its number, in x, and tells when each has ended.
func serve(s *serial) <-chan int {
	ended := make(chan int, 9)
	go func() {
		for n := 1; ; n++ {
			conn, err := s.Accept()
			if err != nil {
				return
			}
			answer := strings.Repeat("x", n)
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(w, answer)
			})
			new(http2.Server).ServeConn(conn, &http2.ServeConnOpts{Handler: handler})
			ended <- n
		}
	}()
	return ended
}

// session opens an HTTP/2 connection on the host's end, which survives it: the next session uses the same.
func session(t *testing.T, host net.Conn) *http.Client {
	transport := &http2.Transport{AllowHTTP: true, DialTLSContext: func(context.Context, string, string, *tls.Config) (net.Conn, error) {
		return lasting{host}, nil
	}}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

type lasting struct{ net.Conn }

func (lasting) Close() error { return nil }

func get(t *testing.T, client *http.Client) string {
	t.Helper()
	response, err := client.Get("http://guest/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestServesAConnectionAfterRubbish(t *testing.T) {
	s, host := port(t)
	serve(s)
	if _, err := host.Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\n\r\nPRI * HTTP/2.0\r\n"), 1000)); err != nil {
		t.Fatal(err)
	}
	if got := get(t, session(t, host)); got != "x" {
		t.Fatal(got)
	}
}

func TestAHostThatComesBackUnseenGetsAConnectionOfItsOwn(t *testing.T) {
	s, host := port(t)
	ended := serve(s)
	if got := get(t, session(t, host)); got != "x" {
		t.Fatal(got)
	}
	// The old session is silent from here on; its reader goroutine would take the new one's answer, so the new host
	// speaks without HTTP/2's help.
	begin := append(bytes.Clone(preface), 0, 0, 0, 4, 0, 0, 0, 0, 0)
	if _, err := host.Write(begin[:5]); err != nil { // split inside the nine bytes
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	if _, err := host.Write(begin[5:]); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the old connection goes on")
	}
}

func TestFramingFindsTheNextConnectionHoweverTheBytesAreSplit(t *testing.T) {
	frame := append([]byte{0, 0, 30, 0, 0, 0, 0, 0, 1}, append(bytes.Clone(preface), "abcdef"...)...) // a payload may hold one
	stream := append(append(bytes.Clone(preface), frame...), frame...)
	start := len(stream)
	stream = append(stream, preface...)
	for size := 1; size <= len(stream); size++ {
		f := framing{skip: len(preface)}
		found := -1
		for from := 0; from < len(stream); from += size {
			chunk := stream[from:min(from+size, len(stream))]
			if at, ok := f.advance(chunk); ok {
				found = from + at
				break
			}
		}
		if found != start {
			t.Fatalf("chunks of %d: found at %d, not %d", size, found, start)
		}
	}
}

func FuzzFraming(f *testing.F) {
	f.Add(append(bytes.Clone(preface), 0, 0, 0, 4, 0, 0, 0, 0, 0), 3)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		size = 1 + (size&0x7fffffff)%64
		whole, split := framing{}, framing{}
		at, found := whole.advance(stream)
		for from := 0; from < len(stream); from += size {
			if place, ok := split.advance(stream[from:min(from+size, len(stream))]); ok {
				if !found || from+place != at {
					t.Fatalf("split: %d, whole: %d %v", from+place, at, found)
				}
				return
			}
		}
		if found {
			t.Fatal("only the whole stream shows it")
		}
	})
}

func TestCloseFreesReaderAndWriter(t *testing.T) {
	s, host := port(t)
	if _, err := host.Write(preface); err != nil {
		t.Fatal(err)
	}
	conn, err := s.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, len(preface))); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		ended <- err
	}()
	go func() {
		_, err := conn.Write(make([]byte, 64<<20)) // nobody reads it
		ended <- err
	}()
	time.Sleep(50 * time.Millisecond)
	conn.Close()
	for range 2 {
		if err := <-ended; err != net.ErrClosed {
			t.Fatal(err)
		}
	}
}

func TestAHostThatGoesEndsReadAndWrite(t *testing.T) {
	s, host := port(t)
	if _, err := host.Write(preface); err != nil {
		t.Fatal(err)
	}
	conn, err := s.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, len(preface))); err != nil {
		t.Fatal(err)
	}
	host.Close()
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
}

func TestFindPort(t *testing.T) {
	sys := t.TempDir()
	for name, label := range map[string]string{"vport0p0": "", "vport0p1": "other\n", "vport1p3": "aegis\n"} {
		directory := filepath.Join(sys, name)
		if err := os.Mkdir(directory, 0o755); err != nil {
			t.Fatal(err)
		}
		if label == "" {
			continue // a console's port has no name
		}
		if err := os.WriteFile(filepath.Join(directory, "name"), []byte(label), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if path, err := findPort(sys, "/dev"); err != nil || path != "/dev/vport1p3" {
		t.Fatal(path, err)
	}
	if path, err := findPort(filepath.Join(sys, "none"), "/dev"); err != nil || path != "" {
		t.Fatal(path, err)
	}
}

func TestAHostThatStaysAwayIsLookedForLessAndLess(t *testing.T) {
	for gone, want := range map[time.Duration]time.Duration{
		0:                      2 * time.Millisecond,
		100 * time.Millisecond: 5 * time.Millisecond,
		time.Hour:              100 * time.Millisecond,
	} {
		if got := hangupPause(gone); got != want {
			t.Errorf("gone for %v: %v, want %v", gone, got, want)
		}
	}
}
