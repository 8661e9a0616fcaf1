package process

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// hangupGrace is what the processes of a session may take to end after SIGHUP.
	hangupGrace = 2 * time.Second
	hangupPoll  = 20 * time.Millisecond
)

// member is a process, told from a later one with its number by its start time.
type member struct {
	pid   int
	start string
}

// HangUp ends a command that runs: SIGHUP and SIGCONT to every process of its session, SIGKILL to those that are
// still there after a grace. What is left of a command that has ended by itself is left alone.
func (c *Command) HangUp() {
	left := c.session()
	for _, m := range left {
		c.reaper.signal(m.pid, syscall.SIGHUP)
		c.reaper.signal(m.pid, syscall.SIGCONT)
	}
	for deadline := time.Now().Add(hangupGrace); time.Now().Before(deadline); time.Sleep(hangupPoll) {
		if left = alive(left); len(left) == 0 {
			return
		}
	}
	// Some may have come since, as long as the session is the same one.
	for _, m := range append(left, c.session()...) {
		if len(alive([]member{m})) == 1 {
			c.reaper.signal(m.pid, syscall.SIGKILL)
		}
	}
}

// session lists the processes of the command's session; none once it has ended, since its number may be another's.
func (c *Command) session() (members []member) {
	c.reaper.mu.Lock()
	defer c.reaper.mu.Unlock()
	if c.reaper.live[c.PID] != c.Process {
		return nil
	}
	names, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, entry := range names {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if session, start, ok := stat(pid); ok && session == c.PID {
			members = append(members, member{pid, start})
		}
	}
	return members
}

// alive gives those that are still there; one that has ended and was not waited for is not.
func alive(members []member) (left []member) {
	for _, m := range members {
		if _, start, ok := stat(m.pid); ok && start == m.start {
			left = append(left, m)
		}
	}
	return left
}

// stat reads the session and the start time of a process that lives (proc_pid_stat(5), fields 6 and 22).
func stat(pid int) (session int, start string, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, "", false
	}
	// The name, in parentheses, may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return 0, "", false
	}
	session, err = strconv.Atoi(fields[3])
	return session, fields[19], err == nil
}

// signal is kill(2) while nothing is reaped: the number is that of the process that was looked at or of none.
func (r *Reaper) signal(pid int, s syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = syscall.Kill(pid, s) // it may have ended in the meantime
}
