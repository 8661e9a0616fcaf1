package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
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

// hello is one that no other test's host says.
func hello(n int) []byte { return fmt.Appendf(nil, "%s%032x\n", helloWord, n) }

// meet says a hello and waits for its echo, whatever comes before it.
func meet(t *testing.T, host net.Conn, n int) {
	t.Helper()
	if _, err := host.Write(hello(n)); err != nil {
		t.Fatal(err)
	}
	if err := host.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var seen []byte
	for one := make([]byte, 1); !bytes.HasSuffix(seen, hello(n)); seen = append(seen, one...) {
		if _, err := io.ReadFull(host, one); err != nil {
			t.Fatal(err)
		}
	}
	if err := host.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
}

// sessions are begun with hellos of their own, as a host's are.
var sessions atomic.Int64

// session opens an HTTP/2 connection on the host's end, which survives it: the next session uses the same.
func session(t *testing.T, host net.Conn) *http.Client {
	t.Helper()
	meet(t, host, int(sessions.Add(1)))
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
	if _, err := host.Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\n\r\nPRI * HTTP/2.0\r\nAEGIS/1 "), 1000)); err != nil {
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
	// The old session is silent from here on; its reader goroutine takes the new one's answer.
	begin := hello(2)
	if _, err := host.Write(begin[:5]); err != nil { // split inside the word
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

// A host that gives up at once leaves the beginning of a connection behind, which the harness may take up and answer: the next host
// must not take that answer for its own.
func TestNoHostTakesTheAnswerToAnEarlierOneForItsOwn(t *testing.T) {
	for _, gap := range []time.Duration{0, 20 * time.Millisecond} {
		s, host := port(t)
		serve(s)
		goAway := []byte{0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
		begun := append(append(hello(7), preface...), 0, 0, 0, 4, 0, 0, 0, 0, 0)
		if _, err := host.Write(append(begun, goAway...)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(gap)
		if got := get(t, session(t, host)); !strings.HasPrefix(got, "x") {
			t.Fatal(got)
		}
	}
}

func TestFramingFindsTheNextConnectionHoweverTheBytesAreSplit(t *testing.T) {
	frame := append([]byte{0, 0, 30, 0, 0, 0, 0, 0, 1}, append(bytes.Clone(preface), "abcdef"...)...) // a payload may hold one
	stream := append(append(bytes.Clone(preface), frame...), frame...)
	start := len(stream)
	stream = append(stream, hello(1)...)
	for size := 1; size <= len(stream); size++ {
		f := framing{skip: len(preface)}
		found := -1
		for from := 0; from < len(stream); from += size {
			chunk := stream[from:min(from+size, len(stream))]
			if _, next := f.advance(chunk); next != nil {
				found = min(from+size, len(stream)) - len(next)
				break
			}
		}
		if found != start {
			t.Fatalf("chunks of %d: found at %d, not %d", size, found, start)
		}
	}
}

func TestFramingFindsTheNextConnectionWhereverTheLastOneBrokeOff(t *testing.T) {
	frame := append([]byte{0, 1, 0, 0, 0, 0, 0, 0, 1}, bytes.Repeat([]byte("x"), 256)...)
	for cut := range frame {
		for size := 1; size <= 64; size++ {
			f := framing{}
			f.advance(frame)
			f.advance(frame[:cut])
			f.doubt()
			stream := append(hello(1), preface...)
			var next []byte
			end := 0
			for ; end < len(stream) && next == nil; end = min(end+size, len(stream)) {
				_, next = f.advance(stream[end:min(end+size, len(stream))])
			}
			if !bytes.Equal(next, stream[:end]) {
				t.Fatalf("cut at %d, chunks of %d: %q of %q", cut, size, next, stream[:end])
			}
		}
	}
}

// again puts a new pair of sockets in the place of a port's: to who has the port, its host has gone and come back.
func again(t *testing.T, s *serial, host net.Conn, away time.Duration) net.Conn {
	t.Helper()
	other, next := port(t)
	host.Close()
	time.Sleep(away)
	if err := unix.Dup3(other.fd, s.fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	unix.Close(other.fd)
	return next
}

func TestAHangupThatIsOverInAMomentEndsNothing(t *testing.T) {
	s, host := port(t)
	ended := serve(s)
	client := session(t, host)
	if answer := get(t, client); answer != "x" {
		t.Fatal(answer)
	}
	next := again(t, s, host, 50*time.Millisecond)
	// The same connection goes on: nothing is said anew.
	settings := []byte{0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8} // a PING, RFC 9113, 6.7
	if _, err := next.Write(settings); err != nil {
		t.Fatal(err)
	}
	pong := make([]byte, len(settings))
	_ = next.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(next, pong); err != nil || pong[3] != 6 || pong[4] != 1 {
		t.Fatal(pong, err)
	}
	select {
	case n := <-ended:
		t.Fatal("ended", n)
	default:
	}
}

func TestAHostThatGoesInTheMiddleOfAFrameAndComesBackGetsAConnectionOfItsOwn(t *testing.T) {
	s, host := port(t)
	ended := serve(s)
	client := session(t, host)
	if answer := get(t, client); answer != "x" {
		t.Fatal(answer)
	}
	if _, err := host.Write([]byte{0, 0x40, 0, 0, 0, 0, 0, 0, 1, 'x', 'y'}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	if answer := get(t, session(t, again(t, s, host, 50*time.Millisecond))); answer != "xx" {
		t.Fatal(answer)
	}
	if n := <-ended; n != 1 {
		t.Fatal(n)
	}
}

func FuzzFraming(f *testing.F) {
	f.Add(append([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}, hello(1)...), 3)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		size = 1 + (size&0x7fffffff)%64
		whole, split := framing{}, framing{}
		_, next := whole.advance(stream)
		for from := 0; from < len(stream); from += size {
			end := min(from+size, len(stream))
			if _, rest := split.advance(stream[from:end]); rest != nil {
				if next == nil || end-len(rest) != len(stream)-len(next) {
					t.Fatalf("split: %d before %d, whole: %d before the end", len(rest), end, len(next))
				}
				return
			}
		}
		if next != nil {
			t.Fatal("only the whole stream shows it")
		}
	})
}

func TestCloseFreesReaderAndWriter(t *testing.T) {
	s, host := port(t)
	if _, err := host.Write(append(hello(1), preface...)); err != nil {
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
	if _, err := host.Write(append(hello(1), preface...)); err != nil {
		t.Fatal(err)
	}
	conn, err := s.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, len(preface))); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(host, make([]byte, helloLength)); err != nil {
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
		100 * time.Millisecond: 25 * time.Millisecond,
		time.Hour:              100 * time.Millisecond,
	} {
		if got := hangupPause(gone); got != want {
			t.Errorf("gone for %v: %v, want %v", gone, got, want)
		}
	}
}
