package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

// The tests run in a network namespace of their own, in which the host of aegis-net has a cable to another: there lives "the world", a process
// with addresses of every class, which tells who has come to it. A plain user makes both with a user namespace.
const (
	roleVariable = "AEGIS_NET_TEST_ROLE"
	roleHost     = "host"
	roleWorld    = "world"
	// roleNetwork is the network under a supervisor's: it says its number in the one file, and asks the name servers in the other.
	roleNetwork      = "network"
	numberVariable   = "AEGIS_NET_TEST_NUMBER"
	resolverVariable = "AEGIS_NET_TEST_RESOLVERS"

	echoPort  = 7000
	lossyPort = 7001
	// mutePort takes datagrams and says nothing.
	mutePort    = 7002
	worldServer = "203.0.113.53"
	ownPublic4  = "198.51.100.1"
	ownPublic6  = "2606:4700:a::1"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case roleWorld:
		if err := beTheWorld(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "the world:", err)
			os.Exit(1)
		}
	case roleNetwork:
		if err := beTheNetwork(); err != nil {
			fmt.Fprintln(os.Stderr, "aegis-net:", err)
			os.Exit(1)
		}
	case roleHost:
		if err := ip(hostSide); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	default:
		os.Exit(again(roleHost, os.Stdin, os.Stdout).wait())
	}
}

type child struct {
	cmd *exec.Cmd
	err error
}

// again runs this program once more, in a network namespace of its own.
func again(role string, stdin io.Reader, stdout io.Writer) *child {
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return &child{cmd, cmd.Start()}
}

func (c *child) wait() int {
	err := c.err
	if err == nil {
		err = c.cmd.Wait()
	}
	var ended *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ended):
		return ended.ExitCode()
	default:
		fmt.Fprintln(os.Stderr, "no namespace for the tests:", err)
		return 1
	}
}

const hostSide = "link set lo up\n"

// ip runs commands of ip(8).
func ip(commands string) error {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(commands)
	if told, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, told)
	}
	return nil
}

// plug is one end of the cable: every other address is at the other end. Packets are as small as on a real network.
func plug(device string, addresses ...string) string {
	lines := []string{"link set " + device + " gso_max_segs 1 gso_max_size 2000 up"}
	for _, address := range addresses {
		if strings.Contains(address, ":") {
			lines = append(lines, "addr add "+address+"/128 dev "+device+" nodad")
		} else {
			lines = append(lines, "addr add "+address+"/32 dev "+device)
		}
	}
	lines = append(lines, "route add 0.0.0.0/0 dev "+device, "route add ::/0 dev "+device)
	return strings.Join(lines, "\n") + "\n"
}

// order is what the world is told, and visits its answer.
type order struct {
	// Name gets these addresses in the world's name server.
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
}

type visits struct {
	Seen []string `json:"seen"`
}

// beTheWorld waits for its cable, serves, and answers each order with who has come since the one before.
func beTheWorld(orders io.Reader, answers io.Writer) error {
	lines := bufio.NewScanner(orders)
	lines.Scan()
	if err := ip(hostSide + plug("world", worldAddresses()...)); err != nil {
		return err
	}
	guests := &visitors{}
	for _, address := range worldAddresses() {
		if err := serveEcho(address, guests); err != nil {
			return err
		}
	}
	names := &nameServer{records: map[string][]string{}}
	at := net.JoinHostPort(worldServer, "53")
	packets, err := net.ListenPacket("udp4", at)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp4", at)
	if err != nil {
		return err
	}
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: names}, {Listener: listener, Handler: names}} {
		go func() { _ = server.ActivateAndServe() }()
	}
	answer := json.NewEncoder(answers)
	for {
		if err := answer.Encode(visits{guests.take()}); err != nil {
			return err
		}
		if !lines.Scan() {
			return lines.Err()
		}
		var heard order
		if err := json.Unmarshal(lines.Bytes(), &heard); err != nil {
			return err
		}
		if heard.Name != "" {
			names.set(heard.Name, heard.Addresses...)
		}
	}
}

// visitors remember who has come, once each.
type visitors struct {
	mu   sync.Mutex
	seen []string
}

func (v *visitors) add(visit string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen = append(v.seen, visit)
}

func (v *visitors) take() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	seen := v.seen
	v.seen = nil
	return seen
}

// serveEcho answers at one address with what comes, and counts each connection and each datagram.
func serveEcho(address string, guests *visitors) error {
	for _, port := range []int{echoPort, lossyPort} {
		// A socket of multipath TCP takes no filter.
		var plain net.ListenConfig
		plain.SetMultipathTCP(false)
		listener, err := plain.Listen(context.Background(), "tcp", net.JoinHostPort(address, fmt.Sprint(port)))
		if err != nil {
			return err
		}
		if port == lossyPort {
			if err := loseSome(listener.(*net.TCPListener)); err != nil {
				return err
			}
		}
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				guests.add("tcp " + address)
				go func() {
					defer conn.Close()
					_, _ = io.Copy(conn, conn)
				}()
			}
		}()
	}
	for _, port := range []int{echoPort, mutePort} {
		packets, err := net.ListenPacket("udp", net.JoinHostPort(address, fmt.Sprint(port)))
		if err != nil {
			return err
		}
		go func() {
			memory := make([]byte, maxDatagram)
			for {
				size, from, err := packets.ReadFrom(memory)
				if err != nil {
					return
				}
				if port == echoPort {
					guests.add("udp " + address)
					_, _ = packets.WriteTo(memory[:size], from)
				}
			}
		}()
	}
	return nil
}
