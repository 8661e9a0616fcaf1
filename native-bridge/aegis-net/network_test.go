package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// servers is a world whose every address is one server of the test's, which remembers who was wanted.
type servers struct {
	mu     sync.Mutex
	wanted []netip.AddrPort
}

func (s *servers) want(to netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = append(s.wanted, to)
}

func (s *servers) last() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted[len(s.wanted)-1]
}

// echoWorld answers on every TCP and UDP port with what was sent.
func echoWorld(t *testing.T) (world, *servers) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close(); packets.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	go func() {
		memory := make([]byte, maxDatagram)
		for {
			size, from, err := packets.ReadFrom(memory)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo(memory[:size], from)
		}
	}()
	s := &servers{}
	w := nowhere()
	w.dialTCP = func(to []netip.AddrPort) (*net.TCPConn, error) {
		s.want(to[0])
		return net.DialTCP("tcp4", nil, listener.Addr().(*net.TCPAddr))
	}
	w.dialUDP = func(to netip.AddrPort) (net.Conn, error) {
		s.want(to)
		return net.Dial("udp4", packets.LocalAddr().String())
	}
	return w, s
}

func start(t *testing.T, policy *policy, world world) (*network, *guest) {
	t.Helper()
	n, err := freshNetwork(maxMTU, policy, world)
	if err != nil {
		t.Fatal(err)
	}
	return n, startGuest(t, n)
}

func policyOf(t *testing.T, name string) *policy {
	p := readTable(t).Policies[name].Compiled
	return &p
}

func (n *network) told(t *testing.T) string {
	t.Helper()
	taken, _ := n.reports.take()
	return fmt.Sprint(taken.Refused)
}

func TestBytesGoThereAndBackAndSoDoesTheirEnd(t *testing.T) {
	world, servers := echoWorld(t)
	_, g := start(t, policyOf(t, "public"), world)
	for _, to := range []string{"203.0.113.1:80", "[2606:4700::1111]:443", "[64:ff9b::cb00:7101]:80"} {
		conn, err := g.dial(to)
		if err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		sent := make([]byte, 3<<20)
		_, _ = rand.Read(sent)
		go func() {
			_, _ = conn.Write(sent)
			_ = conn.CloseWrite()
		}()
		got, err := io.ReadAll(conn)
		if err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("%s: %d bytes came back, %v", to, len(got), err)
		}
		conn.Close()
	}
	if last := servers.last(); last != netip.MustParseAddrPort("203.0.113.1:80") {
		t.Errorf("a translated address led to %s", last)
	}
}

func TestWhatIsRefusedIsResetAndTold(t *testing.T) {
	world, servers := echoWorld(t)
	n, g := start(t, policyOf(t, "public"), world)
	refused := []string{"10.0.0.1:80", "169.254.169.254:80", "192.168.127.254:22", "192.168.127.7:80", "[::ffff:10.0.0.1]:80", "[fe80::7]:80", "[2002:a00:1::1]:80"}
	for _, to := range refused {
		conn, err := g.dial(to)
		if err == nil {
			conn.Close()
			t.Errorf("%s was reached", to)
		} else if to == "10.0.0.1:80" && !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: %v", to, err)
		}
	}
	if len(servers.wanted) > 0 {
		t.Errorf("%v were reached", servers.wanted)
	}
	told := n.told(t)
	for _, one := range []string{"10.0.0.1 80  a private address", "169.254.169.254 80  a cloud's metadata", "192.168.127.254 22 host.aegis.internal a port of the host", "192.168.127.7 80  the guest's own"} {
		if !strings.Contains(told, one) {
			t.Errorf("%q is not in %s", one, told)
		}
	}
}

func TestDatagramsGoThereAndBack(t *testing.T) {
	world, _ := echoWorld(t)
	n, g := start(t, policyOf(t, "public"), world)
	conn, err := g.dialUDP("203.0.113.1:9999")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	for _, size := range []int{1, 1400, 60000} {
		sent := make([]byte, size)
		_, _ = rand.Read(sent)
		memory := make([]byte, maxDatagram)
		if _, err := conn.Write(sent); err != nil {
			t.Fatal(err)
		}
		got, err := conn.Read(memory)
		if err != nil || !bytes.Equal(memory[:got], sent) {
			t.Fatalf("%d bytes of %d: %v", got, size, err)
		}
	}
	blocked, err := g.dialUDP("10.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	defer blocked.Close()
	if _, err := blocked.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	<-n.reports.pending
	if told := n.told(t); !strings.Contains(told, "{udp 10.0.0.1 53") {
		t.Error(told)
	}
}

func TestAPolicyThatChangesEndsWhatItRefuses(t *testing.T) {
	world, _ := echoWorld(t)
	n, g := start(t, policyOf(t, "all"), world)
	private, err := g.dial("10.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	public, err := g.dial("203.0.113.1:80")
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{private, public} {
		_, _ = conn.Write([]byte("x"))
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	n.setPolicy(policyOf(t, "public"))
	if _, err := private.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the refused flow: %v", err)
	}
	_, _ = public.Write([]byte("y"))
	if _, err := public.Read(make([]byte, 1)); err != nil {
		t.Errorf("the other: %v", err)
	}
	if conn, err := g.dial("10.0.0.1:80"); err == nil {
		conn.Close()
		t.Error("a new one passes")
	}
}

func TestTheHostsPortsThatAreAllowed(t *testing.T) {
	world, servers := echoWorld(t)
	_, g := start(t, policyOf(t, "narrow"), world)
	conn, err := g.dial("192.168.127.254:8080")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if last := servers.last(); last != netip.MustParseAddrPort("127.0.0.1:8080") {
		t.Errorf("it led to %s", last)
	}
	if conn, err := g.dial("192.168.127.254:8081"); err == nil {
		conn.Close()
		t.Error("another port passes")
	}
}

// nameServer answers on loopback, over UDP and TCP, with records that the test can change.
type nameServer struct {
	mu      sync.Mutex
	records map[string][]string
	asked   int
}

func (s *nameServer) set(name string, addresses ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[name] = addresses
}

func (s *nameServer) questions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *nameServer) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	answer := new(dns.Msg)
	answer.SetReply(question)
	asked := question.Question[0]
	for _, text := range s.records[plainName(asked.Name)] {
		header := dns.RR_Header{Name: asked.Name, Class: dns.ClassINET, Ttl: 60}
		address := netip.MustParseAddr(text)
		switch {
		case address.Is4() && asked.Qtype == dns.TypeA:
			header.Rrtype = dns.TypeA
			answer.Answer = append(answer.Answer, &dns.A{Hdr: header, A: address.AsSlice()})
		case address.Is6() && asked.Qtype == dns.TypeAAAA:
			header.Rrtype = dns.TypeAAAA
			answer.Answer = append(answer.Answer, &dns.AAAA{Hdr: header, AAAA: address.AsSlice()})
		}
	}
	if w.RemoteAddr().Network() == "udp" {
		answer.Truncate(minAnswer)
	}
	_ = w.WriteMsg(answer)
}

// samePort listens on one number for both: whoever has one of them need not be free to have the other.
func samePort(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for {
		packets, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if listener, err := net.Listen("tcp4", packets.LocalAddr().String()); err == nil {
			return packets, listener
		}
		packets.Close()
	}
}

func startNameServer(t *testing.T) (*nameServer, string) {
	t.Helper()
	s := &nameServer{records: map[string][]string{}}
	packets, listener := samePort(t)
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: s}, {Listener: listener, Handler: s}} {
		go func() { _ = server.ActivateAndServe() }()
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return s, packets.LocalAddr().String()
}

func addresses(answer *dns.Msg) (found []string) {
	for _, record := range answer.Answer {
		if address, ok := addressIn(record); ok {
			found = append(found, address.String())
		}
	}
	return found
}

func TestNames(t *testing.T) {
	world, _ := echoWorld(t)
	server, at := startNameServer(t)
	world.resolvers = func() []string { return []string{at} }
	server.set("example.com", "203.0.113.5", "2606:4700::1")
	server.set("rebinding.example", "10.0.0.1", "203.0.113.6", "::ffff:127.0.0.1", "fd00::1")
	var crowd []string
	for i := range 100 {
		crowd = append(crowd, fmt.Sprintf("203.0.113.%d", i+100))
	}
	server.set("crowd.example", crowd...)
	n, g := start(t, policyOf(t, "public"), world)

	for _, network := range []string{"udp", "tcp"} {
		if got := fmt.Sprint(addresses(g.ask(t, network, "Example.COM", dns.TypeA))); got != "[203.0.113.5]" {
			t.Errorf("%s: %s", network, got)
		}
	}
	if got := fmt.Sprint(addresses(g.ask(t, "udp", "example.com", dns.TypeAAAA))); got != "[2606:4700::1]" {
		t.Error(got)
	}
	// What an answer has of refused addresses is taken out, and told.
	if got := fmt.Sprint(addresses(g.ask(t, "udp", "rebinding.example", dns.TypeA))); got != "[203.0.113.6]" {
		t.Error(got)
	}
	if got := addresses(g.ask(t, "udp", "rebinding.example", dns.TypeAAAA)); len(got) > 0 {
		t.Error(got)
	}
	if told := n.told(t); !strings.Contains(told, "{dns 10.0.0.1 0 rebinding.example a private address false} 1") {
		t.Error(told)
	}
	// What does not fit into a datagram is there over TCP.
	if answer := g.ask(t, "udp", "crowd.example", dns.TypeA); !answer.Truncated || len(answer.Answer) >= 100 {
		t.Errorf("truncated: %v, %d records", answer.Truncated, len(answer.Answer))
	}
	if got := len(g.ask(t, "tcp", "crowd.example", dns.TypeA).Answer); got != 100 {
		t.Errorf("%d records over TCP", got)
	}
	if got := fmt.Sprint(addresses(g.ask(t, "udp", "host.aegis.internal", dns.TypeA))); got != "[192.168.127.254]" {
		t.Error(got)
	}
	if code := g.ask(t, "udp", "other.aegis.internal", dns.TypeA).Rcode; code != dns.RcodeNameError {
		t.Error(code)
	}
}

func TestRulesAboutNamesGoByTheAnswersGiven(t *testing.T) {
	world, servers := echoWorld(t)
	server, at := startNameServer(t)
	world.resolvers = func() []string { return []string{at} }
	server.set("example.com", "203.0.113.5")
	server.set("other.org", "203.0.113.7")
	n, g := start(t, policyOf(t, "narrow"), world)

	if conn, err := g.dial("203.0.113.5:443"); err == nil {
		conn.Close()
		t.Error("an address that no answer gave passes")
	}
	g.ask(t, "udp", "example.com", dns.TypeA)
	conn, err := g.dial("203.0.113.5:443")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if conn, err := g.dial("203.0.113.5:22"); err == nil {
		conn.Close()
		t.Error("another port passes")
	}
	// A name that is not allowed is not even asked about.
	before := server.questions()
	if code := g.ask(t, "udp", "other.org", dns.TypeA).Rcode; code != dns.RcodeRefused {
		t.Error(code)
	}
	if server.questions() != before {
		t.Error("the host's name server was asked")
	}
	// The name moves to a refused address: the answer is empty, and the address stays out of reach.
	server.set("example.com", "192.168.1.1")
	if got := addresses(g.ask(t, "udp", "example.com", dns.TypeA)); len(got) > 0 {
		t.Error(got)
	}
	if conn, err := g.dial("192.168.1.1:443"); err == nil {
		conn.Close()
		t.Error("a rebound address passes")
	}
	if last := servers.last(); last.Addr() != netip.MustParseAddr("203.0.113.5") {
		t.Error(last)
	}
	if told := n.told(t); !strings.Contains(told, "{dns  0 other.org the profile none false}") {
		t.Error(told)
	}
}

func TestAFloodOfRefusalsIsSummedUp(t *testing.T) {
	r := newReports(&counters{})
	for port := range 2000 {
		r.refuse(refusal{Protocol: "tcp", Address: "10.0.0.1", Port: uint16(port)})
	}
	r.refuse(refusal{Protocol: "tcp", Address: "10.0.0.1", Port: 0})
	taken, _ := r.take()
	if len(taken.Refused) != maxReported || taken.Refused[0].Count != 2 || taken.More != 2000-maxReported {
		t.Errorf("%d named, %d more", len(taken.Refused), taken.More)
	}
	if _, some := r.take(); some {
		t.Error("they are told twice")
	}
}
