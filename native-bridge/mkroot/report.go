package main

import (
	"encoding/json"
	"errors"
	"io"
	"sync"
	"syscall"
	"time"
)

// What went wrong, for a program to decide on.
const (
	codeBadRequest     = "bad-request"     // what merge was asked for makes no sense
	codeBadCompression = "bad-compression" // a layer's blob is not what it should be, or damaged
	codeMismatch       = "diff-mismatch"   // a layer whose bytes have another digest
	codeBadTar         = "bad-tar"         // not a tar, cut off, or with contradictory headers
	codeBadPath        = "bad-path"        // a path that leads nowhere, or nowhere it may
	codeBadEntry       = "bad-entry"       // an entry that an ext4 file system cannot hold
	codeTooLarge       = "too-large"       // the image would exceed a limit
	codeNoSpace        = "no-space"        // the disk or the quota is full
	codeIO             = "io"              // reading or writing failed
	codeInterrupted    = "interrupted"     // SIGTERM, SIGINT, SIGHUP
	codeInternal       = "internal"        // a bug
)

// failure is the last line of standard error. Entry is the archive's entry it is about, where there is one, and Layer the layer,
// by its digest.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Entry   string `json:"entry"`
	Layer   string `json:"layer,omitempty"`
	// For too-large: what is over which limit.
	What  string `json:"what,omitempty"`
	Limit string `json:"limit,omitempty"`
	// For diff-mismatch: the digests.
	Expected string `json:"expected,omitempty"`
	Actual   string `json:"actual,omitempty"`
}

func (f *failure) Error() string { return f.Code + ": " + f.Message }

// asFailure names an error that comes from the operating system.
func asFailure(err error) *failure {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &failure{Code: codeNoSpace, Message: err.Error()}
	}
	if errors.Is(err, syscall.EFBIG) {
		return &failure{Code: codeTooLarge, Message: err.Error()}
	}
	return &failure{Code: codeIO, Message: err.Error()}
}

// result is the line on standard output.
type result struct {
	Bytes   int64 `json:"bytes"`
	Entries int64 `json:"entries"`
}

// progress tells how much of the archive, or of the layers' blobs, has been read.
type progress struct {
	BytesIn int64 `json:"bytesIn"`
	Entries int64 `json:"entries"`
}

const progressInterval = 200 * time.Millisecond

type reporter struct {
	mutex          sync.Mutex
	stdout, stderr *json.Encoder
	last           time.Time
	ended          bool
}

func newReporter(stdout, stderr io.Writer) *reporter {
	// The first progress line comes after an interval: short conversions report none.
	return &reporter{stdout: encoder(stdout), stderr: encoder(stderr), last: time.Now()}
}

func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// progress writes a line unless the last one is too recent. A reader that has gone away ends nothing.
func (r *reporter) progress(p progress) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	now := time.Now()
	if r.ended || now.Sub(r.last) < progressInterval {
		return
	}
	r.last = now
	_ = r.stderr.Encode(struct {
		Progress progress `json:"progress"`
	}{p})
}

// failure writes the last line there is.
func (r *reporter) failure(f *failure) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.ended = true
	_ = r.stderr.Encode(f)
}

func (r *reporter) success(made result) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.ended = true
	_ = r.stdout.Encode(made)
}
