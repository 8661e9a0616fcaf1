package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// Protocol is the version spoken here.
const Protocol = 1

// Workspace is the host directory at /workspace: the tag of a virtiofs device.
type Workspace struct {
	Tag      string
	ReadOnly bool
}

// Boot is the message of POST /boot.
type Boot struct {
	Argv []string
	// Env is the whole environment as NAME=value.
	Env        []string
	Path       string // PATH of Env, or empty
	Cwd        string
	Hostname   string
	Clock      time.Time
	Seed       []byte
	RootDevice string
	Workspace  *Workspace // nil: a tmpfs
	StdinPipe  bool
}

// execve itself limits one string to 128 KiB and all of them to a quarter of the stack; the body's limit comes first.
const maxText = MaxBody

// DecodeBoot reads the body of POST /boot. The failure is always bad-request.
func DecodeBoot(body []byte) (*Boot, *Failure) {
	o := parseObject(body)
	version := o.integer("protocol", 0, 1<<53)
	if o.err == nil && version != Protocol {
		o.fail("the host speaks version %d of the protocol, this harness speaks %d", version, Protocol)
	}
	boot := &Boot{
		Cwd:        o.text("cwd", 1, maxText),
		Hostname:   o.text("hostname", 1, 64),
		Clock:      time.UnixMilli(o.integer("clockMs", 0, 1<<53)),
		Seed:       o.seed(),
		RootDevice: o.text("rootDevice", 1, 64),
	}
	o.takeArgv(boot)
	o.takeEnv(boot)
	if o.err == nil && !strings.HasPrefix(boot.Cwd, "/") {
		o.fail("cwd must be absolute")
	}
	if o.err == nil && !isDevice(boot.RootDevice) {
		o.fail("rootDevice must be a device in /dev")
	}
	if raw, present := take[json.RawMessage](o, "workspace", "an object"); present {
		boot.Workspace = o.workspace(raw)
	}
	switch stdin := o.text("stdin", 1, 16); {
	case stdin == "pipe":
		boot.StdinPipe = true
	case stdin != "null":
		o.fail(`stdin must be "null" or "pipe"`)
	}
	if failure := o.finish("boot"); failure != nil {
		return nil, failure
	}
	return boot, nil
}

// isDevice says whether path is a name directly in /dev, as block devices have.
func isDevice(path string) bool {
	name, ok := strings.CutPrefix(path, "/dev/")
	return ok && name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

func (o *object) seed() []byte {
	text := o.text("seed", 1, 512)
	seed, err := base64.StdEncoding.Strict().DecodeString(text)
	if o.err == nil && (err != nil || len(seed) < 32 || len(seed) > 256) {
		o.fail("seed must be 32 to 256 bytes in base64")
	}
	return seed
}

func (o *object) takeArgv(boot *Boot) {
	// Pointers, because a null in an array of strings would become an empty one.
	argv := need[[]*string](o, "argv", "an array of strings")
	if o.err == nil && len(argv) == 0 {
		o.fail("argv must not be empty")
	}
	for i, arg := range argv {
		if arg == nil {
			o.fail("argv must be an array of strings")
			return
		}
		if i == 0 && *arg == "" {
			o.fail("argv[0] is empty")
		}
		o.checkText("each of argv", *arg, 0, maxText)
		boot.Argv = append(boot.Argv, *arg)
	}
}

func (o *object) takeEnv(boot *Boot) {
	raw := need[json.RawMessage](o, "env", "an object")
	if o.err != nil {
		return
	}
	defer clear(raw)
	seen := map[string]bool{}
	err := eachMember(raw, func(name string, value json.RawMessage) error {
		var text string
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			o.fail("env: %q cannot be the name of a variable", name)
		case seen[name]:
			o.fail("env: %s is there twice", name)
		case bytes.Equal(value, []byte("null")) || json.Unmarshal(value, &text) != nil:
			o.fail("env: the value of %s must be a string", name)
		case strings.ContainsRune(text, 0):
			o.fail("env: the value of %s contains a NUL", name)
		}
		seen[name] = true
		if name == "PATH" {
			boot.Path = text
		}
		boot.Env = append(boot.Env, name+"="+text)
		clear(value)
		return nil
	})
	if err != nil {
		o.fail("env: %v", err)
	}
}

func (o *object) workspace(raw []byte) *Workspace {
	inner := parseObject(raw)
	// virtio-fs gives a tag 36 bytes (virtio 1.2, 5.11.4).
	w := &Workspace{Tag: inner.text("tag", 1, 36), ReadOnly: need[bool](inner, "readOnly", "true or false")}
	if failure := inner.finish("workspace"); failure != nil {
		o.fail("%s", failure.Message)
	}
	return w
}
