package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"aegis.dev/guest-harness/internal/events"
	"aegis.dev/guest-harness/internal/process"
	"aegis.dev/guest-harness/internal/wire"
	"golang.org/x/net/http2"
)

var reaper = sync.OnceValue(process.StartReaper)

// testMachine stands for the machine: the command is a real process of the test's own machine.
type testMachine struct {
	refuse         *wire.Failure
	synced, killed chan struct{}
	ended          chan struct{}
	crashed        chan string
	prepareBug     bool
	clock          time.Time
	memory         uint64
}

func newMachine() *testMachine {
	return &testMachine{
		memory: 512 << 20, synced: make(chan struct{}, 9), killed: make(chan struct{}, 9), ended: make(chan struct{}, 9), crashed: make(chan string, 9),
	}
}

func (m *testMachine) Prepare(*wire.Boot) *wire.Failure {
	if m.prepareBug {
		panic("a bug")
	}
	return m.refuse
}
func (m *testMachine) Kernel() string        { return "6.12.91" }
func (m *testMachine) Uptime() time.Duration { return 1500 * time.Millisecond }
func (m *testMachine) CPUMillis() uint64     { return 1234 }
func (m *testMachine) NetworkBytes() uint64  { return 5678 }
func (m *testMachine) Memory() uint64        { return m.memory }
func (m *testMachine) SetClock(now time.Time) error {
	m.clock = now
	return nil
}
func (m *testMachine) SyncWorkspace()       { m.synced <- struct{}{} }
func (m *testMachine) KillAll()             { m.killed <- struct{}{} }
func (m *testMachine) End()                 { m.ended <- struct{}{} }
func (m *testMachine) Crashed(trace string) { m.crashed <- trace }

// host is the other side of one server, over a Unix socket.
type host struct {
	t       testing.TB
	machine *testMachine
	address string
	client  *http.Client
	close   func()
}

func newHost(t testing.TB) *host {
	machine := newMachine()
	harness := New(machine, reaper())
	h := &host{t: t, machine: machine, address: filepath.Join(t.TempDir(), "s")}
	listener, err := net.Listen("unix", h.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go harness.Serve(conn)
		}
	}()
	h.connect()
	return h
}

// connect opens a connection of its own; the one before it stays.
func (h *host) connect() {
	transport := &http2.Transport{
		AllowHTTP: true,
		DialTLSContext: func(ctx context.Context, _, _ string, _ *tls.Config) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", h.address)
		},
	}
	h.close = transport.CloseIdleConnections
	h.client = &http.Client{Transport: transport, Timeout: 0}
	h.t.Cleanup(transport.CloseIdleConnections)
}

func (h *host) do(method, path, body string) (int, string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://guest"+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	response, err := h.client.Do(request)
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

func (h *host) expect(method, path, body string, status int, contains string) {
	h.t.Helper()
	got, answer := h.do(method, path, body)
	if got != status || !strings.Contains(answer, contains) {
		h.t.Fatalf("%s %s: %d %s, not %d %s", method, path, got, answer, status, contains)
	}
}

func bootMessage(stdin string, argv ...string) string {
	body, _ := json.Marshal(map[string]any{
		"protocol": 1, "argv": argv, "env": map[string]string{"PATH": "/usr/bin:/bin"}, "cwd": "/", "hostname": "test",
		"clockMs": 1795515600000, "seed": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "rootDevice": "/dev/vdb", "stdin": stdin,
	})
	return string(body)
}

func (h *host) boot(argv ...string) {
	h.t.Helper()
	h.expect("POST", "/boot", bootMessage("null", argv...), 200, `{"pid":`)
}

var ranUs = regexp.MustCompile(`,"ranUs":[0-9]+`)

// stream is one POST /events.
type stream struct {
	t        testing.TB
	response *http.Response
	acks     *io.PipeWriter
	cancel   context.CancelFunc
	last     uint64
	output   [4][]byte
	exit     string
}

func (h *host) events(query string) *stream {
	h.t.Helper()
	return h.eventsOf("/events" + query)
}

func (h *host) eventsOf(route string) *stream {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	h.t.Cleanup(cancel)
	body, acks := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, "POST", "http://guest"+route, body)
	if err != nil {
		h.t.Fatal(err)
	}
	response, err := h.client.Do(request)
	if err != nil {
		h.t.Fatal(err)
	}
	return &stream{t: h.t, response: response, acks: acks, cancel: cancel}
}

func (s *stream) next() error {
	var header [events.HeaderSize]byte
	if _, err := io.ReadFull(s.response.Body, header[:]); err != nil {
		return err
	}
	frame := make([]byte, events.HeaderSize+binary.BigEndian.Uint32(header[:]))
	copy(frame, header[:])
	if _, err := io.ReadFull(s.response.Body, frame[events.HeaderSize:]); err != nil {
		return err
	}
	decoded, _, err := events.Decode(frame)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.last != 0 && decoded.Seq != s.last+1 {
		s.t.Fatalf("number %d after %d", decoded.Seq, s.last)
	}
	s.last = decoded.Seq
	s.output[decoded.Kind] = append(s.output[decoded.Kind], decoded.Payload...)
	if decoded.Kind == events.Event {
		// How long it took is another each time, and always there.
		s.exit = ranUs.ReplaceAllString(string(decoded.Payload), "")
		if s.exit == string(decoded.Payload) {
			s.t.Errorf("%s does not say how long it took", decoded.Payload)
		}
	}
	return nil
}

func (s *stream) ack(seq uint64) {
	_, _ = s.acks.Write(binary.BigEndian.AppendUint64(nil, seq)) // the stream may have ended
}

// all reads to the end, acknowledging each frame.
func (s *stream) all() *stream {
	s.t.Helper()
	for {
		switch err := s.next(); err {
		case nil:
			s.ack(s.last)
		case io.EOF:
			return s
		default:
			s.t.Fatal(err)
		}
	}
}

func TestHealthAndTheStates(t *testing.T) {
	h := newHost(t)
	h.expect("GET", "/health", "", 200, `{"protocol":1,"harness":"0.1.0","kernel":"6.12.91","state":"waiting","uptimeMs":1500}`)
	h.expect("GET", "/activity", "", 200, `{"cpuMs":1234,"networkBytes":5678,"tunnels":0}`)
	h.expect("POST", "/signal", `{"signal":15}`, 409, `"state"`)
	h.expect("POST", "/stdin", "x", 409, `"state"`)
	h.boot("sh", "-c", "read line; exit 0")
	h.events("?after=0").all()
	h.expect("GET", "/health", "", 200, `"state":"exited"`)
	h.expect("POST", "/signal", `{"signal":15}`, 409, "has ended")
	<-h.machine.synced
}

func TestBadRequests(t *testing.T) {
	h := newHost(t)
	h.expect("GET", "/boot", "", 404, `"not-found"`)
	h.expect("POST", "/nowhere", "", 404, `"not-found"`)
	h.expect("POST", "/boot", "{}", 400, "protocol is missing")
	h.expect("POST", "/boot", strings.Repeat(" ", wire.MaxBody+1), 400, "more than")
	h.expect("POST", "/shutdown", `{"graceMs":-1}`, 400, `"bad-request"`)
	for _, query := range []string{"", "?after=", "?after=x", "?after=-1", "?after=1&after=2", "?after=0&x=1"} {
		h.expect("POST", "/events"+query, "", 400, `"bad-request"`)
	}
	h.expect("POST", "/events?after=7", "", 409, `"state"`)
	// None of this was the one boot message.
	h.boot("true")
	h.expect("POST", "/boot", bootMessage("null", "true"), 409, `"state"`)
}

func TestT211ACommandThatCannotBeStarted(t *testing.T) {
	for argv0, want := range map[string]string{"no-such-command": `"spawn-not-found"`, "/etc": `"spawn-denied"`} {
		h := newHost(t)
		h.expect("POST", "/boot", bootMessage("null", argv0), 422, want)
		h.expect("GET", "/health", "", 200, `"state":"exited"`)
		h.expect("POST", "/boot", bootMessage("null", "true"), 409, `"state"`)
	}
	h := newHost(t)
	h.machine.refuse = wire.Failf(wire.Mount, "ext4 on /")
	h.expect("POST", "/boot", bootMessage("null", "true"), 500, `{"code":"mount","message":"ext4 on /"}`)
}

func TestOutputArrivesWhole(t *testing.T) {
	h := newHost(t)
	s := h.events("?after=0") // before the boot: it waits
	h.boot("sh", "-c", `head -c 20000000 /dev/zero; printf 'no newline'; printf 'e\0' >&2; exit 5`)
	s.all()
	if len(s.output[1]) != 20000010 || !bytes.HasSuffix(s.output[1], []byte("no newline")) || string(s.output[2]) != "e\x00" {
		t.Fatalf("%d and %d bytes", len(s.output[1]), len(s.output[2]))
	}
	if s.exit != `{"type":"exit","code":5}` {
		t.Fatal(s.exit)
	}
}

// T-207: the host does not read, the child is blocked by its pipe, and the harness answers all the same.
func TestT207AFloodNobodyReadsDoesNotBlockTheHarness(t *testing.T) {
	h := newHost(t)
	h.boot("sh", "-c", "head -c 30000000 /dev/zero; printf end")
	s := h.events("?after=0")
	if err := s.next(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	begin := time.Now()
	h.expect("GET", "/health", "", 200, `"state":"running"`)
	if took := time.Since(begin); took > 5*time.Second {
		t.Fatalf("took %v", took)
	}
	s.ack(s.last)
	s.all()
	if len(s.output[1]) != 30000003 || !bytes.HasSuffix(s.output[1], []byte("end")) {
		t.Fatalf("%d bytes", len(s.output[1]))
	}
}

func TestAHostThatComesBackLosesNothing(t *testing.T) {
	h := newHost(t)
	h.boot("sh", "-c", "head -c 9000000 /dev/zero; printf end; exit 6")
	var output []byte
	var last uint64
	for exit := ""; exit == ""; {
		h.connect()
		s := h.events("?after=" + jsonOf(last))
		s.last = last
		for i := 0; i < 20 && exit == ""; i++ {
			if err := s.next(); err != nil {
				t.Fatal(err)
			}
			last, exit = s.last, s.exit
			if i%3 == 0 {
				s.ack(s.last) // others get lost with the connection
			}
		}
		output = append(output, s.output[1]...)
		s.cancel()
		h.close()
	}
	if len(output) != 9000003 || !bytes.HasSuffix(output, []byte("end")) {
		t.Fatalf("%d bytes", len(output))
	}
	// The exit has been stored: there is nothing more, and the answer ends.
	if s := h.events("?after=" + jsonOf(last)).all(); s.exit != "" {
		t.Fatal(s.exit)
	}
	h.expect("POST", "/events?after=0", "", 409, "forgotten")
}

func jsonOf(n uint64) string {
	raw, _ := json.Marshal(n)
	return string(raw)
}

func TestANewReaderEndsTheOldOneEvenIfItIsBlocked(t *testing.T) {
	h := newHost(t)
	h.boot("sh", "-c", "head -c 30000000 /dev/zero")
	old := h.events("?after=0")
	if err := old.next(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // the old one's window is full by now
	h.connect()
	s := h.events("?after=0").all()
	if len(s.output[1]) != 30000000 {
		t.Fatalf("%d bytes", len(s.output[1]))
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, old.response.Body)
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the old reader's answer goes on")
	}
}

func TestAnAcknowledgementOfWhatWasNeverSentResetsTheStream(t *testing.T) {
	h := newHost(t)
	h.boot("sh", "-c", "echo x; sleep 20")
	s := h.events("?after=0")
	if err := s.next(); err != nil {
		t.Fatal(err)
	}
	s.ack(99)
	if err := s.next(); err == nil || err == io.EOF {
		t.Fatalf("%v", err)
	}
	h.expect("POST", "/signal", `{"signal":9}`, 204, "")
}

func TestAHostThatEndsItsAcknowledgementsGetsTheExitAndTheEnd(t *testing.T) {
	h := newHost(t)
	s := h.events("?after=0")
	s.acks.Close()
	h.boot("true")
	if s.all(); s.exit == "" {
		t.Fatal("no exit")
	}
}

func TestStandardInput(t *testing.T) {
	h := newHost(t)
	h.expect("POST", "/boot", bootMessage("pipe", "cat"), 200, "pid")
	s := h.events("?after=0")
	copied := make(chan int)
	go func() {
		s.all()
		copied <- len(s.output[1])
	}()
	input := strings.Repeat("line\n", 400_000)
	h.expect("POST", "/stdin", input, 204, "")
	h.expect("POST", "/stdin", "more", 409, `"state"`)
	select {
	case n := <-copied:
		if n != len(input) || s.exit != `{"type":"exit","code":0}` {
			t.Fatalf("%d bytes of %d came back, %s", n, len(input), s.exit)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("cat goes on although its input has ended")
	}
}

func TestSignals(t *testing.T) {
	h := newHost(t)
	h.boot("sleep", "30")
	h.expect("POST", "/signal", `{"signal":65}`, 400, "from 1 to 64")
	h.expect("POST", "/signal", `{"signal":2}`, 204, "")
	if s := h.events("?after=0").all(); s.exit != `{"type":"exit","signal":2}` {
		t.Fatal(s.exit)
	}
}

func TestT232TheClockIsSet(t *testing.T) {
	h := newHost(t)
	h.expect("POST", "/clock", `{"clockMs":1795515600000}`, 204, "")
	if !h.machine.clock.Equal(time.UnixMilli(1795515600000)) {
		t.Errorf("the clock is %v", h.machine.clock)
	}
	h.expect("POST", "/clock", `{"clockMs":-1}`, 400, "clockMs")
	h.expect("POST", "/clock", `{}`, 400, "clockMs")
}

func TestShutdownIsTermGraceKillAndTheEnd(t *testing.T) {
	h := newHost(t)
	h.boot("sh", "-c", "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
	s := h.events("?after=0")
	if err := s.next(); err != nil {
		t.Fatal(err)
	}
	h.expect("POST", "/shutdown", "{}", 202, "")
	h.expect("POST", "/shutdown", "{}", 202, "")
	s.all()
	<-h.machine.killed
	<-h.machine.ended
	if string(s.output[1]) != "ready\nbye\n" || s.exit != `{"type":"exit","code":0}` {
		t.Fatalf("%q %s", s.output[1], s.exit)
	}
	select {
	case <-h.machine.ended:
		t.Fatal("ended twice")
	case <-time.After(50 * time.Millisecond):
	}
}

func TestShutdownOfACommandThatIgnoresIt(t *testing.T) {
	h := newHost(t)
	h.boot("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
	s := h.events("?after=0")
	if err := s.next(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	h.expect("POST", "/shutdown", `{"graceMs":300}`, 202, "")
	<-h.machine.killed
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Fatalf("killed after %v", took)
	}
	h.expect("POST", "/signal", `{"signal":9}`, 204, "")
	<-h.machine.ended
}

func TestShutdownBeforeABoot(t *testing.T) {
	h := newHost(t)
	h.expect("POST", "/shutdown", "{}", 202, "")
	<-h.machine.ended
	h.expect("POST", "/boot", bootMessage("null", "true"), 409, `"state"`)
}

func TestABugInAHandlerEndsTheMachine(t *testing.T) {
	h := newHost(t)
	h.machine.prepareBug = true
	h.do("POST", "/boot", bootMessage("null", "true"))
	if trace := <-h.machine.crashed; !strings.Contains(trace, "a bug") {
		t.Fatal(trace)
	}
}

func TestOneServerManyConnections(t *testing.T) {
	h := newHost(t)
	for range 50 {
		h.connect()
		h.expect("GET", "/health", "", 200, "waiting")
		h.close()
	}
}
