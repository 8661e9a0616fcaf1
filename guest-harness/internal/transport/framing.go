package transport

import (
	"bytes"
	"regexp"
)

// frameHeader is the length of an HTTP/2 frame's header (RFC 9113, 4.1).
const frameHeader = 9

// framing follows the frames of one HTTP/2 connection, to find the place where the next connection begins in the same
// byte stream: a hello cannot be the header of a frame that either side lets pass, because the length it would stand for is 4 MiB.
type framing struct {
	skip   int // bytes up to the next header
	header [frameHeader]byte
	have   int
	// The headers for which a hello is looked for anywhere, and the newest bytes since then.
	wary  int
	since []byte
}

var wholeHello = regexp.MustCompile(`AEGIS/1 [0-9a-f]{32}\n`)

// doubt is told when the host may have gone: what it was saying then may break off inside of a frame.
func (f *framing) doubt() {
	// The header of the frame under way may be half an old one and half a hello.
	f.wary, f.since = 2, append([]byte(nil), f.header[:f.have]...)
}

// advance takes the next bytes of the stream. It gives how many of them are this connection's, and what is of the next one, nil when
// none begins.
func (f *framing) advance(p []byte) (own int, next []byte) {
	if f.wary > 0 {
		seen := append(f.since, p...)
		if at := wholeHello.FindIndex(seen); at != nil {
			return max(0, at[0]-len(f.since)), bytes.Clone(seen[at[0]:])
		}
		f.since = bytes.Clone(seen[max(0, len(seen)-helloLength+1):])
	}
	for i := 0; i < len(p); {
		if f.skip > 0 {
			n := min(f.skip, len(p)-i)
			f.skip -= n
			i += n
			continue
		}
		n := copy(f.header[f.have:], p[i:])
		f.have += n
		i += n
		if f.have < frameHeader {
			break
		}
		if string(f.header[:len(helloWord)]) == helloWord {
			return max(0, i-frameHeader), append(bytes.Clone(f.header[:]), p[i:]...)
		}
		f.have = 0
		f.skip = int(f.header[0])<<16 | int(f.header[1])<<8 | int(f.header[2])
		f.wary = max(0, f.wary-1)
	}
	return len(p), nil
}
