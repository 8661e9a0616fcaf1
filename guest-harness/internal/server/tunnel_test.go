package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tunnel is one CONNECT as a host makes it.
type tunnel struct {
	response *http.Response
	up       *io.PipeWriter
	cancel   func()
}

func (h *host) tunnel(authority string) *tunnel {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	h.t.Cleanup(cancel)
	body, up := io.Pipe()
	request := (&http.Request{
		Method: http.MethodConnect, URL: &url.URL{Scheme: "http", Host: authority}, Host: authority,
		Header: http.Header{}, Body: body,
	}).WithContext(ctx)
	response, err := h.client.Do(request)
	if err != nil {
		h.t.Fatal(err)
	}
	// Go's client looks at a request's context no more while it waits for the body, so it is the answer's end that resets.
	return &tunnel{response, up, func() { response.Body.Close() }}
}

// refused opens a tunnel that is to be refused, and gives the status and the answer.
func (h *host) refused(authority string) (int, string) {
	h.t.Helper()
	tunnel := h.tunnel(authority)
	defer tunnel.cancel()
	answer, _ := io.ReadAll(tunnel.response.Body)
	return tunnel.response.StatusCode, string(answer)
}

// read gives a block, or the end, or how it was cut off.
func (t *tunnel) read() ([]byte, error) {
	var header [blockHeader]byte
	if _, err := io.ReadFull(t.response.Body, header[:]); err != nil {
		return nil, err
	}
	piece := make([]byte, binary.BigEndian.Uint32(header[:]))
	_, err := io.ReadFull(t.response.Body, piece)
	if len(piece) == 0 && err == nil {
		err = io.EOF
	}
	return piece, err
}

func (t *tunnel) all(tb testing.TB) []byte {
	tb.Helper()
	var whole []byte
	for {
		piece, err := t.read()
		whole = append(whole, piece...)
		if err == io.EOF {
			return whole
		}
		if err != nil {
			tb.Fatalf("cut off after %d bytes: %v", len(whole), err)
		}
	}
}

// program listens on a port of this machine's loopback and gives each connection to serve.
func program(t testing.TB, network string, serve func(*net.TCPConn)) string {
	address := map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"}[network]
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn.(*net.TCPConn))
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return "127.0.0.1:" + port
}

func booted(t testing.TB) *host {
	h := newHost(t)
	h.boot("sleep", "600")
	h.t.Cleanup(func() { h.do("POST", "/signal", `{"signal":9}`) })
	return h
}

func echo(conn *net.TCPConn) {
	_, _ = io.Copy(conn, conn)
	conn.CloseWrite()
}

func TestATunnelCarriesBytesBothWays(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp6"} {
		h := booted(t)
		tunnel := h.tunnel(program(t, network, echo))
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<19)
		go func() {
			tunnel.up.Write(sent)
			tunnel.up.Close()
		}()
		if got := tunnel.all(t); !bytes.Equal(got, sent) {
			t.Fatalf("%d bytes of %d came back", len(got), len(sent))
		}
	}
}

func TestT168EitherSideMayEndItsHalfFirst(t *testing.T) {
	h := booted(t)
	counted := make(chan int64, 1)
	tunnel := h.tunnel(program(t, "tcp4", func(conn *net.TCPConn) {
		conn.Write([]byte("all I have to say"))
		conn.CloseWrite()
		n, _ := io.Copy(io.Discard, conn)
		counted <- n
		conn.Close()
	}))
	if got := string(tunnel.all(t)); got != "all I have to say" {
		t.Fatal(got)
	}
	// The program has ended its side and still reads.
	for range 100 {
		if _, err := tunnel.up.Write(make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
	}
	tunnel.up.Close()
	if n := <-counted; n != 1_000_000 {
		t.Fatalf("%d bytes arrived", n)
	}
	if _, err := io.ReadAll(tunnel.response.Body); err != nil {
		t.Fatal(err)
	}

	late := h.tunnel(program(t, "tcp4", func(conn *net.TCPConn) {
		got, _ := io.ReadAll(conn)
		conn.Write(append([]byte("after your end: "), got...))
		conn.Close()
	}))
	late.up.Write([]byte("question"))
	late.up.Close()
	if got := string(late.all(t)); got != "after your end: question" {
		t.Fatal(got)
	}
}

func TestT169AResetIsNotAnEnd(t *testing.T) {
	h := booted(t)
	tunnel := h.tunnel(program(t, "tcp4", func(conn *net.TCPConn) {
		conn.Write([]byte("half"))
		io.ReadFull(conn, make([]byte, 1))
		conn.SetLinger(0)
		conn.Close()
	}))
	if piece, err := tunnel.read(); string(piece) != "half" || err != nil {
		t.Fatal(piece, err)
	}
	tunnel.up.Write([]byte("x"))
	if _, err := tunnel.read(); err == nil || err == io.EOF {
		t.Fatalf("%v", err)
	}

	ended := make(chan error, 1)
	other := h.tunnel(program(t, "tcp4", func(conn *net.TCPConn) {
		conn.Write([]byte("x"))
		_, err := io.Copy(io.Discard, conn)
		ended <- err
	}))
	other.read()
	other.cancel()
	if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("%v", err)
	}
}

func TestAProgramThatAnswersEarlyAndGoesIsHeard(t *testing.T) {
	h := booted(t)
	tunnel := h.tunnel(program(t, "tcp4", func(conn *net.TCPConn) {
		conn.Write([]byte("too large"))
		conn.Close()
	}))
	go func() {
		for {
			if _, err := tunnel.up.Write(make([]byte, 10_000)); err != nil {
				return
			}
		}
	}()
	var got []byte
	for {
		piece, err := tunnel.read()
		got = append(got, piece...)
		if err != nil {
			break
		}
	}
	if string(got) != "too large" {
		t.Fatalf("%q", got)
	}
	tunnel.up.Close()
}

func TestASlowTunnelHoldsUpNobody(t *testing.T) {
	h := booted(t)
	deaf := program(t, "tcp4", func(conn *net.TCPConn) { time.Sleep(time.Hour) })
	for range 40 {
		tunnel := h.tunnel(deaf)
		go func() {
			for {
				if _, err := tunnel.up.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}()
	}
	// Their windows are full by now, and the sum of them is more than one connection's usual window.
	time.Sleep(300 * time.Millisecond)
	tunnel := h.tunnel(program(t, "tcp4", echo))
	go func() {
		tunnel.up.Write(make([]byte, 4<<20))
		tunnel.up.Close()
	}()
	if got := tunnel.all(t); len(got) != 4<<20 {
		t.Fatalf("%d bytes", len(got))
	}
	h.expect("POST", "/signal", `{"signal":18}`, 204, "")
}

func TestTunnelsThatCannotBe(t *testing.T) {
	h := newHost(t)
	if status, answer := h.refused("127.0.0.1:80"); status != 409 || !strings.Contains(answer, `"state"`) {
		t.Fatal(status, answer)
	}
	h = booted(t)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	listener.Close()
	if status, answer := h.refused(closed); status != 502 || !strings.Contains(answer, `"connect-refused"`) {
		t.Fatal(status, answer)
	}
	for _, authority := range []string{"127.0.0.1:0", "127.0.0.1:080", "127.0.0.1:65536", "127.0.0.2:80", "localhost:80", "127.0.0.1:+1"} {
		if status, answer := h.refused(authority); status != 400 || !strings.Contains(answer, `"bad-request"`) {
			t.Fatal(authority, status, answer)
		}
	}
}

func TestASmallGuestAllowsFewerTunnels(t *testing.T) {
	h := booted(t)
	h.machine.memory = 1 << 20
	address := program(t, "tcp4", echo)
	var open []*tunnel
	for range 64 {
		open = append(open, h.tunnel(address))
	}
	if status, answer := h.refused(address); status != 503 || !strings.Contains(answer, `"too-many-tunnels"`) {
		t.Fatal(status, answer)
	}
	open[0].up.Close()
	open[0].all(t)
	io.ReadAll(open[0].response.Body)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		tunnel := h.tunnel(address)
		tunnel.cancel()
		if tunnel.response.StatusCode == 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the room of one that ended was not given back")
		}
	}
}
