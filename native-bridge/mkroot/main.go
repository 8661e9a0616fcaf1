// aegis-mkroot turns a tar stream into a read-only ext4 image:
//
//	aegis-mkroot [--size-limit BYTES] OUT < TAR
//
// It needs no privileges: owners, modes, extended attributes, device nodes and hard links go straight from the archive into the
// image. Whiteout names have no meaning to it. On success one JSON line on standard output tells the image's size; progress and
// a failure are JSON lines on standard error (see report.go). OUT appears complete or not at all.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const (
	defaultSizeLimit = 16 << 30
	minSizeLimit     = 1 << 20
	maxSizeLimit     = 16 << 40 // ext4 with 32-bit block numbers

	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 128 + int(syscall.SIGTERM)
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("aegis-mkroot", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	limit := flags.Int64("size-limit", defaultSizeLimit, "")
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 || flags.Arg(0) == "" {
		fmt.Fprintln(stderr, "usage: aegis-mkroot [--size-limit BYTES] OUT < TAR")
		return exitUsage
	}
	if *limit < minSizeLimit || *limit > maxSizeLimit {
		fmt.Fprintf(stderr, "aegis-mkroot: --size-limit is %d; a number from %d to %d is needed\n", *limit, minSizeLimit, int64(maxSizeLimit))
		return exitUsage
	}

	report := newReporter(stdout, stderr)
	out, err := createAtomic(flags.Arg(0))
	if err != nil {
		report.failure(asFailure(err))
		return exitFailure
	}
	// Caught from here on, where there is a file to remove.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)

	done := make(chan struct{})
	var made result
	go func() {
		defer close(done)
		made, err = convert(stdin, out.file, *limit, report.progress)
		if err == nil {
			made.Bytes, err = out.commit(made.Bytes)
		}
	}()
	select {
	case <-signals:
		// The conversion may be deep in a read that never ends; what it still writes goes to a file without a name. A rename
		// that has happened already is undone by nobody: the image is complete then.
		out.discard()
		report.failure(&failure{Code: codeInterrupted, Message: "interrupted by a signal"})
		return exitInterrupted
	case <-done:
	}
	if err != nil {
		out.discard()
		var known *failure
		if !errors.As(err, &known) {
			known = asFailure(err)
		}
		report.failure(known)
		return exitFailure
	}
	report.success(made)
	return 0
}
