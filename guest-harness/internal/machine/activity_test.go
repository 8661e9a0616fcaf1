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
