package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// crash is what is told of networks that have crashed since the last time that it was told.
type crash struct {
	Count int `json:"count"`
	// Why is how the last one has ended.
	Why string `json:"why"`
	// Down is true when it was one too many: nothing passes any more.
	Down bool `json:"down,omitempty"`
}

// pin is an address that the guest was given for a name.
type pin struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	Until   time.Time  `json:"until"`
}

// handover is what a network is started with: at first the configuration, later also what the one before it has learned.
type handover struct {
	MTU    uint32 `json:"mtu"`
	Policy policy `json:"policy"`
	Pins   []pin  `json:"pins,omitempty"`
	Crash  *crash `json:"crash,omitempty"`
	// Down says that nothing is to pass.
	Down bool `json:"down,omitempty"`

	learned *pins
	inRow   int
}

func newHandover(c *config) *handover {
	return &handover{MTU: c.MTU, Policy: c.Policy, learned: newPins()}
}

func (h *handover) encode() (io.Reader, error) {
	h.Pins = h.learned.list()
	line, err := json.Marshal(h)
	h.Pins = nil
	return bytes.NewReader(line), err
}

// entry is one line from a network to its supervisor.
type entry struct {
	Policy *policy `json:"policy,omitempty"`
	Pin    *pin    `json:"pin,omitempty"`
	// Told says that whoever is to know of the crash does.
	Told bool `json:"told,omitempty"`
}

// follow takes in what a network hands over until it has ended. What cannot be read is the last: it may be half a line.
func (h *handover) follow(ledger io.Reader) {
	lines := bufio.NewScanner(ledger)
	lines.Buffer(nil, maxMessage)
	for lines.Scan() {
		var one entry
		if json.Unmarshal(lines.Bytes(), &one) != nil {
			break
		}
		switch {
		case one.Policy != nil && one.Policy.check() == nil:
			h.Policy = *one.Policy
		case one.Pin != nil:
			h.learned.put(*one.Pin)
		case one.Told:
			h.Crash = nil
		}
	}
	_, _ = io.Copy(io.Discard, ledger) // a network must not wait for a reader
}

// ledger is the network's end of it. One that belongs to nobody takes everything and keeps nothing.
type ledger struct {
	mu sync.Mutex
	to io.Writer
}

// write hands something over; when it has returned, a crash does not lose it any more.
func (l *ledger) write(one entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == nil {
		return
	}
	line, err := json.Marshal(one)
	if err == nil {
		_, _ = l.to.Write(append(line, '\n')) // without a supervisor there is nobody who could start another
	}
}

// firstLine is the first line of what a process has said, as text.
func firstLine(said []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(strings.ToValidUTF8(string(said), "")), "\n")
	return line
}
