package wire

import (
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
	Cwd        string
	Hostname   string
	Clock      time.Time
	Seed       []byte
	RootDevice string
	Workspace  *Workspace // nil: a tmpfs
	Network    *Network   // nil: none but the loopback
	StdinPipe  bool
}

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
	boot.Argv, boot.Env = o.argv(), o.env()
	o.checkAbsolute("cwd", boot.Cwd)
	if o.err == nil && !isDevice(boot.RootDevice) {
		o.fail("rootDevice must be a device in /dev")
	}
	if raw, present := take[json.RawMessage](o, "workspace", "an object"); present {
		boot.Workspace = o.workspace(raw)
	}
	if raw, present := take[json.RawMessage](o, "network", "an object"); present {
		boot.Network = o.network(raw)
	}
	boot.StdinPipe = o.stdinPipe()
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

func (o *object) workspace(raw []byte) *Workspace {
	inner := parseObject(raw)
	// virtio-fs gives a tag 36 bytes (virtio 1.2, 5.11.4).
	w := &Workspace{Tag: inner.text("tag", 1, 36), ReadOnly: need[bool](inner, "readOnly", "true or false")}
	if failure := inner.finish("workspace"); failure != nil {
		o.fail("%s", failure.Message)
	}
	return w
}
