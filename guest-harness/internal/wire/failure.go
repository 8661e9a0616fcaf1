// Package wire holds the JSON messages of the harness protocol and their strict decoders (docs/HARNESS_PROTOCOL.md).
package wire

import "fmt"

// Code names a class of failure on the wire.
type Code string

const (
	BadRequest    Code = "bad-request"
	NotFound      Code = "not-found"
	State         Code = "state"
	Mount         Code = "mount"
	SpawnNotFound Code = "spawn-not-found"
	SpawnDenied   Code = "spawn-denied"
	SpawnFailed   Code = "spawn-failed"
	Limit         Code = "limit"
	// What became of a tunnel's connection inside the guest.
	ConnectRefused Code = "connect-refused"
	ConnectTimeout Code = "connect-timeout"
	ConnectFailed  Code = "connect-failed"
	TooManyTunnels Code = "too-many-tunnels"
	// File is what the kernel, or an archive, says against a file.
	File     Code = "file"
	Internal Code = "internal"
)

// Failure is an error that goes to the host as it is.
type Failure struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func (f *Failure) Error() string { return string(f.Code) + ": " + f.Message }

// Status is the HTTP status that belongs to the code.
func (f *Failure) Status() int {
	switch f.Code {
	case BadRequest:
		return 400
	case NotFound:
		return 404
	case State:
		return 409
	case Limit:
		return 429
	case SpawnNotFound, SpawnDenied, SpawnFailed, File:
		return 422
	case ConnectRefused, ConnectFailed:
		return 502
	case TooManyTunnels:
		return 503
	case ConnectTimeout:
		return 504
	default:
		return 500
	}
}

// Failf makes a failure; the message is formatted as by fmt.Sprintf.
func Failf(code Code, format string, args ...any) *Failure {
	return &Failure{Code: code, Message: fmt.Sprintf(format, args...)}
}
