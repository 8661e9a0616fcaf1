// Aegis-tsc measures the frequency of this machine's time-stamp counter, in kHz, and prints it.
//
// A guest that QEMU emulates reads the host's counter (QEMU 7.2, target/i386: cpus_get_elapsed_ticks over the host's rdtsc), and its
// machine has nothing to measure it by: without the number its kernel counts ticks instead, 250 a second, also when it is idle.
// Where the host itself does not trust the counter, or has none, it ends with code 3 and prints nothing on stdout.
package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

const (
	clockSource = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
	// Both ends of the window are read to within some 100 ns: the error is below 1 in a million.
	window = 200 * time.Millisecond
	looks  = 50

	notTrusted = 3
)

func main() {
	source, err := os.ReadFile(clockSource)
	if err != nil || strings.TrimSpace(string(source)) != "tsc" || !available {
		fmt.Fprintln(os.Stderr, "aegis-tsc: the time-stamp counter is not this machine's clock")
		os.Exit(notTrusted)
	}
	fmt.Println(frequency(window))
}

// frequency in kHz, as seen over a window of this length at least.
func frequency(window time.Duration) int64 {
	from := look()
	time.Sleep(window)
	to := look()
	return (to.ticks - from.ticks) * int64(time.Millisecond) / int64(to.at.Sub(from.at))
}

type instant struct {
	ticks int64
	at    time.Time
}

// look reads both clocks at once: of some readings the one in which least passed.
func look() instant {
	var best instant
	least := int64(-1)
	for range looks {
		before := readCounter()
		at := time.Now()
		after := readCounter()
		if took := after - before; least < 0 || took < least {
			least = took
			best = instant{ticks: before + took/2, at: at}
		}
	}
	return best
}
