package transport

// frameHeader is the length of an HTTP/2 frame's header (RFC 9113, 4.1).
const frameHeader = 9

// framing follows the frames of one HTTP/2 connection, to find the place where the next connection begins in the same
// byte stream: the first nine bytes of a preface cannot be the header of a frame that either side lets pass, because
// the length they would stand for is 5 MiB.
type framing struct {
	skip   int // bytes up to the next header
	header [frameHeader]byte
	have   int
}

// advance takes the next bytes of the stream. It gives the place in p at which a new connection begins, negative when that
// was in bytes taken before, and false when none does.
func (f *framing) advance(p []byte) (at int, found bool) {
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
			return 0, false
		}
		if string(f.header[:]) == string(preface[:frameHeader]) {
			return i - frameHeader, true
		}
		f.have = 0
		f.skip = int(f.header[0])<<16 | int(f.header[1])<<8 | int(f.header[2])
	}
	return 0, false
}
