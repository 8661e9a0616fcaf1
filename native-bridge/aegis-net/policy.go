package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

const (
	allow  = "allow"
	refuse = "refuse"
)

// policy is a list of steps of which the first that fits a flow decides: libs/domain/src/network/NetworkDecision.ts makes it, and
// testdata/policy.json holds both sides to the same answers.
type policy struct {
	Steps        []step   `json:"steps"`
	Otherwise    decision `json:"otherwise"`
	AllHostPorts bool     `json:"allHostPorts"`
	HostPorts    []uint16 `json:"hostPorts"`
	// Log says that flows which are let through are told as well, at their end.
	Log bool `json:"log,omitempty"`
}

// step is about the addresses of Range, those that our DNS answers gave for Name, or the host's Own: one of the three.
type step struct {
	Verdict string        `json:"verdict"`
	Range   *netip.Prefix `json:"range,omitempty"`
	Name    string        `json:"name,omitempty"`
	Own     bool          `json:"own,omitempty"`
	// Port is 0 where the step is about all of them.
	Port uint16 `json:"port,omitempty"`
	Why  string `json:"why"`
}

type decision struct {
	Verdict string `json:"verdict"`
	Why     string `json:"why"`
}

func (d decision) allows() bool { return d.Verdict == allow }

// destination is where a flow of the guest is to go.
type destination struct {
	address netip.Addr
	port    uint16
	names   []string
	own     bool
}

func (p *policy) check() error {
	if p.Otherwise.Verdict != allow && p.Otherwise.Verdict != refuse {
		return fmt.Errorf("the policy: what is decided otherwise is missing")
	}
	for _, s := range p.Steps {
		kinds := 0
		for _, present := range []bool{s.Range != nil, s.Name != "", s.Own} {
			if present {
				kinds++
			}
		}
		if kinds != 1 || s.Verdict != allow && s.Verdict != refuse {
			return fmt.Errorf("the policy: a step that is about nothing or decides nothing: %q", s.Why)
		}
	}
	return nil
}

var embedding = []netip.Prefix{netip.MustParsePrefix("::ffff:0:0/96"), netip.MustParsePrefix("64:ff9b::/96")}

// effective is the IPv4 address that a v4-mapped or NAT64 one (RFC 6052) leads to; any other as it is.
func effective(address netip.Addr) netip.Addr {
	if address.Is4In6() {
		return address.Unmap()
	}
	for _, prefix := range embedding {
		if prefix.Contains(address) {
			bytes := address.As16()
			return netip.AddrFrom4([4]byte(bytes[12:]))
		}
	}
	return address.WithZone("")
}

func plainName(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

// matchesName says whether a rule's pattern means this name; *.DOMAIN means every name below it.
func matchesName(pattern, name string) bool {
	name = plainName(name)
	if suffix, below := strings.CutPrefix(pattern, "*"); below {
		return strings.HasSuffix(name, suffix) && len(name) > len(suffix)
	}
	return name == pattern
}

func (s *step) fits(to *destination) bool {
	switch {
	case s.Port != 0 && s.Port != to.port:
		return false
	case s.Own:
		return to.own
	case s.Range != nil:
		return s.Range.Contains(to.address)
	default:
		return slices.ContainsFunc(to.names, func(name string) bool { return matchesName(s.Name, name) })
	}
}

// decide says what becomes of a flow.
func (p *policy) decide(to destination) decision {
	verdict, _ := p.decideBy(to)
	return verdict
}

// decideBy says it with the name that the decision went by, if it was one.
func (p *policy) decideBy(to destination) (verdict decision, name string) {
	to.address = effective(to.address)
	for i := range p.Steps {
		s := &p.Steps[i]
		if !s.fits(&to) {
			continue
		}
		if at := slices.IndexFunc(to.names, func(name string) bool { return s.Name != "" && matchesName(s.Name, name) }); at >= 0 {
			name = to.names[at]
		}
		return decision{s.Verdict, s.Why}, name
	}
	return p.Otherwise, ""
}

// decideAny says whether any port of an address may be reached: a refusal of one port says nothing of the others.
func (p *policy) decideAny(to destination) decision {
	to.address = effective(to.address)
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Port != 0 && s.Verdict == refuse {
			continue
		}
		to.port = s.Port
		if s.fits(&to) {
			return decision{s.Verdict, s.Why}
		}
	}
	return p.Otherwise
}

// decideHostPort says whether a port of the host's loopback may be reached.
func (p *policy) decideHostPort(port uint16) decision {
	switch {
	case p.AllHostPorts:
		return decision{allow, p.Otherwise.Why}
	case slices.Contains(p.HostPorts, port):
		return decision{allow, fmt.Sprintf("--allow-host %d", port)}
	default:
		return decision{refuse, "a port of the host that was not allowed"}
	}
}

// decideName says whether a name is looked up: where none of its ports could be reached, nothing is asked about it.
func (p *policy) decideName(name string) decision {
	for _, s := range p.Steps {
		if s.Name != "" && matchesName(s.Name, name) && (s.Verdict == allow || s.Port == 0) {
			return decision{s.Verdict, s.Why}
		}
	}
	return p.Otherwise
}
