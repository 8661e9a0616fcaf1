package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

const patience = 20 * time.Second

func TestANetworkThatCrashesIsFollowedByOneThatKnowsWhatItKnew(t *testing.T) {
	v, o := startVM(t, &policy{Otherwise: decision{refuse, "the test"}}, quick)
	// By a rule about the name, so that the address passes only to whom was told that it is the name's.
	if answer := v.say(`{"policy": {"steps": [{"verdict": "allow", "name": "pinned.example", "why": "the test"}], "otherwise": {"verdict": "refuse", "why": ""}}}`); !strings.Contains(answer, "set") {
		t.Fatal(answer)
	}
	o.tell(t, order{Name: "pinned.example", Addresses: []string{"203.0.113.10"}})
	if v.reaches("tcp", "203.0.113.10", patience) {
		t.Fatal("it is reached before its name was asked for")
	}
	if got := addresses(v.ask(t, "udp", "pinned.example", dns.TypeA)); len(got) != 1 {
		t.Fatalf("the name's addresses: %v", got)
	}
	open, err := v.dial(fmt.Sprintf("203.0.113.10:%d", echoPort))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	before := v.counters()

	v.crash(unix.SIGKILL)
	if !v.reaches("tcp", "203.0.113.10", patience) {
		t.Error("what its name had allowed is not reached any more")
	}
	if v.reaches("tcp", "8.8.8.8", patience) {
		t.Error("the policy is forgotten")
	}
	after := v.counters()
	if after.Allowed != before.Allowed+1 || after.Refused != before.Refused+1 || after.SentBytes <= before.SentBytes {
		t.Errorf("what has passed: before %+v, after %+v", before, after)
	}
	// The guest learns that what was open is no more.
	_ = open.SetDeadline(time.Now().Add(patience))
	_, _ = open.Write([]byte("hello"))
	if _, err := open.Read(make([]byte, 5)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("what was open: %v", err)
	}
	refused := func() { v.reaches("tcp", "8.8.8.8", patience) }
	if got := v.hearCrash(refused); got != (crash{Count: 1, Why: "killed by SIGKILL"}) {
		t.Errorf("told was %+v", got)
	}
	// It was told, so only the next is; with Go's own words.
	v.crash(unix.SIGQUIT)
	if got := v.hearCrash(refused); got.Count != 1 || !strings.HasPrefix(got.Why, "exit 2: SIGQUIT") {
		t.Errorf("told was %+v", got)
	}
}

func TestNoCrashLeavesHalfAFrame(t *testing.T) {
	v, _ := startVM(t, openPolicy(), patient)
	var moved atomic.Uint64
	stop := make(chan struct{})
	done := make(chan struct{})
	// Both directions are full all the time: what comes back is what was sent, for as long as the network lives.
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			conn, err := v.dialWithin(fmt.Sprintf("203.0.113.10:%d", echoPort), time.Second)
			if err != nil {
				continue
			}
			_ = conn.SetDeadline(time.Now().Add(patience))
			go func() {
				piece := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
				for {
					if _, err := conn.Write(piece); err != nil {
						return
					}
				}
			}()
			size, _ := io.Copy(io.Discard, &counting{conn, &moved, stop})
			_ = size
			conn.Close()
		}
	}()
	for range 20 {
		before := moved.Load()
		for deadline := time.Now().Add(patience); moved.Load() < before+4<<20; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("nothing passes any more")
			}
		}
		v.crash(unix.SIGKILL)
	}
	close(stop)
	<-done
	if !v.reaches("tcp", "203.0.113.10", patience) {
		t.Error("it is not reached any more")
	}
	if got := v.hearCrash(nil); got.Count != 20 {
		t.Errorf("told was %+v", got)
	}
}

// counting counts what is read, until it is stopped.
type counting struct {
	from  io.Reader
	count *atomic.Uint64
	stop  chan struct{}
}

func (c *counting) Read(memory []byte) (int, error) {
	select {
	case <-c.stop:
		return 0, io.EOF
	default:
	}
	size, err := c.from.Read(memory)
	c.count.Add(uint64(size))
	return size, err
}

func TestANetworkThatCrashesTooOftenStaysDownAndSaysSo(t *testing.T) {
	v, o := startVM(t, openPolicy(), quick)
	if !v.reaches("tcp", "203.0.113.10", patience) {
		t.Fatal("it is not reached")
	}
	for range quick.most {
		v.crash(unix.SIGKILL)
	}
	if got := v.hearCrash(nil); got != (crash{Count: quick.most, Why: "killed by SIGKILL", Down: true}) {
		t.Errorf("told was %+v", got)
	}
	o.seen(t)
	if v.reaches("tcp", "203.0.113.10", 2*time.Second) || len(o.seen(t)) > 0 {
		t.Error("it is reached")
	}
	// Whoever changes the policy is not kept waiting.
	if answer := v.say(`{"policy": {"otherwise": {"verdict": "allow", "why": ""}}}`); !strings.Contains(answer, "set") {
		t.Error(answer)
	}
}

func TestCrashesInARowWaitEverLonger(t *testing.T) {
	s := &supervisor{restarts: restarts{most: 5, first: time.Second, longest: 3 * time.Second, calm: time.Minute}, state: &handover{}}
	for i, want := range []time.Duration{0, time.Second, 2 * time.Second} {
		if got := s.crashed("", time.Second); got != want || s.state.Down {
			t.Errorf("crash %d waits for %v", i, got)
		}
	}
	if got := s.crashed("", time.Minute); got != 0 || s.state.Crash.Count != 4 {
		t.Errorf("one after calm waits for %v", got)
	}
	for range 4 {
		s.crashed("the last", 0)
	}
	if want := (crash{Count: 8, Why: "the last", Down: true}); *s.state.Crash != want {
		t.Errorf("%+v", *s.state.Crash)
	}
	if got := s.restarts.wait(5); got != 3*time.Second {
		t.Errorf("the longest wait is %v", got)
	}
}
