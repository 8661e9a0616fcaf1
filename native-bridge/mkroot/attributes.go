package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

const (
	attributeMagic  = 0xEA020000
	attributeEntry  = 16
	attributeHeader = 32
	// Where attributes stand: in the inode behind a magic number, in a block behind a header; a zero ends their list.
	inlineRoom = inlineAttributes - 4 - 4
	blockRoom  = blockSize - attributeHeader - 4
	// XATTR_NAME_MAX.
	maxAttributeName = 255
)

// attributes are a file's extended attributes in the order of ext4; the first ones stand in the inode.
type attributes struct {
	list   []attribute
	inodes int
}

type attribute struct {
	space       byte
	name, value string
}

const (
	spaceUser       = 1
	spaceAccessACL  = 2
	spaceDefaultACL = 3
	spaceTrusted    = 4
	spaceSecurity   = 6
)

var spaces = []struct {
	prefix string
	space  byte
}{
	{"user.", spaceUser},
	{"trusted.", spaceTrusted},
	{"security.", spaceSecurity},
}

// Attributes with which container runtimes keep their books; in an image they would steer the next one.
var bookkeeping = []string{"trusted.overlay.", "user.overlay.", "user.containers.", "user.msb."}

// newAttributes makes them from full names and values. What Linux does not know for a file of ext4 is left out.
func newAttributes(from map[string]string) (*attributes, error) {
	var list []attribute
	for name, value := range from {
		known, err := newAttribute(name, value)
		if err != nil {
			return nil, err
		}
		if known != nil {
			list = append(list, *known)
		}
	}
	return arrange(list)
}

// arrange finds each attribute its place.
func arrange(list []attribute) (*attributes, error) {
	if len(list) == 0 {
		return nil, nil
	}
	made := &attributes{list: list}
	slices.SortFunc(made.list, func(a, b attribute) int {
		return cmp.Or(cmp.Compare(a.space, b.space), cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
	})
	left := inlineRoom
	for made.inodes < len(made.list) && made.list[made.inodes].size() <= left {
		left -= made.list[made.inodes].size()
		made.inodes++
	}
	left = blockRoom
	for _, a := range made.list[made.inodes:] {
		left -= a.size()
	}
	if left < 0 {
		return nil, fmt.Errorf("its extended attributes are too large for ext4: %d bytes too many", -left)
	}
	return made, nil
}

func newAttribute(name, value string) (*attribute, error) {
	if name == "" || len(name) > maxAttributeName || strings.IndexByte(name, 0) >= 0 {
		return nil, fmt.Errorf("an extended attribute's name of %d bytes cannot be", len(name))
	}
	switch name {
	case "system.posix_acl_access", "system.posix_acl_default":
		acl, err := diskACL(value)
		space := byte(spaceAccessACL)
		if name == "system.posix_acl_default" {
			space = spaceDefaultACL
		}
		return &attribute{space: space, value: acl}, err
	}
	for _, prefix := range bookkeeping {
		if strings.HasPrefix(name, prefix) {
			return nil, nil
		}
	}
	for _, s := range spaces {
		if rest, found := strings.CutPrefix(name, s.prefix); found && rest != "" {
			return &attribute{s.space, rest, value}, nil
		}
	}
	return nil, nil
}

// diskACL turns an access control list from the form that programs see (linux/posix_acl_xattr.h) into that of ext4 (fs/ext4/acl.h),
// in which only entries for named users and groups carry an id.
func diskACL(value string) (string, error) {
	const version, entrySize, user, group = 2, 8, 0x02, 0x08
	wrong := fmt.Errorf("an access control list of %d bytes is malformed", len(value))
	if len(value) < 4 || (len(value)-4)%entrySize != 0 || order.Uint32([]byte(value)) != version {
		return "", wrong
	}
	made := order.AppendUint32(nil, 1)
	for rest := []byte(value[4:]); len(rest) > 0; rest = rest[entrySize:] {
		made = append(made, rest[:4]...)
		switch tag := order.Uint16(rest); tag {
		case user, group:
			made = append(made, rest[4:entrySize]...)
		case 0x01, 0x04, 0x10, 0x20:
		default:
			return "", wrong
		}
	}
	return string(made), nil
}

func (a attribute) size() int { return attributeEntry + align(len(a.name)) + align(len(a.value)) }

func align(length int) int { return (length + 3) &^ 3 }

// inline is what stands in the inode behind its fields.
func (a *attributes) inline() []byte {
	if a == nil || a.inodes == 0 {
		return nil
	}
	area := make([]byte, inlineAttributes)
	order.PutUint32(area, attributeMagic)
	lay(a.list[:a.inodes], area[4:], 0)
	return area
}

// block is what stands in a block of its own, if anything does.
func (a *attributes) block() []byte {
	if a == nil || a.inodes == len(a.list) {
		return nil
	}
	area := make([]byte, blockSize)
	order.PutUint32(area[0:], attributeMagic)
	order.PutUint32(area[4:], 1) // used by one inode
	order.PutUint32(area[8:], 1) // one block
	lay(a.list[a.inodes:], area[attributeHeader:], attributeHeader)
	return area
}

// lay writes entries from the area's start and their values from its end. Offsets count from base bytes before the area.
func lay(list []attribute, area []byte, base int) {
	at, end := 0, len(area)
	for _, a := range list {
		end -= align(len(a.value))
		entry := area[at:]
		entry[0], entry[1] = byte(len(a.name)), a.space
		if len(a.value) > 0 {
			order.PutUint16(entry[2:], uint16(end+base))
		}
		order.PutUint32(entry[8:], uint32(len(a.value)))
		order.PutUint32(entry[12:], a.hash())
		copy(entry[attributeEntry:], a.name)
		copy(area[end:], a.value)
		at += attributeEntry + align(len(a.name))
	}
}

// hash is ext4_xattr_hash_entry of the kernel.
func (a attribute) hash() uint32 {
	var hash uint32
	for i := range len(a.name) {
		hash = hash<<5 ^ hash>>27 ^ uint32(a.name[i])
	}
	value := make([]byte, align(len(a.value)))
	copy(value, a.value)
	for ; len(value) > 0; value = value[4:] {
		hash = hash<<16 ^ hash>>16 ^ order.Uint32(value)
	}
	return hash
}

// stamp is a time in ext4's form: 34 bits of seconds from 1901 to 2446, and nanoseconds.
type stamp struct{ base, extra uint32 }

// newStamp takes the nearest time that ext4 can tell.
func newStamp(seconds int64, nanoseconds int) stamp {
	const earliest, latest = math.MinInt32, math.MinInt32 + 1<<34 - 1
	if seconds < earliest || seconds > latest {
		seconds, nanoseconds = min(max(seconds, earliest), latest), 0
	}
	epoch := (seconds - int64(int32(seconds))) >> 32
	return stamp{uint32(seconds), uint32(epoch)&3 | uint32(nanoseconds)<<2}
}

// with is a and other, whose values win.
func (a *attributes) with(other *attributes) (*attributes, error) {
	if a == nil {
		return other, nil
	}
	type name struct {
		space byte
		rest  string
	}
	both := map[name]attribute{}
	for _, from := range []*attributes{a, other} {
		for _, one := range from.list {
			both[name{one.space, one.name}] = one
		}
	}
	return arrange(slices.Collect(maps.Values(both)))
}
