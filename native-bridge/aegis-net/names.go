package main

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// pinFor is how long an address counts as a name's after its record's own time is over: programs keep addresses longer than they should.
	pinFor         = time.Hour
	maxPins        = 8192
	maxNamesPerPin = 16
)

// pins remember for which names the guest was given which addresses: the rules about names go by it.
type pins struct {
	mu  sync.Mutex
	all map[netip.Addr]map[string]time.Time
}

func newPins() *pins { return &pins{all: map[netip.Addr]map[string]time.Time{}} }

// add gives what is to be remembered of an answer.
func (p *pins) add(name string, address netip.Addr, ttl time.Duration) pin {
	added := pin{name, address, time.Now().Add(ttl + pinFor)}
	p.put(added)
	return added
}

func (p *pins) put(one pin) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name, address, now := one.Name, one.Address, time.Now()
	names := p.all[address]
	if names == nil {
		if len(p.all) >= maxPins {
			p.shrink(now)
		}
		names = map[string]time.Time{}
		p.all[address] = names
	}
	if _, known := names[name]; !known && len(names) >= maxNamesPerPin {
		delete(names, soonest(names))
	}
	names[name] = one.Until
}

// list has all that hold.
func (p *pins) list() (all []pin) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for address, names := range p.all {
		for name, until := range names {
			if until.After(now) {
				all = append(all, pin{name, address, until})
			}
		}
	}
	return all
}

// namesOf gives the one that holds longest first, which is the one that was asked for last, as far as can be told.
func (p *pins) namesOf(address netip.Addr) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []string
	now := time.Now()
	names := p.all[address]
	for name, until := range names {
		if until.After(now) {
			found = append(found, name)
		}
	}
	slices.SortFunc(found, func(a, b string) int { return cmp.Or(names[b].Compare(names[a]), cmp.Compare(a, b)) })
	return found
}

// shrink makes room: what is over goes, and where that is not enough, any eighth part of the rest.
func (p *pins) shrink(now time.Time) {
	for address, names := range p.all {
		for name, until := range names {
			if until.Before(now) {
				delete(names, name)
			}
		}
		if len(names) == 0 {
			delete(p.all, address)
		}
	}
	for address := range p.all {
		if len(p.all) < maxPins*7/8 {
			return
		}
		delete(p.all, address)
	}
}

func soonest(names map[string]time.Time) (first string) {
	for name, until := range names {
		if first == "" || until.Before(names[first]) {
			first = name
		}
	}
	return first
}
