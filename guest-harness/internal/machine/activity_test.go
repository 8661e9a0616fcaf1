package machine

import "testing"

func TestWorkIsEverythingButIdlingAndWaiting(t *testing.T) {
	stat := []byte("cpu  10 20 30 4000 5000 6 7 800 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\nintr 1\n")
	if got := cpuMillis(stat); got != (10+20+30+6+7)*10 {
		t.Fatal(got)
	}
	if got := cpuMillis(nil); got != 0 {
		t.Fatal(got)
	}
	if (Guest{}).CPUMillis() == 0 {
		t.Fatal("this machine has never done anything")
	}
}

func TestWhatPassesThroughDevicesIsCountedAndTheLoopbackIsNot(t *testing.T) {
	devices := []byte(`Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 9000000 100 0 0 0 0 0 0 9000000 100 0 0 0 0 0 0
  eth0: 1000 10 0 0 0 0 0 0 200 3 0 0 0 0 0 0
eth1:30 1 0 0 0 0 0 0 4 1 0 0 0 0 0 0
`)
	if got := networkBytes(devices); got != 1234 {
		t.Fatal(got)
	}
	if got := networkBytes(nil); got != 0 {
		t.Fatal(got)
	}
}
