package wire

import (
	"syscall"
	"time"
)

// DefaultGrace is how long a shutdown waits between SIGTERM and SIGKILL unless it says otherwise.
const DefaultGrace = 5 * time.Second

// maxGraceMs is a day: more can only be a mistake, and must not overflow a duration.
const maxGraceMs = 24 * 60 * 60 * 1000

// DecodeSignal reads the body of POST /signal.
func DecodeSignal(body []byte) (syscall.Signal, *Failure) {
	o := parseObject(body)
	signal := o.integer("signal", 1, 64)
	if failure := o.finish("signal"); failure != nil {
		return 0, failure
	}
	return syscall.Signal(signal), nil
}

// DecodeClock reads the body of POST /clock.
func DecodeClock(body []byte) (time.Time, *Failure) {
	o := parseObject(body)
	ms := o.integer("clockMs", 0, 1<<53)
	if failure := o.finish("clock"); failure != nil {
		return time.Time{}, failure
	}
	return time.UnixMilli(ms), nil
}

// DecodeShutdown reads the body of POST /shutdown.
func DecodeShutdown(body []byte) (grace time.Duration, failure *Failure) {
	o := parseObject(body)
	ms, present := take[int64](o, "graceMs", "a whole number")
	if present && (ms < 0 || ms > maxGraceMs) {
		o.fail("graceMs must be from 0 to %d", maxGraceMs)
	}
	if failure := o.finish("shutdown"); failure != nil {
		return 0, failure
	}
	if !present {
		return DefaultGrace, nil
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// Health is the answer to GET /health.
type Health struct {
	Protocol int    `json:"protocol"`
	Harness  string `json:"harness"`
	Kernel   string `json:"kernel"`
	State    string `json:"state"`
	UptimeMs int64  `json:"uptimeMs"`
}

// Booted is the answer to POST /boot.
type Booted struct {
	PID int `json:"pid"`
}
