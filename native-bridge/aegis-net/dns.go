package main

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

const (
	askWithin     = 3 * time.Second
	minAnswer     = 512 // RFC 1035: what a question without EDNS takes over UDP
	maxAnswer     = 4096
	questionsIdle = 30 * time.Second
	ownTTL        = 60
)

// serveDNS answers the guest's questions at the gateway's address, over UDP and TCP.
func (n *network) serveDNS() error {
	slots := make(chan struct{}, maxQuestions)
	for _, address := range []netip.Addr{gateway4, gateway6} {
		at := tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(address.AsSlice()), Port: dnsPort}
		packets, err := gonet.DialUDP(n.stack, &at, nil, protocolOf(address))
		if err != nil {
			return err
		}
		listener, err := gonet.ListenTCP(n.stack, at, protocolOf(address))
		if err != nil {
			return err
		}
		go n.answerPackets(packets, slots)
		go n.answerStreams(listener, slots)
	}
	return nil
}

func (n *network) answerPackets(packets *gonet.UDPConn, slots chan struct{}) {
	memory := make([]byte, maxDatagram)
	for {
		size, from, err := packets.ReadFrom(memory)
		if err != nil {
			return // the stack has ended
		}
		question := new(dns.Msg)
		if question.Unpack(memory[:size]) != nil {
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			continue // a flood is dropped, as a busy server does
		}
		go func() {
			defer func() { <-slots }()
			answer := n.answer(question, "udp")
			limit := minAnswer
			if extended := question.IsEdns0(); extended != nil {
				limit = min(max(minAnswer, int(extended.UDPSize())), maxAnswer)
			}
			answer.Truncate(limit)
			if packed, err := answer.Pack(); err == nil {
				_, _ = packets.WriteTo(packed, from) // a lost answer is asked for again
			}
		}()
	}
}

func (n *network) answerStreams(listener net.Listener, slots chan struct{}) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			stream := &dns.Conn{Conn: conn}
			for {
				_ = conn.SetDeadline(time.Now().Add(questionsIdle))
				question, err := stream.ReadMsg()
				if err != nil {
					return
				}
				slots <- struct{}{}
				answer := n.answer(question, "tcp")
				<-slots
				if stream.WriteMsg(answer) != nil {
					return
				}
			}
		}()
	}
}

func failed(question *dns.Msg, code int) *dns.Msg {
	answer := new(dns.Msg)
	answer.SetRcode(question, code)
	answer.RecursionAvailable = true
	return answer
}

// answer is the answer to one question.
func (n *network) answer(question *dns.Msg, transport string) *dns.Msg {
	if question.Response || question.Opcode != dns.OpcodeQuery || len(question.Question) != 1 {
		return failed(question, dns.RcodeNotImplemented)
	}
	asked := question.Question[0]
	name := plainName(asked.Name)
	if name == zone || strings.HasSuffix(name, "."+zone) {
		return ownAnswer(question, name)
	}
	if verdict := n.policy.Load().decideName(name); !verdict.allows() {
		n.reports.refuse(refusal{Protocol: "dns", Name: name, Why: verdict.Why})
		return failed(question, dns.RcodeRefused)
	}
	began := time.Now()
	answer, err := n.ask(question, transport)
	if err != nil {
		return failed(question, dns.RcodeServerFailure)
	}
	n.check(answer, name)
	if n.policy.Load().Log {
		n.reports.end(endedFlow{
			flowKey:       flowKey{Protocol: "dns", Name: name},
			SentBytes:     uint64(question.Len()),
			ReceivedBytes: uint64(answer.Len()),
			Millis:        time.Since(began).Milliseconds(),
			Count:         1,
		})
	}
	return answer
}

// ownAnswer is that for the names of the guest's own network.
func ownAnswer(question *dns.Msg, name string) *dns.Msg {
	var v4, v6 netip.Addr
	switch name {
	case hostName:
		v4, v6 = host4, host6
	case gatewayName:
		v4, v6 = gateway4, gateway6
	default:
		return failed(question, dns.RcodeNameError)
	}
	answer := failed(question, dns.RcodeSuccess)
	asked := question.Question[0]
	header := dns.RR_Header{Name: asked.Name, Rrtype: asked.Qtype, Class: dns.ClassINET, Ttl: ownTTL}
	switch asked.Qtype {
	case dns.TypeA:
		answer.Answer = []dns.RR{&dns.A{Hdr: header, A: v4.AsSlice()}}
	case dns.TypeAAAA:
		answer.Answer = []dns.RR{&dns.AAAA{Hdr: header, AAAA: v6.AsSlice()}}
	}
	return answer
}

var errNobody = errors.New("no name server answers")

// ask passes a question on to the host's name servers, under a number of our own and from a port of our own.
func (n *network) ask(question *dns.Msg, transport string) (*dns.Msg, error) {
	outer := question.Copy()
	outer.Id = dns.Id()
	// The host's servers answer us: what they can say over UDP is up to us, and what the guest can take is cut afterwards.
	if outer.IsEdns0() == nil {
		outer.SetEdns0(maxAnswer, false)
	}
	for _, server := range n.world.resolvers() {
		answer, err := exchange(outer, server, transport)
		if err != nil {
			continue
		}
		answer.Id = question.Id
		if question.IsEdns0() == nil {
			answer.Extra = withoutOPT(answer.Extra)
		}
		return answer, nil
	}
	return nil, errNobody
}

// exchange asks one server, and once more over TCP what does not fit into a datagram.
func exchange(question *dns.Msg, server, transport string) (*dns.Msg, error) {
	client := dns.Client{Net: transport, Timeout: askWithin, UDPSize: maxAnswer}
	answer, _, err := client.Exchange(question, server)
	if err == nil && answer.Truncated && transport == "udp" {
		client.Net = "tcp"
		answer, _, err = client.Exchange(question, server)
	}
	if err != nil {
		return nil, err
	}
	if len(answer.Question) != 1 || !strings.EqualFold(answer.Question[0].Name, question.Question[0].Name) {
		return nil, errors.New("an answer to another question")
	}
	return answer, nil
}

func withoutOPT(records []dns.RR) (rest []dns.RR) {
	for _, record := range records {
		if record.Header().Rrtype != dns.TypeOPT {
			rest = append(rest, record)
		}
	}
	return rest
}

// check takes out of an answer the addresses that the guest may not reach (DNS rebinding), and remembers the others as the name's.
func (n *network) check(answer *dns.Msg, name string) {
	policy := n.policy.Load()
	names := []string{name}
	kept := answer.Answer[:0]
	for _, record := range answer.Answer {
		address, isAddress := addressIn(record)
		if !isAddress {
			kept = append(kept, record)
			continue
		}
		verdict := policy.decideAny(destination{address: address, names: names, own: n.world.own(effective(address))})
		if !verdict.allows() {
			n.reports.refuse(refusal{Protocol: "dns", Address: address.String(), Name: name, Why: verdict.Why})
			continue
		}
		learned := n.pins.add(name, effective(address), time.Duration(record.Header().Ttl)*time.Second)
		n.ledger.write(entry{Pin: &learned})
		kept = append(kept, record)
	}
	answer.Answer = kept
}

func addressIn(record dns.RR) (netip.Addr, bool) {
	switch r := record.(type) {
	case *dns.A:
		address, ok := netip.AddrFromSlice(r.A.To4())
		return address, ok
	case *dns.AAAA:
		address, ok := netip.AddrFromSlice(r.AAAA.To16())
		return address, ok
	default:
		return netip.Addr{}, false
	}
}
