package transport

import (
	"bytes"
	"io"
)

// A host begins each connection with a hello: a word, 32 characters of its own choice that no earlier one had, and a newline. The harness
// sends the hello back, and only then does the host speak HTTP/2. One byte stream may carry many connections (serial), in both
// directions: what comes before the echo is left over from an earlier connection, and so is an echo of another hello.
const (
	helloWord   = "AEGIS/1 "
	helloLength = len(helloWord) + 32 + 1
)

// lastHello gives what of the bytes begins with the newest hello, or with what may become one.
func lastHello(ahead []byte) []byte {
	if at := bytes.LastIndex(ahead, []byte(helloWord)); at >= 0 {
		return ahead[at:]
	}
	return ahead[max(0, len(ahead)-len(helloWord)+1):]
}

// greet answers the hello of a connection that has a byte stream to itself.
func greet(conn io.ReadWriter) error {
	hello := make([]byte, helloLength)
	if _, err := io.ReadFull(conn, hello); err != nil {
		return err
	}
	_, err := conn.Write(hello)
	return err
}
