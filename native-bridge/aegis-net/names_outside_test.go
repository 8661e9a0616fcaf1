package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// notations are ways to write addresses that libc's inet_aton reads, and which a guest may ask a name server for.
var notations = map[string]string{
	"127.1": "127.0.0.1", "2130706433": "127.0.0.1", "0x7f000001": "127.0.0.1", "0177.0.0.1": "127.0.0.1", "0x7f.1": "127.0.0.1",
	"10.5": "10.0.0.5", "0xa000005": "10.0.0.5", "012.0.0.5": "10.0.0.5", "167772165": "10.0.0.5",
	"2852039166": "169.254.169.254", "0xa9fea9fe": "169.254.169.254", "0251.0376.0251.0376": "169.254.169.254",
}

func TestNoNameLeadsToWhatIsRefused(t *testing.T) {
	n, g, o := intoTheWorld(t, policyOf(t, "public"))
	refused := map[string]string{"own.example": ownPublic4, "own6.example": ownPublic6, "loop.example": "127.0.0.1", "loop6.example": "::1", "mapped.example": "::ffff:10.0.0.5", "nat64.example": "64:ff9b::a9fe:a9fe"}
	for i, one := range places {
		if name := fmt.Sprintf("place-%d.example", i); !one.public {
			refused[name] = one.address
		}
	}
	for name, address := range notations {
		refused[name] = address
	}
	for name, address := range refused {
		o.tell(t, order{Name: name, Addresses: []string{address}})
	}
	for _, network := range []string{"udp", "tcp"} {
		for name, address := range refused {
			kind := dns.TypeA
			if strings.Contains(address, ":") {
				kind = dns.TypeAAAA
			}
			if got := addresses(g.ask(t, network, name, kind)); len(got) > 0 {
				t.Errorf("%s: %s leads to %v", network, name, got)
			}
		}
	}
	if counts := n.counted.now(); counts.Refused != uint64(2*len(refused)) {
		t.Errorf("%d refusals are counted, of %d", counts.Refused, 2*len(refused))
	}
}

func TestANameThatChangesItsMindStaysInsideOfThePolicy(t *testing.T) {
	allowsName := policyOf(t, "none")
	allowsName.Steps = append(slices.Clone(allowsName.Steps), step{Verdict: allow, Name: "turns.example", Why: "--allow turns.example"})
	for profile, policy := range map[string]*policy{"public": policyOf(t, "public"), "none with a name": allowsName} {
		t.Run(profile, func(t *testing.T) {
			_, g, o := intoTheWorld(t, policy)
			turn := func(to ...string) []string {
				o.tell(t, order{Name: "turns.example", Addresses: to})
				return addresses(g.ask(t, "udp", "turns.example", dns.TypeA))
			}
			if got := turn("203.0.113.10"); fmt.Sprint(got) != "[203.0.113.10]" || !g.reaches("tcp", "203.0.113.10", time.Minute) {
				t.Fatalf("%v, or it does not answer", got)
			}
			for _, inside := range []string{"10.0.0.5", "169.254.169.254", "127.0.0.1", ownPublic4} {
				if got := turn(inside); len(got) > 0 {
					t.Errorf("rebound to %v", got)
				}
				for _, protocol := range []string{"tcp", "udp"} {
					if g.reaches(protocol, inside, time.Second) {
						t.Errorf("%s %s is reached", protocol, inside)
					}
				}
			}
			// One answer with both, as an attacker's has it, leaves the one; the address from before stays the name's.
			if got := turn("10.0.0.5", "8.8.8.8"); fmt.Sprint(got) != "[8.8.8.8]" {
				t.Errorf("%v", got)
			}
			for _, outside := range []string{"8.8.8.8", "203.0.113.10"} {
				if !g.reaches("udp", outside, time.Minute) {
					t.Errorf("%s is not reached", outside)
				}
			}
			if got := joined(o.seen(t)); strings.Contains(got, "10.0.0.5") || strings.Contains(got, "169.254") || strings.Contains(got, ownPublic4) {
				t.Error(got)
			}
		})
	}
}

// A guest's own stack turns such an address into IPv4 before it sends: the packet is made by hand.
func TestAnIPv4AddressInsideOfIPv6IsThatAddress(t *testing.T) {
	n, _, o := intoTheWorld(t, policyOf(t, "public"))
	for _, to := range []string{"::ffff:10.0.0.5", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:198.51.100.1", "::10.0.0.5"} {
		syn := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, 40000), echoPort)
		syn = append(syn, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0)
		n.link.deliver(packet6(to, 6, syn))
		datagram := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, 40000), echoPort)
		n.link.deliver(packet6(to, 17, append(datagram, 0, 9, 0, 0), []byte("x")))
	}
	// What comes after them has been handled after them.
	time.Sleep(200 * time.Millisecond)
	if got := o.seen(t); len(got) > 0 {
		t.Errorf("%v", got)
	}
	if counts := n.counted.now(); counts.Allowed > 0 {
		t.Errorf("%d flows passed", counts.Allowed)
	}
}

func TestMuchComesWholeOverANetworkThatLoses(t *testing.T) {
	n, g, _ := intoTheWorld(t, policyOf(t, "public"))
	dial := n.world.dialTCP
	n.world.dialTCP = func(to []netip.AddrPort) (*net.TCPConn, error) {
		conn, err := dial(to)
		if err == nil {
			err = loseSome(conn)
		}
		return conn, err
	}
	var going sync.WaitGroup
	for _, host := range []string{"203.0.113.10", "2606:4700::1111"} {
		going.Go(func() {
			conn, err := g.dialWithin(net.JoinHostPort(host, fmt.Sprint(lossyPort)), time.Minute)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
			sent := make([]byte, 4<<20)
			_, _ = rand.Read(sent)
			go func() {
				_, _ = conn.Write(sent)
				_ = conn.CloseWrite()
			}()
			if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%s: %d bytes of %d came back, %v", host, len(got), len(sent), err)
			}
		})
	}
	going.Wait()
}

func TestAThousandConnectionsAreOpenAtOnce(t *testing.T) {
	n, g, o := intoTheWorld(t, policyOf(t, "public"))
	const many = 1000
	if !g.reaches("tcp", "203.0.113.10", time.Minute) {
		t.Fatal("it does not answer")
	}
	o.seen(t)
	var opening, using sync.WaitGroup
	opening.Add(many)
	counted := make(chan struct{})
	for i := range many {
		using.Go(func() {
			conn, err := g.dialWithin(fmt.Sprintf("203.0.113.10:%d", echoPort), time.Minute)
			opening.Done()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			<-counted
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			text := fmt.Appendf(nil, "number %d", i)
			_, _ = conn.Write(text)
			_ = conn.CloseWrite()
			if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%q came back, %v", got, err)
			}
		})
	}
	opening.Wait()
	if open := n.flows.count(); open < many {
		t.Errorf("%d are open", open)
	}
	close(counted)
	using.Wait()
	if seen := o.seen(t); len(seen) != many {
		t.Errorf("the world saw %d", len(seen))
	}
}

func TestAFloodOfQuestionsIsDroppedAndTheNextOneAnswered(t *testing.T) {
	n, g, o := intoTheWorld(t, policyOf(t, "public"))
	o.tell(t, order{Name: "after.example", Addresses: []string{"203.0.113.10"}})
	before := runtime.NumGoroutine()
	// A name server that says nothing is the worst: each question waits for it.
	answering := n.world.resolvers
	mute := true
	var mu sync.Mutex
	n.world.resolvers = func() []string {
		mu.Lock()
		defer mu.Unlock()
		if mute {
			return []string{fmt.Sprintf("%s:%d", worldServer, mutePort)}
		}
		return answering()
	}
	conn, err := g.dialUDP("192.168.127.1:53")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	most := 0
	for i := range 20_000 {
		question := new(dns.Msg)
		question.SetQuestion(fmt.Sprintf("q%d.example.", i), dns.TypeA)
		packed, err := question.Pack()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(packed)
		if i%500 == 0 {
			most = max(most, runtime.NumGoroutine()-before)
		}
	}
	// Each question that is under way has a few goroutines.
	if most == 0 || most > 8*maxQuestions {
		t.Errorf("%d goroutines for %d questions at most", most, maxQuestions)
	}
	mu.Lock()
	mute = false
	mu.Unlock()
	// As a resolver does that hears nothing; the answers to the flood are not among what it hears.
	after, err := g.dialUDP("192.168.127.1:53")
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	stream := &dns.Conn{Conn: after}
	for range 60 {
		question := new(dns.Msg)
		question.SetQuestion("after.example.", dns.TypeA)
		_ = after.SetDeadline(time.Now().Add(time.Second))
		if err := stream.WriteMsg(question); err != nil {
			t.Fatal(err)
		}
		if answer, err := stream.ReadMsg(); err == nil && fmt.Sprint(addresses(answer)) == "[203.0.113.10]" {
			return
		}
	}
	t.Error("nothing is answered after the flood")
}
