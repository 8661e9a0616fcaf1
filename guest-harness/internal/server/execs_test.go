package server

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"aegis.dev/guest-harness/internal/wire"
)

// message is the body of POST /execs/ID, with the fields of more in it.
func message(more map[string]any, argv ...string) string {
	fields := map[string]any{"argv": argv, "env": map[string]string{}, "uid": 0, "gid": 0, "stdin": "null", "detached": false}
	for name, value := range more {
		fields[name] = value
	}
	body, _ := json.Marshal(fields)
	return string(body)
}

func (h *host) exec(id string, more map[string]any, argv ...string) *stream {
	h.t.Helper()
	h.expect("POST", "/execs/"+id, message(more, argv...), 200, `{"pid":`)
	return h.eventsOf("/execs/" + id + "/events?after=0")
}

func (h *host) execs() map[string]wire.ExecState {
	h.t.Helper()
	_, body := h.do("GET", "/execs", "")
	var answer wire.Execs
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		h.t.Fatal(err)
	}
	all := map[string]wire.ExecState{}
	for _, state := range answer.Execs {
		all[state.ID] = state
	}
	return all
}

func (s *stream) until(text string) {
	s.t.Helper()
	for !strings.Contains(string(s.output[1]), text) {
		if err := s.next(); err != nil {
			s.t.Fatalf("%v; it had said %q", err, s.output[1])
		}
		s.ack(s.last)
	}
}

func TestAnExecRunsBesideThePrimary(t *testing.T) {
	h := booted(t)
	s := h.exec("one", map[string]any{"env": map[string]string{"A": "x=y", "PATH": "/bin:/usr/bin"}, "cwd": "/tmp"},
		"sh", "-c", `echo "$A $PATH"; pwd; echo err >&2; exit 7`).all()
	if string(s.output[1]) != "x=y /bin:/usr/bin\n/tmp\n" || string(s.output[2]) != "err\n" {
		t.Fatalf("%q %q", s.output[1], s.output[2])
	}
	if s.exit != `{"type":"exit","code":7}` {
		t.Fatal(s.exit)
	}
	if state := h.execs()["one"]; !state.Ended || state.Acked != s.last || state.Noted != s.last {
		t.Fatalf("%+v", state)
	}
	h.expect("POST", "/execs/one", message(nil, "true"), 409, `"state"`)
	h.expect("DELETE", "/execs/one", "", 204, "")
	h.expect("DELETE", "/execs/one", "", 404, `"not-found"`)
	if len(h.execs()) != 0 {
		t.Fatal(h.execs())
	}
}

func TestExecsAreRefusedWithAName(t *testing.T) {
	h := newHost(t)
	h.expect("POST", "/execs/early", message(nil, "true"), 409, `"state"`)
	h.boot("sleep", "600")
	h.expect("POST", "/execs/bad%20id", message(nil, "true"), 400, "letters, digits")
	h.expect("POST", "/execs/x", `{"argv":["true"]}`, 400, "exec: ")
	h.expect("POST", "/execs/x", message(nil, "no-such-command"), 422, `"spawn-not-found"`)
	h.expect("POST", "/execs/x", message(nil, "/"), 422, `"spawn-denied"`)
	h.expect("POST", "/execs/x", message(map[string]any{"cwd": "/no/such"}, "true"), 422, "no such directory")
	h.expect("POST", "/execs/x/signal", `{"signal":15}`, 404, `"not-found"`)
	h.expect("POST", "/execs/x/events?after=0", "", 404, `"not-found"`)
	if len(h.execs()) != 0 {
		t.Fatalf("what was not started is kept: %v", h.execs())
	}
	s := h.exec("pipes", nil, "sleep", "600")
	h.expect("POST", "/execs/pipes/size", `{"rows":2,"cols":2}`, 409, "no terminal")
	h.expect("POST", "/execs/pipes/stdin", "x", 409, `"state"`)
	h.expect("GET", "/execs/pipes", "", 404, "no route")
	h.expect("POST", "/execs/pipes/signal", `{"signal":9}`, 204, "")
	if s.all(); s.exit != `{"type":"exit","signal":9}` {
		t.Fatal(s.exit)
	}
	h.expect("POST", "/signal", `{"signal":9}`, 204, "")
	h.events("?after=0").all()
	h.expect("POST", "/execs/late", message(nil, "true"), 409, "has ended")
}

func TestStandardInputOfAnExec(t *testing.T) {
	h := booted(t)
	s := h.exec("cat", map[string]any{"stdin": "pipe"}, "sha256sum")
	input := strings.Repeat("0123456789abcdef", 200_000)
	h.expect("POST", "/execs/cat/stdin", input, 204, "")
	s.all()
	if want := fmt.Sprintf("%x  -\n", sha256.Sum256([]byte(input))); string(s.output[1]) != want {
		t.Fatalf("%q, not %q", s.output[1], want)
	}
}

func TestManyExecsAtOnceAndALimit(t *testing.T) {
	h := booted(t)
	var wait sync.WaitGroup
	var mu sync.Mutex
	streams := map[string]*stream{}
	for i := range maxExecs {
		wait.Go(func() {
			s := h.exec("e"+strconv.Itoa(i), map[string]any{"stdin": "pipe"}, "sh", "-c",
				"head -c 300000 /dev/zero; cat >/dev/null; exit "+strconv.Itoa(i))
			for len(s.output[1]) < 300_000 {
				if s.next() != nil {
					t.Error("it ended early")
					return
				}
				s.ack(s.last)
			}
			mu.Lock()
			defer mu.Unlock()
			streams["e"+strconv.Itoa(i)] = s
		})
	}
	wait.Wait()
	h.expect("POST", "/execs/over", message(nil, "true"), 429, `"limit"`)
	// One that has ended makes room, unless somebody reads it.
	h.expect("POST", "/execs/e5/stdin", "", 204, "")
	for !h.execs()["e5"].Ended {
		time.Sleep(10 * time.Millisecond)
	}
	h.expect("POST", "/execs/over", message(nil, "true"), 429, `"limit"`)
	streams["e5"].acks.Close()
	for {
		status, answer := h.do("POST", "/execs/over", message(nil, "true"))
		if status == 200 {
			break
		}
		if status != 429 {
			t.Fatal(answer)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, there := h.execs()["e5"]; there {
		t.Fatal("the one that had ended is still kept")
	}
	for id := range h.execs() {
		h.expect("DELETE", "/execs/"+id, "", 204, "")
	}
}

func TestWhatNobodyHasReadIsThereForTheNextReader(t *testing.T) {
	h := booted(t)
	s := h.exec("job", map[string]any{"stdin": "pipe", "detached": true}, "sh", "-c", "echo one; read x; echo two; read x")
	s.until("one")
	_, _ = s.acks.Write(binary.BigEndian.AppendUint64(nil, 1<<63|s.last))
	s.acks.Close()
	s.cancel()
	h.close()
	h.connect()
	h.expect("POST", "/execs/job/stdin", "x\n", 204, "")
	state := h.execs()["job"]
	if !state.Detached || !state.Stdin || state.TTY {
		t.Fatalf("%+v", state)
	}
	again := h.eventsOf("/execs/job/events?after=" + strconv.FormatUint(state.Acked, 10)).all()
	if string(again.output[1]) != "two\n" {
		t.Fatalf("%q", again.output[1])
	}
}

func TestForgettingEndsTheWholeSession(t *testing.T) {
	h := booted(t)
	file := filepath.Join(t.TempDir(), "pids")
	script := `trap '' HUP; sh -c 'trap "" HUP; while :; do sleep 0.05; done' & (sleep 600)& echo $$ $! > ` + file + `; echo up; yes`
	s := h.exec("stubborn", nil, "sh", "-c", script)
	s.until("up")
	h.expect("DELETE", "/execs/stubborn", "", 204, "")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range strings.Fields(string(text)) {
		for {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			if err != nil || strings.Contains(string(stat), ") Z ") {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	if err := s.drain(); err == io.EOF {
		t.Fatal("the events of a forgotten exec ended as if all had come")
	}
}

// drain reads to the end, whatever it is.
func (s *stream) drain() error {
	for {
		if err := s.next(); err != nil {
			return err
		}
	}
}

func TestATerminal(t *testing.T) {
	h := booted(t)
	s := h.exec("tty", map[string]any{"stdin": "pipe", "tty": map[string]int{"rows": 33, "cols": 111}},
		"sh", "-c", "trap 'stty size' WINCH; tty; stty size; ps -o pgid= -p $$ >/dev/null; echo ready; while :; do sleep 0.05; done")
	s.until("ready")
	if text := string(s.output[1]); !strings.Contains(text, "/dev/pts/") || !strings.Contains(text, "33 111\r\n") {
		t.Fatalf("%q", text)
	}
	h.expect("POST", "/execs/tty/size", `{"rows":44,"cols":55}`, 204, "")
	s.until("44 55")
	// Ctrl+C is a byte that the terminal makes a signal of.
	request, _ := http.NewRequest("POST", "http://guest/execs/tty/stdin", io.MultiReader(strings.NewReader("\x03"), neverEnding{}))
	go func() {
		if response, err := h.client.Do(request); err == nil {
			response.Body.Close()
		}
	}()
	if s.all(); s.exit != `{"type":"exit","signal":2}` {
		t.Fatal(s.exit)
	}
	h.expect("POST", "/execs/tty/size", `{"rows":1,"cols":1}`, 409, "no terminal")
}

type neverEnding struct{}

func (neverEnding) Read([]byte) (int, error) { time.Sleep(time.Hour); return 0, io.EOF }

func TestTheEndOfInputOfATerminal(t *testing.T) {
	h := booted(t)
	s := h.exec("tty", map[string]any{"stdin": "pipe", "tty": map[string]int{"rows": 24, "cols": 80}}, "cat")
	h.expect("POST", "/execs/tty/stdin", "line\n", 204, "")
	if s.all(); string(s.output[1]) != "line\r\nline\r\n" || s.exit != `{"type":"exit","code":0}` {
		t.Fatalf("%q %s", s.output[1], s.exit)
	}
}

func TestAnExecOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may become another user")
	}
	h := booted(t)
	s := h.exec("user", map[string]any{"uid": 12345, "gid": 54321}, "sh", "-c", "id -u; id -g; id -G; echo $HOME; echo again > /dev/stdout").all()
	if string(s.output[1]) != "12345\n54321\n54321\n/\nagain\n" {
		t.Fatalf("%q %q", s.output[1], s.output[2])
	}
	s = h.exec("terminal", map[string]any{"uid": 12345, "gid": 54321, "tty": map[string]int{"rows": 24, "cols": 80}},
		"sh", "-c", "echo reopened > $(tty)").all()
	if string(s.output[1]) != "reopened\r\n" {
		t.Fatalf("%q", s.output[1])
	}
}

func BenchmarkExec(b *testing.B) {
	h := newHost(b)
	h.boot("sleep", "600")
	for i := range b.N {
		id := "e" + strconv.Itoa(i)
		h.expect("POST", "/execs/"+id, message(nil, "/bin/true"), 200, "")
		h.eventsOf("/execs/" + id + "/events?after=0").all()
		h.expect("DELETE", "/execs/"+id, "", 204, "")
	}
	h.do("POST", "/signal", `{"signal":9}`)
}
