package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// controlOf serves a network's control socket. It gives what connects to it as a daemon does.
func controlOf(t *testing.T, n *network) func() (net.Conn, *bufio.Scanner) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	listener, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	go (&control{listener: listener}).serve(n)
	t.Cleanup(func() { listener.Close() })
	return func() (net.Conn, *bufio.Scanner) {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
		return conn, bufio.NewScanner(conn)
	}
}

func TestTheDaemonHearsOfRefusalsAndChangesThePolicy(t *testing.T) {
	world, _ := echoWorld(t)
	n, g := start(t, policyOf(t, "public"), world)
	connect := controlOf(t, n)
	expect := func(lines *bufio.Scanner, part string) {
		t.Helper()
		if !lines.Scan() || !strings.Contains(lines.Text(), part) {
			t.Fatalf("%q, and not %q: %v", lines.Text(), part, lines.Err())
		}
	}
	// What happened before anybody listened is told to who comes first.
	if conn, err := g.dial("10.0.0.1:80"); err == nil {
		conn.Close()
		t.Error("it passes")
	}
	first, lines := connect()
	fmt.Fprintln(first, `{"follow": true}`)
	expect(lines, `{"report":{"refused":[{"protocol":"tcp","address":"10.0.0.1","port":80,"why":"a private address","count":1}],"more":0}}`)
	fmt.Fprintln(first, `{"policy": {"steps": [{"verdict": "allow", "why": "x"}], "otherwise": {"verdict": "allow", "why": ""}}}`)
	expect(lines, `"error"`)
	fmt.Fprintln(first, `{"counters": true}`)
	expect(lines, `"allowed":0,"refused":1}}`)
	fmt.Fprintln(first, `nonsense`)
	expect(lines, `"error"`)
	// A daemon that comes after another takes its place.
	second, later := connect()
	fmt.Fprintln(second, `{"follow": true}`)
	expect(lines, `"ended":true`)
	if lines.Scan() {
		t.Errorf("the first still hears %q", lines.Text())
	}
	lines = later
	fmt.Fprintln(second, `{"policy": {"otherwise": {"verdict": "allow", "why": "the test"}}}`)
	expect(lines, `"policy":"set"`)
	conn, err := g.dial("10.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	fmt.Fprintln(second, `{"counters": true}`)
	expect(lines, `"allowed":1,"refused":1}}`)
	var told struct{ Counters counts }
	if err := json.Unmarshal(lines.Bytes(), &told); err != nil {
		t.Fatal(err)
	}
	if c := told.Counters; c.SentPackets < 3 || c.ReceivedPackets < 3 || c.SentBytes < 40*c.SentPackets || c.ReceivedBytes < 40*c.ReceivedPackets {
		t.Errorf("what passed: %+v", c)
	}
}

func TestTheConfigurationIsRead(t *testing.T) {
	good := `{"dial": "/a", "mtu": 1500, "policy": {"otherwise": {"verdict": "refuse", "why": ""}}}`
	if _, err := decodeConfig([]byte(good)); err != nil {
		t.Error(err)
	}
	for _, change := range [][2]string{
		{`"dial": "/a"`, `"dial": "/a", "listen": "/c"`}, {`"dial": "/a", `, ``}, {`1500`, `100`}, {`1500`, `70000`},
		{`"refuse"`, `""`}, {`"mtu"`, `"mtv"`},
	} {
		if _, err := decodeConfig([]byte(strings.Replace(good, change[0], change[1], 1))); err == nil {
			t.Errorf("%v is taken", change)
		}
	}
}
