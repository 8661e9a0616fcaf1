package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxBody is the largest JSON body in bytes.
const MaxBody = 1 << 20

// object is a JSON object whose members are taken one by one; what is left over at the end is an unknown field. The
// first problem sticks, so that a decoder reads as a list of fields.
type object struct {
	members map[string]json.RawMessage
	err     error
}

// parseObject reads body as one JSON object. encoding/json alone would take names in any case, repeated names, bytes
// that are not UTF-8 and half surrogate pairs: here each of them is an error.
func parseObject(body []byte) *object {
	o := &object{members: map[string]json.RawMessage{}}
	if len(body) > MaxBody {
		return o.fail("a body of more than %d bytes", MaxBody)
	}
	if !utf8.Valid(body) {
		return o.fail("not UTF-8")
	}
	if err := checkEscapes(body); err != nil {
		return o.fail("%v", err)
	}
	if err := eachMember(body, func(name string, value json.RawMessage) error {
		if _, twice := o.members[name]; twice {
			return fmt.Errorf("the field %q is there twice", name)
		}
		o.members[name] = value
		return nil
	}); err != nil {
		return o.fail("%v", err)
	}
	return o
}

// eachMember calls add for every member of the object that body is, repeated ones included.
func eachMember(body []byte, add func(string, json.RawMessage) error) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return fmt.Errorf("not JSON: %w", err)
		}
		name, ok := token.(string)
		if !ok {
			return errors.New("not JSON: a name is missing")
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return fmt.Errorf("not JSON: %w", err)
		}
		if err := add(name, value); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	if rest := bytes.TrimLeft(body[decoder.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return errors.New("something follows the JSON object")
	}
	return nil
}

// checkEscapes refuses an escaped surrogate that is not one half of a pair: it stands for no character.
func checkEscapes(body []byte) error {
	unit := func(at int) int {
		if at+6 > len(body) || body[at] != '\\' || body[at+1] != 'u' {
			return -1
		}
		n, err := strconv.ParseUint(string(body[at+2:at+6]), 16, 16)
		if err != nil {
			return -1
		}
		return int(n)
	}
	for at := 0; at < len(body); at++ {
		if body[at] != '\\' {
			continue
		}
		switch first := unit(at); {
		case first < 0xd800 || first > 0xdfff:
			at++ // over the escaped character, which may be a backslash
		case first <= 0xdbff && unit(at+6) >= 0xdc00 && unit(at+6) <= 0xdfff:
			at += 11
		default:
			return errors.New("half a surrogate pair")
		}
	}
	return nil
}

func (o *object) fail(format string, args ...any) *object {
	if o.err == nil {
		o.err = fmt.Errorf(format, args...)
	}
	return o
}

// take removes a member and decodes it into T; present is false, without a problem, when it is not there.
func take[T any](o *object, name, kind string) (value T, present bool) {
	raw, present := o.members[name]
	if !present || o.err != nil {
		return value, false
	}
	delete(o.members, name)
	// It may hold secrets, and is a copy that nobody needs once it is decoded.
	defer clear(raw)
	// null leaves a Go value as it was, and is none of the shapes the protocol has.
	if bytes.Equal(raw, []byte("null")) || json.Unmarshal(raw, &value) != nil {
		o.fail("%s must be %s", name, kind)
		return value, false
	}
	return value, true
}

// need is take for a field that must be there.
func need[T any](o *object, name, kind string) T {
	value, present := take[T](o, name, kind)
	if !present {
		o.fail("%s is missing", name)
	}
	return value
}

// text is a field that must be a string of min to max bytes without NUL.
func (o *object) text(name string, min, max int) string {
	value := need[string](o, name, "a string")
	o.checkText(name, value, min, max)
	return value
}

func (o *object) checkText(name, value string, min, max int) {
	if o.err != nil {
		return
	}
	if len(value) < min || len(value) > max {
		o.fail("%s must have %d to %d bytes", name, min, max)
	}
	if strings.ContainsRune(value, 0) {
		o.fail("%s contains a NUL", name)
	}
}

// integer is a field that must be a whole number from min to max.
func (o *object) integer(name string, min, max int64) int64 {
	value := need[int64](o, name, "a whole number")
	if o.err == nil && (value < min || value > max) {
		o.fail("%s must be from %d to %d", name, min, max)
	}
	return value
}

// finish gives the first problem as a bad-request failure, an unknown field among them; nil when there is none.
func (o *object) finish(message string) *Failure {
	for name := range o.members {
		o.fail("unknown field %q", name)
	}
	if o.err != nil {
		return Failf(BadRequest, "%s: %v", message, o.err)
	}
	return nil
}
