// aegis-mkroot makes read-only ext4 images, from the tar stream of a whole file system or from the layers of an image:
//
//	aegis-mkroot [--size-limit BYTES] OUT < TAR
//	aegis-mkroot [--size-limit BYTES] --input TAR OUT
//	aegis-mkroot merge [--size-limit BYTES] OUT < REQUEST
//
// It needs no privileges: owners, modes, extended attributes, device nodes and hard links go straight from the archive into the
// image. In a tar stream whiteout names have no meaning; as a file it may be compressed with gzip or zstd. REQUEST is a JSON document that names the layers' blobs (see merge.go). On
// success one JSON line on standard output tells the image's size; progress and a failure are JSON lines on standard error (see
// report.go). OUT appears complete or not at all.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
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
	// An index of a million files is the most that is in memory: it need not be there twice while it grows.
	debug.SetGCPercent(50)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	merging := len(args) > 0 && args[0] == "merge"
	if merging {
		args = args[1:]
	}
	flags := flag.NewFlagSet("aegis-mkroot", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	limit := flags.Int64("size-limit", defaultSizeLimit, "")
	input := flags.String("input", "", "")
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 || flags.Arg(0) == "" || merging && *input != "" {
		fmt.Fprintln(stderr, "usage: aegis-mkroot [--size-limit BYTES] [--input TAR] OUT < TAR")
		fmt.Fprintln(stderr, "       aegis-mkroot merge [--size-limit BYTES] OUT < REQUEST")
		return exitUsage
	}
	if *limit < minSizeLimit || *limit > maxSizeLimit {
		fmt.Fprintf(stderr, "aegis-mkroot: --size-limit is %d; a number from %d to %d is needed\n", *limit, minSizeLimit, int64(maxSizeLimit))
		return exitUsage
	}
	work := maker(convert)
	switch {
	case merging:
		work = mergeRequested
	case *input != "":
		work = convertFile(*input)
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
		made, err = guarded(work, stdin, out.file, *limit, report.progress)
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

type maker func(in io.Reader, out *os.File, limit int64, report func(progress)) (result, error)

func mergeRequested(in io.Reader, out *os.File, limit int64, report func(progress)) (result, error) {
	request, err := readRequest(in)
	if err != nil {
		return result{}, err
	}
	return merge(request, out, limit, report)
}

// guarded turns a panic into a failure like any other.
func guarded(work maker, in io.Reader, out *os.File, limit int64, report func(progress)) (made result, err error) {
	defer func() {
		if trouble := recover(); trouble != nil {
			err = &failure{Code: codeInternal, Message: fmt.Sprint(trouble)}
		}
	}()
	return work(in, out, limit, report)
}
