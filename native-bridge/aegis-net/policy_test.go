package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"testing"
)

// table is what libs/domain/test/network/NetworkPolicy.test.ts holds its side to.
type table struct {
	Policies map[string]struct {
		Compiled policy `json:"compiled"`
	} `json:"policies"`
	Flows []struct {
		Policy  string   `json:"policy"`
		Address string   `json:"address"`
		Port    uint16   `json:"port"`
		Names   []string `json:"names"`
		Own     bool     `json:"own"`
		Verdict string   `json:"verdict"`
		Why     string   `json:"why"`
	} `json:"flows"`
	Names []struct {
		Policy  string `json:"policy"`
		Name    string `json:"name"`
		Verdict string `json:"verdict"`
	} `json:"names"`
	HostPorts []struct {
		Policy  string `json:"policy"`
		Port    uint16 `json:"port"`
		Verdict string `json:"verdict"`
	} `json:"hostPorts"`
}

func readTable(t *testing.T) table {
	t.Helper()
	text, err := os.ReadFile("testdata/policy.json")
	if err != nil {
		t.Fatal(err)
	}
	var found table
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTheTableOfPolicies(t *testing.T) {
	found := readTable(t)
	of := func(name string) *policy {
		p := found.Policies[name].Compiled
		if err := p.check(); err != nil {
			t.Fatal(err)
		}
		return &p
	}
	for _, f := range found.Flows {
		address, err := netip.ParseAddr(f.Address)
		if err != nil {
			continue // what is no address never comes out of a packet
		}
		if got := of(f.Policy).decide(destination{address, f.Port, f.Names, f.Own}); got != (decision{f.Verdict, f.Why}) {
			t.Errorf("%s: %s port %d: %v, not %s (%s)", f.Policy, f.Address, f.Port, got, f.Verdict, f.Why)
		}
	}
	for _, n := range found.Names {
		if got := of(n.Policy).decideName(n.Name); got.Verdict != n.Verdict {
			t.Errorf("%s: %s: %v, not %s", n.Policy, n.Name, got, n.Verdict)
		}
	}
	for _, h := range found.HostPorts {
		if got := of(h.Policy).decideHostPort(h.Port); got.Verdict != h.Verdict {
			t.Errorf("%s: the host's port %d: %v, not %s", h.Policy, h.Port, got, h.Verdict)
		}
	}
	if len(found.Flows) < 50 {
		t.Errorf("the table has %d flows", len(found.Flows))
	}
}

func TestAStepThatIsAboutNothingIsNoPolicy(t *testing.T) {
	for _, bad := range []policy{
		{},
		{Otherwise: decision{Verdict: "perhaps"}},
		{Otherwise: decision{Verdict: allow}, Steps: []step{{Verdict: allow}}},
		{Otherwise: decision{Verdict: allow}, Steps: []step{{Verdict: "x", Own: true}}},
		{Otherwise: decision{Verdict: allow}, Steps: []step{{Verdict: allow, Own: true, Name: "a"}}},
	} {
		if bad.check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
