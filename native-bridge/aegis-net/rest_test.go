package main

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestItRestsOnceNothingPassesAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rested atomic.Int32
		r := &rest{after: 2 * time.Second, do: func() { rested.Add(1) }}
		expect := func(want int32, after time.Duration) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := rested.Load(); got != want {
				t.Errorf("it has rested %d times, not %d", got, want)
			}
		}
		expect(0, time.Hour)
		for range 10 {
			r.touch()
			expect(0, time.Second)
		}
		expect(1, 4*time.Second)
		expect(1, time.Hour)
		r.touch()
		expect(2, 4*time.Second)
	})
}
