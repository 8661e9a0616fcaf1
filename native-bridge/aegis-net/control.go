package main

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"sync"
	"time"
)

// drainWithin is enough for a daemon that is there.
const drainWithin = 500 * time.Millisecond

// control is the daemon's socket: lines of JSON. We hear
//
//	{"policy": {...}}                            the policy from now on
//	{"end": true}                                the guest has ended: what is left is told, and then the follower's connection closed
//	{"counters": true}                           what has passed (counters.go)
//	{"follow": true}                             whoever says so is told what happens; the newest alone
//
// and say
//
//	{"policy": "set"} or {"error": "..."}        the answer to a change
//	{"counters": {...}}
//	{"ended": true}                              the answer to an end
//	{"report": {"refused": [...], "more": 0}}    what was refused, and which flows that passed are over (report.go)
type control struct {
	listener net.Listener

	mu        sync.Mutex
	follower  net.Conn
	following sync.WaitGroup
}

func listenControl(path string) (*control, error) {
	_ = os.Remove(path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return &control{listener: listener}, nil
}

func (c *control) serve(n *network) {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		go c.serveDaemon(conn, n)
	}
}

// follow makes a connection the one that is told what happens.
func (c *control) follow(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.follower != nil && c.follower != conn {
		c.follower.Close()
	}
	c.follower = conn
}

// drain waits until the last report has been told, for a moment.
func (c *control) drain() {
	told := make(chan struct{})
	go func() {
		c.following.Wait()
		close(told)
	}()
	select {
	case <-told:
	case <-time.After(drainWithin):
	}
}

type outgoing struct {
	Report   *report `json:"report,omitempty"`
	Counters *counts `json:"counters,omitempty"`
	Policy   string  `json:"policy,omitempty"`
	Ended    bool    `json:"ended,omitempty"`
	Error    string  `json:"error,omitempty"`
}

func (c *control) serveDaemon(conn net.Conn, n *network) {
	defer conn.Close()
	var writing sync.Mutex
	encoder := json.NewEncoder(conn)
	say := func(message outgoing) error {
		writing.Lock()
		defer writing.Unlock()
		return encoder.Encode(message)
	}
	done := make(chan struct{})
	defer close(done)
	following := false
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxMessage)
	for lines.Scan() {
		var heard incoming
		if err := json.Unmarshal(lines.Bytes(), &heard); err != nil {
			heard.wrong = err
		}
		if heard.Follow && !following {
			following = true
			c.follow(conn)
			c.following.Go(func() {
				defer conn.Close()
				n.reports.each(done, func(r report) error { return say(outgoing{Report: &r}) })
			})
			continue
		}
		if say(n.obey(heard)) != nil {
			return
		}
	}
}

type incoming struct {
	Policy   *policy `json:"policy"`
	Counters bool    `json:"counters"`
	Follow   bool    `json:"follow"`
	End      bool    `json:"end"`
	wrong    error
}

func (n *network) obey(request incoming) outgoing {
	if request.wrong != nil {
		return outgoing{Error: request.wrong.Error()}
	}
	if request.End {
		n.finish()
		return outgoing{Ended: true}
	}
	if request.Counters {
		return outgoing{Counters: n.counted.now()}
	}
	if request.Policy == nil {
		return outgoing{Error: "no policy"}
	}
	if err := request.Policy.check(); err != nil {
		return outgoing{Error: err.Error()}
	}
	n.setPolicy(request.Policy)
	return outgoing{Policy: "set"}
}
