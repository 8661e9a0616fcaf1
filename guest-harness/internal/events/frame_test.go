package events

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
)

const fixtures = "../../testdata/protocol"

// eachFixture decodes every file of a folder of the shared fixtures.
func eachFixture[T any](t *testing.T, folder string, run func(*testing.T, T)) {
	files, err := filepath.Glob(filepath.Join(fixtures, folder, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures in %s: %v", folder, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			must(t, err)
			var fixture T
			must(t, json.Unmarshal(raw, &fixture))
			run(t, fixture)
		})
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	must(t, err)
	return raw
}

type frameFixture struct {
	Hex     string `json:"hex"`
	Verdict string `json:"verdict"`
	Frames  []struct {
		Type    Kind   `json:"type"`
		Seq     string `json:"seq"`
		Payload string `json:"payloadHex"`
	} `json:"frames"`
}

// decodeAll reads a whole response body, as a host does that has nothing yet.
func decodeAll(b []byte) ([]Frame, error) {
	var frames []Frame
	for len(b) > 0 {
		frame, n, err := Decode(b)
		switch {
		case errors.Is(err, ErrShort):
			return frames, io.ErrUnexpectedEOF
		case err != nil:
			return frames, err
		case frame.Seq != uint64(len(frames)+1):
			return frames, errors.New("a gap in the numbers")
		case len(frames) > 0 && frames[len(frames)-1].Kind == Event:
			return frames, errors.New("a frame after the exit")
		case frame.Kind == Event && !json.Valid(frame.Payload):
			return frames, errors.New("an event that is not JSON")
		}
		frames = append(frames, frame)
		b = b[n:]
	}
	return frames, nil
}

func TestFrameFixtures(t *testing.T) {
	eachFixture(t, "frames", func(t *testing.T, f frameFixture) {
		frames, err := decodeAll(unhex(t, f.Hex))
		if (err == nil) != (f.Verdict == "valid") {
			t.Fatalf("the verdict is %s, the decoder says %v", f.Verdict, err)
		}
		if err != nil {
			return
		}
		var encoded []byte
		for i, want := range f.Frames {
			payload, _ := hex.DecodeString(want.Payload)
			got := frames[i]
			if got.Kind != want.Type || strconv.FormatUint(got.Seq, 10) != want.Seq || !bytes.Equal(got.Payload, payload) {
				t.Fatalf("frame %d is %v", i, got)
			}
			encoded = Append(encoded, got)
		}
		if hex.EncodeToString(encoded) != f.Hex || len(frames) != len(f.Frames) {
			t.Fatal("encoding does not give the same bytes")
		}
	})
}

type ackFixture struct {
	Hex     string   `json:"hex"`
	Verdict string   `json:"verdict"`
	Acks    []string `json:"acks"`
}

func TestAckFixtures(t *testing.T) {
	eachFixture(t, "acks", func(t *testing.T, f ackFixture) {
		var got []string
		r := iotest.OneByteReader(bytes.NewReader(unhex(t, f.Hex)))
		err := ReadAcks(r, func(seq uint64) error {
			got = append(got, strconv.FormatUint(seq, 10))
			return nil
		})
		if (err == nil) != (f.Verdict == "valid") {
			t.Fatalf("the verdict is %s, the decoder says %v", f.Verdict, err)
		}
		if len(got) != len(f.Acks) {
			t.Fatalf("%v, not %v", got, f.Acks)
		}
		for i := range got {
			if got[i] != f.Acks[i] {
				t.Fatalf("%v, not %v", got, f.Acks)
			}
		}
	})
}

func TestExitEvent(t *testing.T) {
	for _, c := range []struct {
		status syscall.WaitStatus
		oom    bool
		want   string
	}{
		{0, false, `{"type":"exit","code":0,"ranUs":1500}`},
		{255 << 8, false, `{"type":"exit","code":255,"ranUs":1500}`},
		{9, true, `{"type":"exit","signal":9,"oom":true,"ranUs":1500}`},
		{11 | 0x80, false, `{"type":"exit","signal":11,"ranUs":1500}`},
	} {
		if got := string(ExitOf(c.status, c.oom, 1500*time.Microsecond).Encode()); got != c.want {
			t.Errorf("%s, not %s", got, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Append(nil, Frame{Stdout, 1, []byte("hello")}))
	f.Add(Append(nil, Frame{Event, 2, []byte(`{"type":"exit","code":0}`)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, n, err := Decode(b)
		if err == nil && !bytes.Equal(Append(nil, frame), b[:n]) {
			t.Fatal("decoding and encoding gives other bytes")
		}
		// A frame is never complete before its last byte, and no byte after it matters.
		if err == nil {
			if _, _, short := Decode(b[:n-1]); !errors.Is(short, ErrShort) {
				t.Fatal("complete one byte too early")
			}
		}
	})
}

func FuzzReadAcks(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var encoded []byte
		err := ReadAcks(iotest.HalfReader(bytes.NewReader(b)), func(seq uint64) error {
			for shift := 56; shift >= 0; shift -= 8 {
				encoded = append(encoded, byte(seq>>shift))
			}
			return nil
		})
		if !bytes.Equal(encoded, b[:len(b)/AckSize*AckSize]) || (err == nil) != (len(b)%AckSize == 0) {
			t.Fatalf("%d bytes gave %d and %v", len(b), len(encoded), err)
		}
	})
}
