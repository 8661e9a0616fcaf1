package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func logging(t *testing.T, name string) *policy {
	p := policyOf(t, name)
	p.Log = true
	return p
}

// nextReport waits for something to tell.
func (n *network) nextReport(t *testing.T) report {
	t.Helper()
	select {
	case <-n.reports.pending:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is told")
	}
	taken, _ := n.reports.take()
	return taken
}

func TestAFlowThatPassedIsToldAtItsEndWhereThatIsAskedFor(t *testing.T) {
	world, _ := echoWorld(t)
	server, at := startNameServer(t)
	world.resolvers = func() []string { return []string{at} }
	server.set("example.com", "203.0.113.5")
	server.set("other.org", "203.0.113.5")
	n, g := start(t, logging(t, "narrow"), world)
	g.ask(t, "udp", "example.com", dns.TypeA)
	looked := n.nextReport(t)
	if len(looked.Ended) != 1 || looked.Ended[0].flowKey != (flowKey{Protocol: "dns", Name: "example.com"}) || looked.Ended[0].SentBytes < 17 ||
		looked.Ended[0].ReceivedBytes <= looked.Ended[0].SentBytes {
		t.Fatalf("%+v", looked)
	}
	exchange := func() {
		t.Helper()
		conn, err := g.dial("203.0.113.5:443")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write(make([]byte, 100_000))
		_ = conn.CloseWrite()
		if got, err := io.ReadAll(conn); len(got) != 100_000 {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	exchange()
	told := n.nextReport(t)
	if len(told.Ended) != 1 || len(told.Refused) != 0 {
		t.Fatalf("%+v", told)
	}
	one := told.Ended[0]
	if one.flowKey != (flowKey{"tcp", "203.0.113.5", 443, "example.com"}) || one.SentBytes != 100_000 || one.ReceivedBytes != 100_000 ||
		one.Count != 1 || one.Millis < 0 || one.Millis > 20_000 {
		t.Errorf("%+v", one)
	}
	// A name that the policy does not go by is never the one that is told, however late it was asked for.
	n.pins.add("other.org", netip.MustParseAddr("203.0.113.5"), time.Hour)
	exchange()
	if told := n.nextReport(t); told.Ended[0].Name != "example.com" {
		t.Errorf("%+v", told)
	}
	quiet := policyOf(t, "narrow")
	n.setPolicy(quiet)
	exchange()
	n.finish()
	if taken, some := n.reports.take(); some {
		t.Errorf("told without being asked for: %+v", taken)
	}
}

func TestWhatIsOpenWhenTheGuestEndsIsToldBeforeTheConnectionIsClosed(t *testing.T) {
	world, _ := echoWorld(t)
	n, g := start(t, logging(t, "public"), world)
	daemon := controlOf(t, n)
	connect := func(line string) (net.Conn, *bufio.Scanner) {
		conn, lines := daemon()
		fmt.Fprintln(conn, line)
		return conn, lines
	}
	_, follower := connect(`{"follow": true}`)
	if conn, err := g.dial("10.0.0.1:80"); err == nil {
		conn.Close()
		t.Error("it passes")
	}
	if !follower.Scan() {
		t.Fatal(follower.Err())
	}
	// Reports come seldom now; these two must not wait.
	tcp, err := g.dial("203.0.113.1:80")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := g.dialUDP("203.0.113.1:9999")
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{tcp, udp} {
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = conn.Write([]byte("hello"))
		if _, err := conn.Read(make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now()
	if _, lines := connect(`{"end": true}`); !lines.Scan() || lines.Text() != `{"ended":true}` {
		t.Errorf("%q, %v", lines.Text(), lines.Err())
	}
	seen := map[string]uint64{}
	for follower.Scan() {
		var heard struct{ Report report }
		if err := json.Unmarshal(follower.Bytes(), &heard); err != nil {
			t.Fatal(err)
		}
		for _, one := range heard.Report.Ended {
			seen[one.Protocol] += one.SentBytes + one.ReceivedBytes
		}
	}
	if follower.Err() != nil || seen["tcp"] != 10 || seen["udp"] != 10 || time.Since(before) > 5*time.Second {
		t.Errorf("%v, %v", seen, follower.Err())
	}
	if n.flows.count() != 0 {
		t.Errorf("%d are left", n.flows.count())
	}
	if _, err := tcp.Read(make([]byte, 1)); err == nil {
		t.Error("a flow goes on")
	}
}

func TestAFloodOfFlowsIsSummedUp(t *testing.T) {
	r := newReports(&counters{})
	for i := range 100_000 {
		r.end(endedFlow{flowKey{"tcp", "203.0.113.1", uint16(i % 100), ""}, 2, 3, int64(i), 1})
	}
	taken, _ := r.take()
	total, sent, received := taken.EndedMore.Count, taken.EndedMore.SentBytes, taken.EndedMore.ReceivedBytes
	for _, one := range taken.Ended {
		total += one.Count
		sent += one.SentBytes
		received += one.ReceivedBytes
	}
	if len(taken.Ended) != maxReported || total != 100_000 || sent != 200_000 || received != 300_000 {
		t.Errorf("%d named, %d in all, %d and %d bytes", len(taken.Ended), total, sent, received)
	}
	if first := taken.Ended[0]; first.Count != 1000 || first.Millis != 99_900 {
		t.Errorf("%+v", first)
	}
	// Many connections to one host leave room for others.
	for range 1000 {
		r.end(endedFlow{flowKey{"tcp", "203.0.113.1", 80, ""}, 2, 3, 4, 1})
	}
	r.end(endedFlow{flowKey{"tcp", "203.0.113.2", 80, ""}, 2, 3, 4, 1})
	if taken, _ := r.take(); len(taken.Ended) != maxAlike+1 || taken.Ended[maxAlike-1].Count != 1000-maxAlike+1 || taken.EndedMore != nil {
		t.Errorf("%d named, %+v", len(taken.Ended), taken.EndedMore)
	}
	if _, some := r.take(); some {
		t.Error("they are told twice")
	}
}
