package server

import (
	"testing"

	"aegis.dev/guest-harness/internal/events"
)

// BenchmarkOutput is 64 MiB of a command's output, from its pipe to the host's side of a Unix socket.
func BenchmarkOutput(b *testing.B) {
	const size = 64 << 20
	b.SetBytes(size)
	for b.Loop() {
		h := newHost(b)
		h.boot("head", "-c", "67108864", "/dev/zero")
		s := h.events("?after=0")
		s.all()
		if len(s.output[events.Stdout]) != size {
			b.Fatalf("%d bytes", len(s.output[events.Stdout]))
		}
		h.close()
	}
}
