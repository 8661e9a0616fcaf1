package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"aegis.dev/guest-harness/internal/events"
	"aegis.dev/guest-harness/internal/wire"
	"golang.org/x/sys/unix"
)

var reaper = sync.OnceValue(StartReaper)

// command says to run argv in a directory of the test's own.
func command(t *testing.T, argv ...string) *Spec {
	return &Spec{Argv: argv, Env: []string{"PATH=/usr/bin:/bin"}, Cwd: t.TempDir()}
}

func start(t *testing.T, spec *Spec) (*Command, *events.Ring) {
	t.Helper()
	ring := events.NewRing()
	primary, failure := Start(reaper(), spec, ring, func() {})
	if failure != nil {
		t.Fatal(failure)
	}
	return primary, ring
}

type result struct {
	stdout, stderr []byte
	exit           events.Exit
}

// collect reads everything up to the exit event; between two reads it waits for pause.
func collect(t *testing.T, ring *events.Ring, pause time.Duration) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	reader, err := ring.ReadAfter(0)
	if err != nil {
		t.Fatal(err)
	}
	var all result
	buf := make([]byte, 2*(events.MaxOutput+events.HeaderSize))
	for {
		n, _, err := reader.Read(ctx, buf)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < n; {
			frame, size, err := events.Decode(buf[at:n])
			if err != nil {
				t.Fatal(err)
			}
			at += size
			switch frame.Kind {
			case events.Stdout:
				all.stdout = append(all.stdout, frame.Payload...)
			case events.Stderr:
				all.stderr = append(all.stderr, frame.Payload...)
			case events.Event:
				if err := json.Unmarshal(frame.Payload, &all.exit); err != nil {
					t.Fatal(err)
				}
			}
			if err := ring.Acknowledge(frame.Seq); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(pause)
	}
}

func run(t *testing.T, argv ...string) result {
	t.Helper()
	_, ring := start(t, command(t, argv...))
	return collect(t, ring, 0)
}

func code(r result) int {
	if r.exit.Code == nil {
		return -1
	}
	return *r.exit.Code
}

func TestOutputAndCode(t *testing.T) {
	r := run(t, "sh", "-c", `printf 'no newline'; printf 'a\0b\377' >&2; exit 42`)
	if string(r.stdout) != "no newline" || string(r.stderr) != "a\x00b\xff" || code(r) != 42 {
		t.Fatalf("%q %q %d", r.stdout, r.stderr, code(r))
	}
}

func TestTheTimeIsThatOfTheCommand(t *testing.T) {
	for _, ms := range []int64{0, 300} {
		r := run(t, "sh", "-c", fmt.Sprintf("sleep %d.%03d", ms/1000, ms%1000))
		if ran := r.exit.RanUs / 1000; r.exit.RanUs <= 0 || ran < ms || ran > ms+10_000 {
			t.Fatalf("%d us for %d ms", r.exit.RanUs, ms)
		}
	}
}

func TestKilledBySignal(t *testing.T) {
	r := run(t, "sh", "-c", "kill -9 $$")
	if r.exit.Signal == nil || *r.exit.Signal != 9 || r.exit.Code != nil || r.exit.OOM {
		t.Fatalf("%+v", r.exit)
	}
}

func TestTheCommandHasItsOwnSessionBlockingPipesAndNothingElse(t *testing.T) {
	// What the test itself has inherited is not the harness's.
	if err := unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r := run(t, "sh", "-c", `echo $$; cut -d' ' -f5,6 /proc/$$/stat; find /proc/$$/fd -lname 'pipe:*' -printf '%f ' ; readlink /proc/$$/fd/0; grep flags /proc/$$/fdinfo/1`)
	lines := strings.Split(strings.TrimSpace(string(r.stdout)), "\n")
	if len(lines) != 4 {
		t.Fatalf("%q %q", r.stdout, r.stderr)
	}
	if lines[1] != lines[0]+" "+lines[0] {
		t.Errorf("pid %s has group and session %s", lines[0], lines[1])
	}
	if lines[2] != "1 2 /dev/null" {
		t.Errorf("descriptors %q", lines[2])
	}
	if fields := strings.Fields(lines[3]); fields[1] != "01" && fields[1] != "0100001" {
		t.Errorf("standard output has the flags %s: it must be blocking", fields[1])
	}
}

// T-211: each way in which a command cannot be started has its code and says what is wrong.
func TestT211ExecErrors(t *testing.T) {
	directory := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	otherMachine := "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00\xff\x7f" + strings.Repeat("\x00", 60)
	for title, c := range map[string]struct {
		argv0 string
		code  wire.Code
		says  string
	}{
		"not in PATH":             {"no-such-command", wire.SpawnNotFound, "not found in PATH"},
		"no such path":            {"/no/such/file", wire.SpawnNotFound, "no such file"},
		"below a file":            {write("file", "", 0o644) + "/x", wire.SpawnNotFound, "not a directory"},
		"a directory":             {directory, wire.SpawnDenied, "is a directory"},
		"no x bit":                {write("plain", "#!/bin/sh\n", 0o644), wire.SpawnDenied, "permission denied"},
		"another machine's":       {write("other", otherMachine, 0o755), wire.SpawnDenied, "neither a program"},
		"a script without #!":     {write("script", "echo hello\n", 0o755), wire.SpawnDenied, "neither a program"},
		"an empty file":           {write("empty", "", 0o755), wire.SpawnDenied, "neither a program"},
		"no such interpreter":     {write("lost", "#!/no/such/sh\n", 0o755), wire.SpawnNotFound, "its interpreter does not exist"},
		"a name that is too long": {"/" + strings.Repeat("x", 5000), wire.SpawnFailed, "too long"},
	} {
		t.Run(title, func(t *testing.T) {
			_, failure := Start(reaper(), command(t, c.argv0), events.NewRing(), func() {})
			if failure == nil || failure.Code != c.code || !strings.Contains(failure.Message, c.says) {
				t.Fatalf("%v", failure)
			}
		})
	}
}

func TestTooManyArguments(t *testing.T) {
	_, failure := Start(reaper(), command(t, "true", strings.Repeat("x", 200_000)), events.NewRing(), func() {})
	if failure == nil || failure.Code != wire.SpawnFailed || !strings.Contains(failure.Message, "argument list too long") {
		t.Fatal(failure)
	}
}

func TestPathAndCwd(t *testing.T) {
	spec := command(t, "tool")
	spec.Env = []string{"PATH=bin:/nowhere"}
	directory := filepath.Join(spec.Cwd, "bin")
	if err := os.Mkdir(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "tool"), []byte("#!/bin/sh\npwd\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, ring := start(t, spec)
	if r := collect(t, ring, 0); string(r.stdout) != spec.Cwd+"\n" {
		t.Errorf("%q", r.stdout)
	}
	gone := command(t, "pwd")
	gone.Cwd = "/no/such/directory"
	if _, failure := Start(reaper(), gone, events.NewRing(), func() {}); failure == nil || failure.Code != wire.SpawnFailed {
		t.Errorf("a cwd that does not exist gave %v", failure)
	}
	if DirectoryOrRoot(gone.Cwd) != "/" || DirectoryOrRoot(spec.Cwd) != spec.Cwd {
		t.Error("/ stands in for a directory that does not exist, and for no other")
	}
}

// T-206, T-207: a flood of output blocks the child at a slow reader and loses nothing.
func TestT206FloodIsWholeWhileTheReaderIsSlow(t *testing.T) {
	r := run(t, "sh", "-c", "head -c 33554432 /dev/zero; printf end")
	if len(r.stdout) != 33554432+3 || !bytes.HasSuffix(r.stdout, []byte("\x00end")) {
		t.Fatalf("%d bytes", len(r.stdout))
	}
	_, ring := start(t, command(t, "sh", "-c", "head -c 5000000 /dev/zero; printf end; head -c 100000 /dev/zero >&2"))
	slow := collect(t, ring, 15*time.Millisecond)
	if len(slow.stdout) != 5000003 || len(slow.stderr) != 100000 || !bytes.HasSuffix(slow.stdout, []byte("\x00end")) {
		t.Fatalf("%d and %d bytes", len(slow.stdout), len(slow.stderr))
	}
}

func TestTheExitDoesNotWaitForAGrandchildThatHoldsThePipes(t *testing.T) {
	begin := time.Now()
	r := run(t, "sh", "-c", "sleep 30 & printf done; exit 3")
	if string(r.stdout) != "done" || code(r) != 3 {
		t.Fatalf("%q %d", r.stdout, code(r))
	}
	if took := time.Since(begin); took < drainGrace || took > 10*time.Second {
		t.Fatalf("took %v", took)
	}
}

func TestTheExitComesAlthoughAGrandchildFloodsThePipe(t *testing.T) {
	r := run(t, "sh", "-c", "yes & head -c 300000 /dev/zero >&2; exit 4")
	if len(r.stderr) != 300000 || code(r) != 4 {
		t.Fatalf("%d bytes, code %d", len(r.stderr), code(r))
	}
}

func TestWhatThePrimaryWroteIsWholeWhenTheReaderIsSlowAndAGrandchildHoldsThePipe(t *testing.T) {
	_, ring := start(t, command(t, "sh", "-c", "sleep 20 & head -c 2500000 /dev/zero; printf end"))
	time.Sleep(2 * drainGrace) // the ring and the pipe are full, the grace is over before anything is read
	r := collect(t, ring, 0)
	if len(r.stdout) != 2500003 || !bytes.HasSuffix(r.stdout, []byte("end")) {
		t.Fatalf("%d bytes", len(r.stdout))
	}
}

func TestStandardInput(t *testing.T) {
	spec := command(t, "cat")
	spec.StdinPipe = true
	primary, ring := start(t, spec)
	input := bytes.Repeat([]byte("0123456789\x00"), 300_000)
	written := make(chan error, 1)
	go func() { written <- primary.WriteStdin(bytes.NewReader(input)) }()
	r := collect(t, ring, 0)
	if err := <-written; err != nil || !bytes.Equal(r.stdout, input) {
		t.Fatalf("%v, %d bytes of %d", err, len(r.stdout), len(input))
	}
	if err := primary.WriteStdin(strings.NewReader("more")); !errors.Is(err, ErrStdinTaken) {
		t.Fatal(err)
	}
}

func TestStandardInputThatTheCommandDoesNotRead(t *testing.T) {
	spec := command(t, "sh", "-c", "exec 0<&-; echo closed; sleep 0.3")
	spec.StdinPipe = true
	primary, ring := start(t, spec)
	time.Sleep(100 * time.Millisecond)
	body := strings.NewReader(strings.Repeat("x", 3<<20))
	if err := primary.WriteStdin(body); err != nil || body.Len() != 0 {
		t.Fatalf("%v, %d bytes not drained", err, body.Len())
	}
	collect(t, ring, 0)
}

func TestStandardInputEndsWithTheCommandAlthoughAGrandchildHoldsIt(t *testing.T) {
	spec := command(t, "sh", "-c", "(sleep 20 <&3) 3<&0 & exit 0")
	spec.StdinPipe = true
	primary, ring := start(t, spec)
	written := make(chan error, 1)
	go func() { written <- primary.WriteStdin(strings.NewReader(strings.Repeat("x", 4<<20))) }()
	collect(t, ring, 0)
	select {
	case err := <-written:
		if err != nil && !errors.Is(err, ErrStdinTaken) {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the writer is still blocked")
	}
}

func TestAHostThatComesBackGoesOnWithStandardInput(t *testing.T) {
	spec := command(t, "cat")
	spec.StdinPipe = true
	primary, ring := start(t, spec)
	broken := io.MultiReader(strings.NewReader("one "), failing{})
	if err := primary.WriteStdin(broken); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if err := primary.WriteStdin(strings.NewReader("two")); err != nil {
		t.Fatal(err)
	}
	if r := collect(t, ring, 0); string(r.stdout) != "one two" {
		t.Fatalf("%q", r.stdout)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestSignalsGoToTheGroupAndNeverToAReapedPid(t *testing.T) {
	primary, ring := start(t, command(t, "sh", "-c", `sleep 30 & trap 'echo got; exit 7' TERM; echo ready; wait`))
	time.Sleep(200 * time.Millisecond)
	if err := primary.SignalGroup(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r := collect(t, ring, 0)
	if string(r.stdout) != "ready\ngot\n" || code(r) != 7 {
		t.Fatalf("%q %d", r.stdout, code(r))
	}
	if err := primary.SignalGroup(syscall.SIGTERM); !errors.Is(err, ErrEnded) {
		t.Fatal(err)
	}
}

// T-209: orphans come to PID 1 and are reaped, ten thousand at once, and the command's own code is not lost among them.
func TestT209TenThousandZombies(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	r := run(t, "sh", "-c", "i=0; while [ $i -lt 10000 ]; do (exit 1) & i=$((i+1)); done; exit 9")
	if code(r) != 9 {
		t.Fatalf("code %d", code(r))
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if zombies := countZombies(t); err == unix.ECHILD || zombies == 0 {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("%d zombies are left", zombies)
		}
	}
}

func countZombies(t *testing.T) (n int) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	mine := ") Z " + itoa(os.Getpid()) + " "
	for _, stat := range stats {
		if raw, err := os.ReadFile(stat); err == nil && strings.Contains(string(raw), mine) {
			n++
		}
	}
	return n
}

func itoa(n int) string {
	raw, _ := json.Marshal(n)
	return string(raw)
}

// The kernel says EIO for a terminal that nobody else has, and may say it in the place of what was written last.
func TestATerminalsLastWordsAreThere(t *testing.T) {
	for i := range 1000 {
		spec := command(t, "sh", "-c", "printf first; printf last")
		spec.TTY = &wire.Size{Rows: 24, Cols: 80}
		_, ring := start(t, spec)
		if got := string(collect(t, ring, 0).stdout); got != "firstlast" {
			t.Fatalf("run %d: %q", i, got)
		}
	}
}

func TestManyShortCommandsKeepTheirCodes(t *testing.T) {
	for i := range 60 {
		if r := run(t, "sh", "-c", "exit "+itoa(i)); code(r) != i {
			t.Fatalf("code %d, not %d", code(r), i)
		}
	}
}

func TestOutOfMemoryRecords(t *testing.T) {
	for record, want := range map[string]bool{
		"3,512,7890,-;Out of memory: Killed process 419 (python) total-vm:1kB":               true,
		"3,512,7890,-;Memory cgroup out of memory: Killed process 419 (python) total-vm":     true,
		"3,512,7890,-;Out of memory: Killed process 4190 (python)":                           false,
		"11,512,7890,-;Out of memory: Killed process 419 (forged) by a process in the guest": false,
		"6,1,0,-;Linux version 6.12.91":                                                      false,
		"no record at all":                                                                   false,
		"x,1;Out of memory: Killed process 419 (python)":                                     false,
	} {
		if isOOMKill([]byte(record), 419) != want {
			t.Errorf("%q", record)
		}
	}
}
