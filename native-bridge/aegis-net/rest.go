package main

import (
	"sync/atomic"
	"time"
)

const (
	// restAfter is how long nothing has passed when a network gives back the memory that it held for what had, and restFrom the least that has
	// to have passed for that: Go by itself takes minutes.
	restAfter = 2 * time.Second
	restFrom  = 1 << 20
)

// rest does something once nothing has passed for a while. While nothing does, it costs nothing.
type rest struct {
	after time.Duration
	do    func()

	touched, armed atomic.Bool
}

// touch says that something passes.
func (r *rest) touch() {
	if !r.touched.Load() {
		r.touched.Store(true)
		r.arm()
	}
}

func (r *rest) arm() {
	if r.armed.CompareAndSwap(false, true) {
		time.AfterFunc(r.after, r.look)
	}
}

func (r *rest) look() {
	if r.touched.Swap(false) {
		time.AfterFunc(r.after, r.look)
		return
	}
	r.armed.Store(false)
	// Something may have passed in between, and found it armed.
	if r.touched.Load() {
		r.arm()
		return
	}
	r.do()
}
