package wire

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type fixture struct {
	Message string `json:"message"`
	Verdict string `json:"verdict"`
	Body    string `json:"body"`
}

// decoders are of the messages that a harness reads; the others in the folder are for the host's tests.
var decoders = map[string]func([]byte) *Failure{
	"boot":     func(body []byte) *Failure { _, failure := DecodeBoot(body); return failure },
	"exec":     func(body []byte) *Failure { _, failure := DecodeExec(body); return failure },
	"size":     func(body []byte) *Failure { _, failure := DecodeSize(body); return failure },
	"signal":   func(body []byte) *Failure { _, failure := DecodeSignal(body); return failure },
	"shutdown": func(body []byte) *Failure { _, failure := DecodeShutdown(body); return failure },
}

func readFixtures(t testing.TB) map[string]fixture {
	files, err := filepath.Glob("../../testdata/protocol/bodies/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	fixtures := map[string]fixture{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f fixture
		if err := json.Unmarshal(raw, &f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		fixtures[filepath.Base(file)] = f
	}
	return fixtures
}

// T-214: what a command gets comes in the boot message only, and a missing part of it is an error with a name.
func TestT214BodyFixtures(t *testing.T) {
	for name, f := range readFixtures(t) {
		decode, mine := decoders[f.Message]
		if !mine {
			continue
		}
		t.Run(name, func(t *testing.T) {
			failure := decode([]byte(f.Body))
			if (failure == nil) != (f.Verdict == "valid") {
				t.Fatalf("the verdict is %s, the decoder says %v", f.Verdict, failure)
			}
			if failure != nil && (failure.Code != BadRequest || !strings.HasPrefix(failure.Message, f.Message+": ")) {
				t.Fatalf("%v", failure)
			}
		})
	}
}

func TestBootMessageIsReadWhole(t *testing.T) {
	boot, failure := DecodeBoot([]byte(readFixtures(t)["boot-full.json"].Body))
	if failure != nil {
		t.Fatal(failure)
	}
	if strings.Join(boot.Argv, " ") != "echo hello" || boot.Cwd != "/workspace" ||
		boot.Hostname != "web" || boot.RootDevice != "/dev/vdb" || boot.StdinPipe {
		t.Errorf("%+v", boot)
	}
	if strings.Join(boot.Env, " ") != "PATH=/usr/bin:/bin HOME=/root TERM=linux" {
		t.Errorf("env %q", boot.Env)
	}
	if !boot.Clock.Equal(time.UnixMilli(1795515600000)) || len(boot.Seed) != 32 || boot.Seed[31] != 31 {
		t.Errorf("clock %v, seed %x", boot.Clock, boot.Seed)
	}
	if boot.Workspace == nil || *boot.Workspace != (Workspace{Tag: "workspace"}) {
		t.Errorf("workspace %+v", boot.Workspace)
	}
}

func TestTheNetworkIsReadWhole(t *testing.T) {
	boot, failure := DecodeBoot([]byte(readFixtures(t)["boot-network.json"].Body))
	if failure != nil {
		t.Fatal(failure)
	}
	want := "{65520 [192.168.127.2/24 fd7f:ae61:5::2/64] [192.168.127.1 fd7f:ae61:5::1] [192.168.127.1]}"
	if got := fmt.Sprint(*boot.Network); got != want {
		t.Errorf("%s", got)
	}
}

func TestFailuresNameTheField(t *testing.T) {
	for name, want := range map[string]string{
		"boot-without-seed.json":            "seed is missing",
		"boot-other-version.json":           "version 2",
		"boot-unknown-field.json":           `unknown field "color"`,
		"boot-workspace-unknown-field.json": `workspace: unknown field "path"`,
		"boot-network-bare-address.json":    `network: addresses holds "192.168.127.2"`,
		"boot-network-odd-address.json":     `network: gateways holds "192.168.127.01"`,
		"boot-env-value-null.json":          "the value of A must be a string",
		"boot-half-surrogate.json":          "half a surrogate pair",
	} {
		_, failure := DecodeBoot([]byte(readFixtures(t)[name].Body))
		if failure == nil || !strings.Contains(failure.Message, want) {
			t.Errorf("%s: %v", name, failure)
		}
	}
}

func TestBytesThatAreNotUTF8AndBodiesThatAreTooLarge(t *testing.T) {
	for body, want := range map[string]string{
		"{\"signal\":15,\"x\":\"\xff\"}":                    "not UTF-8",
		`{"signal":15` + strings.Repeat(" ", MaxBody) + `}`: "more than",
		strings.Repeat("[", 100_000):                        "not a JSON object",
		`{"signal":` + strings.Repeat("[", 100_000) + `}`:   "not JSON",
	} {
		if _, failure := DecodeSignal([]byte(body)); failure == nil || !strings.Contains(failure.Message, want) {
			t.Errorf("%v", failure)
		}
	}
}

func TestGrace(t *testing.T) {
	for body, want := range map[string]time.Duration{`{}`: 5 * time.Second, `{"graceMs":0}`: 0, `{"graceMs":250}`: 250 * time.Millisecond} {
		if grace, failure := DecodeShutdown([]byte(body)); failure != nil || grace != want {
			t.Errorf("%s: %v %v", body, grace, failure)
		}
	}
}

func fuzz(f *testing.F, message string) {
	for _, fixture := range readFixtures(f) {
		if fixture.Message == message {
			f.Add([]byte(fixture.Body))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		// No panic, and what is accepted is JSON.
		if decoders[message](body) == nil && !json.Valid(body) {
			t.Fatal("accepted what is not JSON")
		}
	})
}

func FuzzDecodeSignal(f *testing.F)   { fuzz(f, "signal") }
func FuzzDecodeShutdown(f *testing.F) { fuzz(f, "shutdown") }

func FuzzDecodeBoot(f *testing.F) {
	for _, fixture := range readFixtures(f) {
		if fixture.Message == "boot" {
			f.Add([]byte(fixture.Body))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		boot, failure := DecodeBoot(body)
		if failure != nil {
			return
		}
		if !json.Valid(body) || len(boot.Argv) == 0 || len(boot.Seed) < 32 || !isDevice(boot.RootDevice) {
			t.Fatalf("accepted %q", body)
		}
		for _, text := range append(append([]string{boot.Cwd, boot.Hostname}, boot.Argv...), boot.Env...) {
			if strings.ContainsRune(text, 0) {
				t.Fatal("a NUL came through")
			}
		}
	})
}
