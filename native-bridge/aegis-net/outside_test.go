package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// place is an address of the world's or of the host's, with the profiles under which a guest reaches it.
type place struct {
	address string
	public  bool
	// everywhere is false for what no profile reaches.
	everywhere bool
}

var places = []place{
	{"203.0.113.10", true, true}, {"8.8.8.8", true, true}, {"2606:4700::1111", true, true},
	{"10.0.0.5", false, true}, {"172.16.0.5", false, true}, {"172.31.255.254", false, true}, {"192.168.1.5", false, true},
	{"169.254.169.254", false, true}, {"169.254.1.1", false, true}, {"100.64.0.5", false, true}, {"100.100.100.200", false, true},
	{"168.63.129.16", false, true}, {"198.18.0.5", false, true}, {"192.0.0.5", false, true}, {"192.88.99.1", false, true},
	{"240.0.0.5", false, true}, {"0.1.2.3", false, true},
	{"fd00::5", false, true}, {"fd00:ec2::254", false, true}, {"2002:a00:5::1", false, true}, {"2001:0:1::5", false, true},
	{"2001:2::5", false, true}, {"100::5", false, true}, {"4000::5", false, true}, {"fec0::5", false, true},
}

// disguised are further ways to write places, on the wire: NAT64.
var disguised = map[string]string{"64:ff9b::a00:5": "10.0.0.5", "64:ff9b::a9fe:a9fe": "169.254.169.254", "64:ff9b::808:808": "8.8.8.8"}

func worldAddresses() []string {
	all := []string{worldServer}
	for _, one := range places {
		all = append(all, one.address)
	}
	return all
}

// outside is the other end of the cable.
type outside struct {
	mu      sync.Mutex
	orders  io.Writer
	answers *bufio.Scanner
	// own has who came to the host's own addresses.
	own *visitors
}

var theOutside = sync.OnceValues(func() (*outside, error) {
	// It ends when this process does: its orders end.
	ordersOut, orders, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	answers, answersIn, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	world := again(roleWorld, ordersOut, answersIn)
	if world.err != nil {
		return nil, world.err
	}
	ordersOut.Close()
	answersIn.Close()
	cable := fmt.Sprintf("link add host type veth peer name world netns %d\n", world.cmd.Process.Pid)
	if err := ip(cable + plug("host", ownPublic4, ownPublic6)); err != nil {
		return nil, err
	}
	o := &outside{orders: orders, answers: bufio.NewScanner(answers), own: &visitors{}}
	for _, address := range []string{"127.0.0.1", "127.7.7.7", "::1", ownPublic4, ownPublic6} {
		if err := serveEcho(address, o.own); err != nil {
			return nil, err
		}
	}
	fmt.Fprintln(orders)
	_, err = o.heard()
	return o, err
})

func (o *outside) heard() (visits, error) {
	var heard visits
	if !o.answers.Scan() {
		return heard, fmt.Errorf("the world has ended: %w", o.answers.Err())
	}
	err := json.Unmarshal(o.answers.Bytes(), &heard)
	return heard, err
}

// tell gives an order, and says who has come since the one before, to the world and to the host.
func (o *outside) tell(t *testing.T, say order) []string {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	line, err := json.Marshal(say)
	if err == nil {
		_, err = fmt.Fprintf(o.orders, "%s\n", line)
	}
	if err != nil {
		t.Fatal(err)
	}
	heard, err := o.heard()
	if err != nil {
		t.Fatal(err)
	}
	return append(heard.Seen, o.own.take()...)
}

func (o *outside) seen(t *testing.T) []string { t.Helper(); return o.tell(t, order{}) }

// intoTheWorld is a guest whose network is really the host's, with the world's name server.
func intoTheWorld(t *testing.T, policy *policy) (*network, *guest, *outside) {
	t.Helper()
	o, err := theOutside()
	if err != nil {
		t.Fatal(err)
	}
	o.seen(t)
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver "+worldServer+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	real := hostWorld()
	real.resolvers = (&resolverFile{path: file}).list
	n, g := start(t, policy, real)
	return n, g, o
}

// reaches says whether what is sent comes back.
func (g *guest) reaches(protocol, to string, patience time.Duration) bool {
	at := netip.AddrPortFrom(netip.MustParseAddr(to), echoPort).String()
	var conn net.Conn
	var err error
	if protocol == "tcp" {
		conn, err = g.dialWithin(at, patience)
	} else {
		conn, err = g.dialUDP(at)
	}
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte("hello")); err != nil {
		return false
	}
	memory := make([]byte, 16)
	size, err := conn.Read(memory)
	return err == nil && string(memory[:size]) == "hello"
}

func TestEachProfileReachesWhatItSaysAndNothingElseHearsOfIt(t *testing.T) {
	for profile, passes := range map[string]func(place) bool{
		"public": func(p place) bool { return p.public },
		"none":   func(place) bool { return false },
		"all":    func(p place) bool { return p.everywhere },
	} {
		t.Run(profile, func(t *testing.T) {
			_, g, o := intoTheWorld(t, policyOf(t, profile))
			wanted := map[string]bool{}
			for _, one := range places {
				wanted[one.address] = passes(one)
			}
			for written, meant := range disguised {
				wanted[written] = wanted[meant]
			}
			for _, own := range []string{ownPublic4, ownPublic6, host4.String(), host6.String()} {
				wanted[own] = profile == "all"
			}
			for _, nowhere := range []string{"127.0.0.1", "127.7.7.7", "::1", gateway4.String(), "192.168.127.77", "fd7f:ae61:5::77", "224.0.0.1", "255.255.255.255", "0.0.0.0", "ff02::1"} {
				wanted[nowhere] = false
			}
			expected := map[string]bool{}
			var mu sync.Mutex
			var asking sync.WaitGroup
			for address, want := range wanted {
				for _, protocol := range []string{"tcp", "udp"} {
					// What is sent to many, the guest's own stack does not send; and to whom nobody can be, it waits for an answer.
					if protocol == "udp" && !netip.MustParseAddr(address).IsGlobalUnicast() && address != "127.0.0.1" {
						continue
					}
					asking.Go(func() {
						// Some refusals are silence: the stack drops what goes to a loopback address.
						patience := time.Second
						if want {
							patience = time.Minute
						}
						if got := g.reaches(protocol, address, patience); got != want {
							t.Errorf("%s %s: reached is %v", protocol, address, got)
						}
						if want {
							mu.Lock()
							defer mu.Unlock()
							expected[protocol+" "+leadsTo(address)] = true
						}
					})
				}
			}
			asking.Wait()
			for _, visit := range o.seen(t) {
				if !expected[visit] {
					t.Errorf("%s was reached", visit)
				}
			}
		})
	}
}

// leadsTo is the address at which the outside sees who wants to go there.
func leadsTo(address string) string {
	if meant, is := disguised[address]; is {
		return meant
	}
	if address == host4.String() || address == host6.String() {
		return "127.0.0.1"
	}
	return address
}

// lossy is one packet in fifty.
const lossy = 1 << 32 / 50

// loseSome makes a socket, and those that come out of it, lose packets at random before TCP has seen them: netem is not in every kernel, and
// this needs no privilege.
func loseSome(socket syscall.Conn) error {
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtRand},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: lossy, SkipTrue: 1},
		bpf.RetConstant{Val: 1<<32 - 1},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(program))
	for i, one := range program {
		filter[i] = unix.SockFilter{Code: one.Op, Jt: one.Jt, Jf: one.Jf, K: one.K}
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	})
	if err == nil {
		err = failed
	}
	return err
}

// pieces of a visit list, without what comes twice.
func distinct(visits []string) []string {
	slices.Sort(visits)
	return slices.Compact(visits)
}

func joined(visits []string) string { return strings.Join(distinct(visits), ", ") }
