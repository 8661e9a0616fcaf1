package main

import (
	"fmt"
	"strings"
)

const (
	whiteoutPrefix = ".wh."
	// Names that AUFS keeps its books under; one of them has a meaning in layers.
	metadataPrefix = whiteoutPrefix + whiteoutPrefix
	opaqueMarker   = metadataPrefix + ".opq"
)

// whiteoutOf tells whether a name in a layer hides something (OCI image specification, "Whiteouts"), or means nothing: then the
// change is nil.
func whiteoutOf(name string) (made *change, whiteout bool, err error) {
	parent, base := split(name)
	if base == opaqueMarker {
		made = &change{name: parent, act: actHideAll}
	} else if hidden, is := strings.CutPrefix(base, whiteoutPrefix); is && !strings.HasPrefix(base, metadataPrefix) {
		if hidden == "" || hidden == "." || hidden == ".." {
			return nil, false, malformed(name)
		}
		made = &change{name: strings.TrimPrefix(parent+"/"+hidden, "/"), act: actHide}
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, metadataPrefix) && part != opaqueMarker {
			return nil, true, nil
		}
	}
	for part := range strings.SplitSeq(parent, "/") {
		if strings.HasPrefix(part, whiteoutPrefix) {
			return nil, false, malformed(name)
		}
	}
	return made, made != nil, nil
}

func malformed(name string) error {
	return &failure{Code: codeBadPath, Message: fmt.Sprintf("%q is no whiteout that can be", name)}
}

// apply makes the changes of one layer. Its whiteouts hide only what lower layers have brought, wherever they stand in the
// archive; so they come first.
func (t *tree) apply(layer []change, failed func(change, error) error) error {
	placed := directoriesPlaced(layer)
	for _, c := range layer {
		if c.act == actHide || c.act == actHideAll {
			t.hide(c, placed)
		}
	}
	for _, c := range layer {
		var err error
		switch c.act {
		case actPlace:
			err = t.place(c.name, c.node)
		case actLink:
			err = t.linkAndDescribe(c)
		}
		if err != nil {
			return failed(c, err)
		}
	}
	return nil
}

// directoriesPlaced are those directories of the layer in which it hides something.
func directoriesPlaced(layer []change) map[string]bool {
	var placed map[string]bool
	for _, c := range layer {
		for at := c.hidesIn(); at != ""; at, _ = split(at) {
			if placed == nil {
				placed = map[string]bool{}
			}
			placed[at] = false
		}
	}
	for _, c := range layer {
		if _, asked := placed[c.name]; asked && c.act == actPlace {
			placed[c.name] = c.node.kind() == kindDirectory
		}
	}
	return placed
}

// hidesIn is the directory of a whiteout.
func (c change) hidesIn() string {
	switch c.act {
	case actHide:
		parent, _ := split(c.name)
		return parent
	case actHideAll:
		return c.name
	}
	return ""
}

// hide takes away what a whiteout hides. Where nothing is, or no directory, nothing is hidden.
func (t *tree) hide(c change, placed map[string]bool) {
	in := c.hidesIn()
	// A directory of this layer in the place of a link or a file has nothing of lower layers in it; the link's other end is not
	// meant.
	for at := in; at != ""; at, _ = split(at) {
		if !placed[at] {
			continue
		}
		if was, err := t.find(at); err != nil || was == nil || was.kind() != kindDirectory {
			return
		}
	}
	directory, err := t.walk(in, nil)
	if err != nil || directory == nil {
		return
	}
	if c.act == actHide {
		_, base := split(c.name)
		t.remove(directory, base)
		return
	}
	for name := range directory.children {
		t.remove(directory, name)
	}
}

// linkAndDescribe is how container engines apply a hard link: its owner, mode and times become the file's.
func (t *tree) linkAndDescribe(c change) error {
	n, err := t.link(c.name, c.target, c.node)
	if err != nil {
		return err
	}
	mode := n.mode
	n.describe(c.node)
	if n.kind() == kindSymlink {
		n.mode = mode
	}
	if c.node.attributes != nil {
		n.attributes, err = n.attributes.with(c.node.attributes)
	}
	return err
}
