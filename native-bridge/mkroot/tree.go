package main

import (
	"fmt"
	"path"
	"strings"
)

type kind uint16

// The S_IFMT part of st_mode.
const (
	kindMask      kind = 0o170000
	kindFifo      kind = 0o010000
	kindCharacter kind = 0o020000
	kindDirectory kind = 0o040000
	kindBlock     kind = 0o060000
	kindRegular   kind = 0o100000
	kindSymlink   kind = 0o120000
)

func (k kind) directoryEntryType() byte {
	switch k {
	case kindRegular:
		return 1
	case kindDirectory:
		return 2
	case kindCharacter:
		return 3
	case kindBlock:
		return 4
	case kindFifo:
		return 5
	case kindSymlink:
		return 7
	}
	return 0
}

// node is a file of any kind. One with several names is in the tree several times.
type node struct {
	mode                uint16
	uid, gid            uint32
	links               uint32
	atime, ctime, mtime stamp
	size                int64
	major, minor        uint32
	attributes          *attributes
	children            map[string]*node
	extents             []extent
	target              string
	// Given by inodeTable.
	number, attributeBlock uint32
}

func (n *node) kind() kind { return kind(n.mode) & kindMask }

// describe takes over what another entry tells of the same file.
func (n *node) describe(by *node) {
	n.mode = n.mode&uint16(kindMask) | by.mode&modeBits
	n.uid, n.gid = by.uid, by.gid
	n.atime, n.ctime, n.mtime = by.atime, by.ctime, by.mtime
}

// tree is a file system in memory but for the contents of its files. Names are bytes; links are followed within the tree only.
type tree struct {
	root  *node
	depth int
	// release is told the blocks of each file that loses its last name.
	release func([]extent)
}

func newTree(maxDepth int, release func([]extent)) *tree {
	return &tree{root: &node{mode: uint16(kindDirectory) | 0o755}, depth: maxDepth, release: release}
}

const maxLinksFollowed = 40

// walk finds the directory at a path. It follows links as a process whose root is the tree's would. Directories that are missing
// are made where like is given, with its times; without it the result is nil then.
func (t *tree) walk(to string, like *node) (*node, error) {
	stack := []*node{t.root}
	followed := 0
	for to != "" {
		var name string
		name, to, _ = strings.Cut(to, "/")
		here := stack[len(stack)-1]
		switch name {
		case "", ".":
			continue
		case "..":
			stack = stack[:max(1, len(stack)-1)]
			continue
		}
		if len(name) > maxName {
			return nil, &failure{Code: codeBadPath, Message: fmt.Sprintf("a name of %d bytes; at most %d are possible", len(name), maxName)}
		}
		child := here.children[name]
		if child == nil {
			if like == nil {
				return nil, nil
			}
			child = &node{mode: uint16(kindDirectory) | 0o755, atime: like.atime, ctime: like.ctime, mtime: like.mtime}
			here.add(name, child)
		}
		switch child.kind() {
		case kindDirectory:
			if stack = append(stack, child); len(stack) > t.depth {
				return nil, overLimit("the depth of its directories", fmt.Sprint(t.depth))
			}
		case kindSymlink:
			if followed++; followed > maxLinksFollowed {
				return nil, &failure{Code: codeBadPath, Message: fmt.Sprintf("too many symbolic links on the way: %q", name)}
			}
			if strings.HasPrefix(child.target, "/") {
				stack = stack[:1]
			}
			to = child.target + "/" + to
		default:
			return nil, &failure{Code: codeBadPath, Message: fmt.Sprintf("it lies below %q, which is not a directory", name)}
		}
	}
	return stack[len(stack)-1], nil
}

func split(name string) (parent, base string) {
	parent, base = path.Split(name)
	return strings.TrimSuffix(parent, "/"), base
}

func (n *node) add(name string, child *node) {
	if n.children == nil {
		n.children = map[string]*node{}
	}
	// The name is a part of a longer text, which would stay in memory with it.
	n.children[strings.Clone(name)] = child
	child.links++
}

// remove takes away a name, and all below it.
func (t *tree) remove(from *node, name string) {
	child := from.children[name]
	if child == nil {
		return
	}
	delete(from.children, name)
	t.drop(child)
}

func (t *tree) drop(n *node) {
	if n.links--; n.links > 0 {
		return
	}
	t.release(n.extents)
	for _, child := range n.children {
		t.drop(child)
	}
}

// place puts a file where its entry says. What is there is replaced, except that a directory stays for a directory.
func (t *tree) place(name string, n *node) error {
	if name == "" {
		if n.kind() != kindDirectory {
			return &failure{Code: codeBadEntry, Message: "the root can only be a directory"}
		}
		t.root.describe(n)
		t.root.attributes = n.attributes
		return nil
	}
	parent, base := split(name)
	at, err := t.walk(parent, n)
	if err != nil {
		return err
	}
	if was := at.children[base]; was != nil && was.kind() == kindDirectory && n.kind() == kindDirectory {
		was.describe(n)
		was.attributes = n.attributes
		return nil
	}
	t.remove(at, base)
	at.add(base, n)
	return nil
}

// link gives the file at target one more name. It is taken as it stands: a symbolic link there is not followed.
func (t *tree) link(name, target string, like *node) (*node, error) {
	if name == "" {
		return nil, &failure{Code: codeBadEntry, Message: "the root can only be a directory"}
	}
	parent, base := split(name)
	at, err := t.walk(parent, like)
	if err != nil {
		return nil, err
	}
	// First the name goes, then the file is looked for: a link to itself leads to nothing.
	t.remove(at, base)
	found, err := t.find(target)
	if err != nil {
		return nil, err
	}
	switch {
	case found == nil:
		return nil, &failure{Code: codeBadEntry, Message: fmt.Sprintf("a hard link to %q, which is not there", target)}
	case found.kind() == kindDirectory:
		return nil, &failure{Code: codeBadEntry, Message: fmt.Sprintf("a hard link to %q, which is a directory", target)}
	case found.links >= maxLinks:
		return nil, overLimit("the number of one file's names", fmt.Sprint(maxLinks))
	}
	at.add(base, found)
	return found, nil
}

// find gives what is at a path, nil if nothing is.
func (t *tree) find(name string) (*node, error) {
	if name == "" {
		return t.root, nil
	}
	parent, base := split(name)
	at, err := t.walk(parent, nil)
	if err != nil || at == nil {
		return nil, err
	}
	return at.children[base], nil
}
