package wire

import (
	"encoding/json"
	"strings"
)

// Size is a terminal's, in characters.
type Size struct{ Rows, Cols uint16 }

// Exec is the message of POST /execs/ID.
type Exec struct {
	Argv []string
	// Env is added to the primary's, as NAME=value.
	Env []string
	// Cwd is empty where it is the primary's.
	Cwd       string
	UID, GID  uint32
	TTY       *Size // nil: pipes
	StdinPipe bool
	Detached  bool
}

// maxID is the largest id of a user or group: the number after it stands for none.
const maxID = 1<<32 - 2

// DecodeExec reads the body of POST /execs/ID. The failure is always bad-request.
func DecodeExec(body []byte) (*Exec, *Failure) {
	o := parseObject(body)
	exec := &Exec{
		Argv:      o.argv(),
		Env:       o.env(),
		UID:       uint32(o.integer("uid", 0, maxID)),
		GID:       uint32(o.integer("gid", 0, maxID)),
		StdinPipe: o.stdinPipe(),
		Detached:  need[bool](o, "detached", "true or false"),
	}
	if cwd, present := take[string](o, "cwd", "a string"); present {
		o.checkText("cwd", cwd, 1, maxText)
		o.checkAbsolute("cwd", cwd)
		exec.Cwd = cwd
	}
	if raw, present := take[json.RawMessage](o, "tty", "an object"); present {
		inner := parseObject(raw)
		exec.TTY = inner.size()
		if failure := inner.finish("tty"); failure != nil {
			o.fail("%s", failure.Message)
		}
	}
	if failure := o.finish("exec"); failure != nil {
		return nil, failure
	}
	return exec, nil
}

// DecodeSize reads the body of POST /execs/ID/size.
func DecodeSize(body []byte) (*Size, *Failure) {
	o := parseObject(body)
	size := o.size()
	if failure := o.finish("size"); failure != nil {
		return nil, failure
	}
	return size, nil
}

func (o *object) size() *Size {
	return &Size{Rows: uint16(o.integer("rows", 1, 65535)), Cols: uint16(o.integer("cols", 1, 65535))}
}

// IsExecID says whether the host may call an exec so.
func IsExecID(id string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return len(id) >= 1 && len(id) <= 128 && strings.Trim(id, allowed) == ""
}

// ExecState is one exec in the answer to GET /execs.
type ExecState struct {
	ID       string `json:"id"`
	PID      int    `json:"pid"`
	Ended    bool   `json:"ended"`
	TTY      bool   `json:"tty"`
	Stdin    bool   `json:"stdin"`
	Detached bool   `json:"detached"`
	// Acked and Noted are the highest numbers that the host has acknowledged and noted.
	Acked uint64 `json:"acked"`
	Noted uint64 `json:"noted"`
}

// Execs is the answer to GET /execs.
type Execs struct {
	Execs []ExecState `json:"execs"`
}
