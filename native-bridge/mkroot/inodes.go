package main

import (
	"maps"
	"slices"
)

const (
	// i_extra_isize: the fields up to i_projid. What is left of an inode holds extended attributes.
	extraInodeSize   = 32
	inlineAttributes = inodeSize - 128 - extraInodeSize

	flagExtents = 0x80000
	// The longest target that stands in the inode itself.
	maxFastSymlink = 59
	// EXT4_LINK_MAX. A directory with more subdirectories counts 1; a file cannot have more names.
	maxLinks = 65000
)

// inodeTable gives inodes their numbers and writes what belongs to each but does not fit into it.
type inodeTable struct {
	disk   *disk
	root   *node
	inodes []*node
	// The i_block fields of files with more extents than fit there.
	extentRoots map[*node][]byte
	blocks      map[*node]uint32
}

// last is the highest number in use.
func (t *inodeTable) last() uint32 { return max(firstInode, firstInode-1+uint32(len(t.inodes))) }

// number gives a node its inode, once however many names it has.
func (t *inodeTable) number(n *node) error {
	if n.number != 0 {
		return nil
	}
	if n == t.root {
		n.number = rootInode
	} else {
		t.inodes = append(t.inodes, n)
		n.number = firstInode - 1 + uint32(len(t.inodes))
	}
	if n.kind() == kindSymlink && len(n.target) > maxFastSymlink {
		block := make([]byte, blockSize)
		copy(block, n.target)
		at, err := t.disk.put(block)
		if err != nil {
			return err
		}
		n.extents = []extent{{0, at, 1}}
	}
	if block := n.attributes.block(); block != nil {
		at, err := t.disk.put(block)
		if err != nil {
			return err
		}
		n.attributeBlock = at
	}
	return t.extentTree(n)
}

// directory writes the entries of n, and all that is below it.
func (t *inodeTable) directory(n, parent *node) error {
	names := slices.Sorted(maps.Keys(n.children))
	n.links = 2
	entries := &directoryBlocks{disk: t.disk}
	entries.add(n, ".")
	entries.add(parent, "..")
	for _, name := range names {
		child := n.children[name]
		if err := t.number(child); err != nil {
			return err
		}
		if child.kind() == kindDirectory {
			n.links++
		}
		entries.add(child, name)
	}
	if n.links > maxLinks {
		n.links = 1
	}
	extents, size, err := entries.end()
	if err != nil {
		return err
	}
	n.extents, n.size = extents, size
	if err := t.extentTree(n); err != nil {
		return err
	}
	for _, name := range names {
		if child := n.children[name]; child.kind() == kindDirectory {
			if err := t.directory(child, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// directoryBlocks lays out a directory's entries, in blocks one after the other.
type directoryBlocks struct {
	disk    *disk
	block   []byte
	last    int
	extents []extent
	count   uint32
	err     error
}

func (b *directoryBlocks) add(n *node, name string) {
	length := (8 + len(name) + 3) &^ 3
	if len(b.block)+length > blockSize {
		b.flush()
	}
	b.last = len(b.block)
	b.block = append(b.block, make([]byte, length)...)
	entry := b.block[b.last:]
	order.PutUint32(entry, n.number)
	order.PutUint16(entry[4:], uint16(length))
	entry[6], entry[7] = byte(len(name)), n.kind().directoryEntryType()
	copy(entry[8:], name)
}

func (b *directoryBlocks) flush() {
	if b.err != nil {
		return
	}
	// The last entry reaches to the block's end.
	order.PutUint16(b.block[b.last+4:], uint16(blockSize-b.last))
	b.block = append(b.block, make([]byte, blockSize-len(b.block))...)
	at, err := b.disk.put(b.block)
	b.err = err
	b.extents = extend(b.extents, extent{b.count, at, 1})
	b.count++
	b.block = b.block[:0]
}

func (b *directoryBlocks) end() ([]extent, int64, error) {
	b.flush()
	return slices.Clip(b.extents), int64(b.count) * blockSize, b.err
}

// write writes so many blocks of inodes.
func (t *inodeTable) write(blocks int64) error {
	block := make([]byte, blockSize)
	end := t.disk.next + blocks
	for start := uint32(1); start <= t.last(); start += inodesPerBlock {
		clear(block)
		for i := range uint32(inodesPerBlock) {
			if n := t.at(start + i); n != nil {
				t.encode(n, block[i*inodeSize:(i+1)*inodeSize])
			}
		}
		if _, err := t.disk.put(block); err != nil {
			return err
		}
	}
	return t.disk.skip(end - t.disk.next)
}

func (t *inodeTable) at(number uint32) *node {
	switch {
	case number == rootInode:
		return t.root
	case number >= firstInode && number-firstInode < uint32(len(t.inodes)):
		return t.inodes[number-firstInode]
	}
	return nil
}

// inodeMap is the bitmap of a group's inodes, and how many of them are directories.
func (t *inodeTable) inodeMap(group, perGroup int64) ([]byte, int) {
	bitmap := make([]byte, blockSize)
	first := group*perGroup + 1
	setBits(bitmap, 0, min(max(int64(firstInode+len(t.inodes))-first, 0), perGroup))
	setBits(bitmap, 0, min(max(firstInode-first, 0), perGroup))
	setBits(bitmap, perGroup, 8*blockSize)
	directories := 0
	for number := first; number < first+perGroup; number++ {
		if n := t.at(uint32(number)); n != nil && n.kind() == kindDirectory {
			directories++
		}
	}
	return bitmap, directories
}

func (t *inodeTable) encode(n *node, to []byte) {
	u16 := func(at int, value uint16) { order.PutUint16(to[at:], value) }
	u32 := func(at int, value uint32) { order.PutUint32(to[at:], value) }
	u16(0x00, n.mode)
	u16(0x02, uint16(n.uid))
	u32(0x04, uint32(n.size))
	u32(0x08, n.atime.base)
	u32(0x0c, n.ctime.base)
	u32(0x10, n.mtime.base)
	u16(0x18, uint16(n.gid))
	u16(0x1a, uint16(n.links))
	u32(0x6c, uint32(n.size>>32))
	u16(0x78, uint16(n.uid>>16))
	u16(0x7a, uint16(n.gid>>16))
	u16(0x80, extraInodeSize)
	u32(0x84, n.ctime.extra)
	u32(0x88, n.mtime.extra)
	u32(0x8c, n.atime.extra)
	u32(0x90, n.mtime.base)
	u32(0x94, n.mtime.extra)

	blocks := t.blocks[n]
	for _, e := range n.extents {
		blocks += e.length
	}
	if n.attributeBlock != 0 {
		blocks++
		u32(0x68, n.attributeBlock)
	}
	u32(0x1c, blocks*(blockSize/512))
	copy(to[128+extraInodeSize:], n.attributes.inline())

	field := to[0x28 : 0x28+60]
	switch {
	case n.kind() == kindSymlink && len(n.target) <= maxFastSymlink:
		copy(field, n.target)
	case n.kind() == kindRegular || n.kind() == kindDirectory || n.kind() == kindSymlink:
		u32(0x20, flagExtents)
		if root, there := t.extentRoots[n]; there {
			copy(field, root)
		} else {
			copy(field, extentNode(inodeExtents, 0, leaves(n.extents)))
		}
	case n.kind() == kindCharacter || n.kind() == kindBlock:
		// The second form of device numbers: 12 bits and 20 bits.
		order.PutUint32(field[4:], n.minor&0xff|n.major<<8|(n.minor&^0xff)<<12)
	}
}
