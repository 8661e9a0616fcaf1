package wire

import (
	"bytes"
	"encoding/json"
	"strings"
)

// execve itself limits one string to 128 KiB and all of them to a quarter of the stack; the body's limit comes first.
const maxText = MaxBody

// argv is the field of that name: at least one string, the first not empty.
func (o *object) argv() (argv []string) {
	// Pointers, because a null in an array of strings would become an empty one.
	words := need[[]*string](o, "argv", "an array of strings")
	if o.err == nil && len(words) == 0 {
		o.fail("argv must not be empty")
	}
	for i, word := range words {
		if word == nil {
			o.fail("argv must be an array of strings")
			return argv
		}
		if i == 0 && *word == "" {
			o.fail("argv[0] is empty")
		}
		o.checkText("each of argv", *word, 0, maxText)
		argv = append(argv, *word)
	}
	return argv
}

// env is the field of that name, as NAME=value.
func (o *object) env() (env []string) {
	raw := need[json.RawMessage](o, "env", "an object")
	if o.err != nil {
		return nil
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
		env = append(env, name+"="+text)
		clear(value)
		return nil
	})
	if err != nil {
		o.fail("env: %v", err)
	}
	return env
}

// stdinPipe is the field stdin: whether standard input is fed, or empty.
func (o *object) stdinPipe() bool {
	stdin := o.text("stdin", 1, 16)
	if o.err == nil && stdin != "null" && stdin != "pipe" {
		o.fail(`stdin must be "null" or "pipe"`)
	}
	return stdin == "pipe"
}

func (o *object) checkAbsolute(name, path string) {
	if o.err == nil && !strings.HasPrefix(path, "/") {
		o.fail("%s must be absolute", name)
	}
}
