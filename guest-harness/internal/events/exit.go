package events

import (
	"encoding/json"
	"syscall"
	"time"
)

// Exit is the last event of every command: how it ended. Exactly one of Code and Signal is set.
type Exit struct {
	Type   string `json:"type"`
	Code   *int   `json:"code,omitempty"`
	Signal *int   `json:"signal,omitempty"`
	OOM    bool   `json:"oom,omitempty"`
	// RanUs is how many microseconds it took from before the fork to wait4's answer.
	RanUs int64 `json:"ranUs"`
}

// ExitOf turns what wait4 said, after so long, into the event; oom says whether the kernel's out-of-memory killer did it.
func ExitOf(status syscall.WaitStatus, oom bool, ran time.Duration) Exit {
	if status.Signaled() {
		signal := int(status.Signal())
		return Exit{Type: "exit", Signal: &signal, OOM: oom, RanUs: ran.Microseconds()}
	}
	code := status.ExitStatus()
	return Exit{Type: "exit", Code: &code, RanUs: ran.Microseconds()}
}

// Encode gives the event's payload.
func (e Exit) Encode() []byte {
	payload, err := json.Marshal(e)
	if err != nil {
		panic(err) // scalars cannot fail to encode
	}
	return payload
}
