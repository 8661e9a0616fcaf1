package events

import (
	"encoding/json"
	"syscall"
)

// Exit is the last event of every command: how it ended. Exactly one of Code and Signal is set.
type Exit struct {
	Type   string `json:"type"`
	Code   *int   `json:"code,omitempty"`
	Signal *int   `json:"signal,omitempty"`
	OOM    bool   `json:"oom,omitempty"`
}

// ExitOf turns what wait4 said into the event; oom says whether the kernel's out-of-memory killer did it.
func ExitOf(status syscall.WaitStatus, oom bool) Exit {
	if status.Signaled() {
		signal := int(status.Signal())
		return Exit{Type: "exit", Signal: &signal, OOM: oom}
	}
	code := status.ExitStatus()
	return Exit{Type: "exit", Code: &code}
}

// Encode gives the event's payload.
func (e Exit) Encode() []byte {
	payload, err := json.Marshal(e)
	if err != nil {
		panic(err) // three optional scalars cannot fail to encode
	}
	return payload
}
