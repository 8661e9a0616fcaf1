package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// vm is a supervisor with networks of its own, as processes, and the guest at the other end of its link.
type vm struct {
	*guest
	t       *testing.T
	control string
	// numbers is a directory with the number of each network's process, and seen is how many were looked at.
	numbers string
	seen    int
	ended   chan error
}

var quick = restarts{most: 4, first: time.Millisecond, longest: 4 * time.Millisecond, calm: time.Hour}

// patient counts no crash as one too many.
var patient = restarts{most: 1000, first: time.Millisecond, longest: time.Millisecond, calm: time.Hour}

// startVM starts one whose guest is behind a stream of frames, as a VMM's is; outside of its network is the world.
func startVM(t *testing.T, p *policy, r restarts) (*vm, *outside) {
	t.Helper()
	o, err := theOutside()
	if err != nil {
		t.Fatal(err)
	}
	o.seen(t)
	directory := t.TempDir()
	resolvers := filepath.Join(directory, "resolv.conf")
	if err := os.WriteFile(resolvers, []byte("nameserver "+worldServer+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v := &vm{t: t, control: filepath.Join(directory, "control.sock"), numbers: directory, ended: make(chan error, 1)}
	listener, err := listenControl(v.control)
	if err != nil {
		t.Fatal(err)
	}
	counters, err := newCountersFile()
	if err != nil {
		t.Fatal(err)
	}
	started := 0
	s := &supervisor{
		control: listener, relay: newRelay(), counters: counters, state: newHandover(&config{MTU: maxMTU, Policy: *p}), restarts: r,
		program: func() *exec.Cmd {
			started++
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), roleVariable+"="+roleNetwork, resolverVariable+"="+resolvers,
				numberVariable+"="+filepath.Join(directory, strconv.Itoa(started)))
			return cmd
		},
	}
	inner, outer := streamPair(t)
	go func() { v.ended <- s.run(func() (net.Conn, error) { return outer, nil }) }()
	v.guest = newGuest(t, maxMTU, unframed(t, inner))
	t.Cleanup(func() {
		inner.Close()
		select {
		case err := <-v.ended:
			if err != nil {
				t.Errorf("the supervisor ended with: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the supervisor has not ended with its link")
		}
		listener.Close()
		counters.Close()
	})
	return v, o
}

// beTheNetwork is what a supervisor of the tests' starts.
func beTheNetwork() error {
	file := os.Getenv(numberVariable)
	if err := os.WriteFile(file+".new", []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return err
	}
	if err := os.Rename(file+".new", file); err != nil {
		return err
	}
	world := hostWorld()
	world.resolvers = (&resolverFile{path: os.Getenv(resolverVariable)}).list
	return work(os.Stdin, world)
}

func streamPair(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "link.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	inner, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	outer, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return inner, outer
}

// unframed is the guest's end of a stream of frames, as packets. A stream that is not made of whole frames fails the test.
func unframed(t *testing.T, stream net.Conn) *net.UnixConn {
	t.Helper()
	inner, outer := connectedPackets(t)
	carry := newRelay()
	carry.enter(outer)
	done := make(chan error, 1)
	go func() { done <- carry.run(func() (net.Conn, error) { return stream, nil }) }()
	t.Cleanup(func() {
		inner.Close()
		if err := <-done; err != nil && !strings.Contains(err.Error(), net.ErrClosed.Error()) {
			t.Errorf("the stream to the guest: %v", err)
		}
	})
	return inner
}

// next is the process of the network that comes after the last one that was asked for.
func (v *vm) next() int {
	v.t.Helper()
	v.seen++
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(v.numbers, strconv.Itoa(v.seen)))
		if err == nil {
			number, err := strconv.Atoi(string(text))
			if err != nil {
				v.t.Fatal(err)
			}
			return number
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("network %d was not started: %v", v.seen, err)
		}
	}
}

// crash ends the next network by a signal.
func (v *vm) crash(signal unix.Signal) {
	v.t.Helper()
	if err := unix.Kill(v.next(), signal); err != nil {
		v.t.Fatal(err)
	}
}

// say tells the network something, whichever there is, and gives its answer.
func (v *vm) say(line string) string {
	v.t.Helper()
	conn, err := net.Dial("unix", v.control)
	if err != nil {
		v.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintln(conn, line)
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		v.t.Fatalf("%s: %v", line, err)
	}
	return answer
}

func (v *vm) counters() counts {
	v.t.Helper()
	var heard struct{ Counters counts }
	if err := json.Unmarshal([]byte(v.say(`{"counters": true}`)), &heard); err != nil {
		v.t.Fatal(err)
	}
	return heard.Counters
}

// hearCrash follows one network after the other until one tells of a crash, and then on until one more thing is told, which `then` causes, if
// there is one: by that time the network knows that it was heard.
func (v *vm) hearCrash(then func()) crash {
	v.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		conn, err := net.Dial("unix", v.control)
		if err != nil {
			v.t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(deadline)
		fmt.Fprintln(conn, `{"follow": true}`)
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			var heard struct{ Report report }
			if err := json.Unmarshal(lines.Bytes(), &heard); err != nil {
				v.t.Fatal(err)
			}
			if heard.Report.Crash != nil {
				if then == nil {
					return *heard.Report.Crash
				}
				if then(); !lines.Scan() {
					v.t.Fatalf("nothing more was told: %v", lines.Err())
				}
				return *heard.Report.Crash
			}
		}
	}
	v.t.Fatal("no crash was told")
	return crash{}
}
