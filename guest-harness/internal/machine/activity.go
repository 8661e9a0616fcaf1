package machine

import (
	"bytes"
	"os"
	"strconv"
)

// userHz is the unit of /proc/stat on every Linux that we run (sysconf(_SC_CLK_TCK)).
const userHz = 100

// CPUMillis is the processor time that the machine has spent on work since it started: everything but idling and waiting.
func (Guest) CPUMillis() uint64 {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0 // before /proc is mounted, nothing has run that anybody asks for
	}
	return cpuMillis(stat)
}

// NetworkBytes is what has passed through the machine's network devices since it started, in both directions; its loopback is no network.
func (Guest) NetworkBytes() uint64 {
	devices, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return 0
	}
	return networkBytes(devices)
}

// networkBytes reads a line for each device, `name: received-bytes ... sent-bytes ...`, eight fields of each direction; proc_net(5).
func networkBytes(devices []byte) uint64 {
	var sum uint64
	for line := range bytes.Lines(devices) {
		name, counted, isDevice := bytes.Cut(line, []byte(":"))
		fields := bytes.Fields(counted)
		if !isDevice || len(fields) < 9 || string(bytes.TrimSpace(name)) == "lo" {
			continue
		}
		for _, i := range []int{0, 8} {
			n, _ := strconv.ParseUint(string(fields[i]), 10, 64) // the kernel writes numbers
			sum += n
		}
	}
	return sum
}

// cpuMillis reads the first line: cpu user nice system idle iowait irq softirq steal guest guest_nice; the last two are in user.
func cpuMillis(stat []byte) uint64 {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	var ticks uint64
	for i, field := range bytes.Fields(line) {
		switch i {
		case 1, 2, 3, 6, 7:
			n, _ := strconv.ParseUint(string(field), 10, 64) // the kernel writes numbers
			ticks += n
		}
	}
	return ticks * 1000 / userHz
}
