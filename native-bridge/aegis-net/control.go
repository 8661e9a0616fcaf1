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
//	{"ended": true}                              the answer to an end, and the last word to the follower
//	{"report": {"refused": [...], "more": 0}}    what was refused, which flows that passed are over, and what crashed (report.go)
//
// A follower's connection that is closed without a last word was that of a network which has crashed: the next one answers at the same socket.
type control struct {
	listener net.Listener

	mu        sync.Mutex
	follower  *follower
	following sync.WaitGroup
}

func listenControl(path string) (*net.UnixListener, error) {
	_ = os.Remove(path)
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
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

// follower is the one that is told what happens.
type follower struct {
	conn net.Conn
	say  func(outgoing) error
}

// follow takes the place of whoever was told before, who must not take it for a crash.
func (c *control) follow(new *follower) {
	c.mu.Lock()
	before := c.follower
	c.follower = new
	c.mu.Unlock()
	if before != nil {
		_ = before.conn.SetWriteDeadline(time.Now().Add(drainWithin))
		_ = before.say(outgoing{Ended: true})
		before.conn.Close()
	}
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
			c.follow(&follower{conn, say})
			c.following.Go(func() {
				defer conn.Close()
				if n.reports.each(done, func(r report) error { return n.tell(r, say) }) {
					_ = say(outgoing{Ended: true}) // whoever does not hear it sees that the connection is closed
				}
			})
			continue
		}
		if say(n.obey(heard)) != nil {
			return
		}
	}
}

// tell makes a report to the daemon. A crash that it does not hear of is told to the one that comes next.
func (n *network) tell(r report, say func(outgoing) error) error {
	err := say(outgoing{Report: &r})
	switch {
	case r.Crash == nil:
	case err != nil:
		n.reports.crashed(r.Crash)
	default:
		n.ledger.write(entry{Told: true})
	}
	return err
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
