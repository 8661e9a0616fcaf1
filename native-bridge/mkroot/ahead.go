package main

import (
	"errors"
	"fmt"
	"io"
)

const (
	aheadPieces = 32
	aheadPiece  = 256 << 10
)

// ahead reads its source in a goroutine of its own, at most aheadPieces before its reader.
type ahead struct {
	full    chan piece
	empty   chan []byte
	quit    chan struct{}
	stopped chan struct{}
	current piece
	at      int
}

type piece struct {
	data []byte
	err  error
}

func readAhead(source io.Reader) *ahead {
	a := &ahead{
		full:    make(chan piece, aheadPieces),
		empty:   make(chan []byte, aheadPieces),
		quit:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	go a.run(source)
	return a
}

func (a *ahead) run(source io.Reader) {
	defer close(a.stopped)
	defer func() {
		if trouble := recover(); trouble != nil {
			a.give(piece{err: &failure{Code: codeInternal, Message: fmt.Sprint(trouble)}})
		}
	}()
	for made := 0; ; {
		var buffer []byte
		select {
		case buffer = <-a.empty:
		case <-a.quit:
			return
		default:
			if made < aheadPieces {
				made++
				buffer = make([]byte, aheadPiece)
				break
			}
			select {
			case buffer = <-a.empty:
			case <-a.quit:
				return
			}
		}
		count, err := io.ReadFull(source, buffer)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF
		}
		if !a.give(piece{buffer[:count], err}) || err != nil {
			return
		}
	}
}

func (a *ahead) give(p piece) bool {
	select {
	case a.full <- p:
		return true
	case <-a.quit:
		return false
	}
}

func (a *ahead) Read(p []byte) (int, error) {
	for a.at == len(a.current.data) {
		if a.current.err != nil {
			return 0, a.current.err
		}
		if a.current.data != nil {
			a.empty <- a.current.data[:cap(a.current.data)]
		}
		a.current, a.at = <-a.full, 0
	}
	count := copy(p, a.current.data[a.at:])
	a.at += count
	return count, nil
}

// stop returns when nothing reads the source any more.
func (a *ahead) stop() {
	close(a.quit)
	<-a.stopped
}
