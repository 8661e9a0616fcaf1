package main

import (
	"encoding/binary"
	"math/bits"
)

// The layout is that of the kernel's Documentation/filesystems/ext4: block groups with flexible places for their metadata, no
// journal, no checksums, and the mark that makes the file system read-only for ever. Inode tables and bitmaps stand together at
// the image's end.

const (
	inodeSize      = 256
	inodesPerBlock = blockSize / inodeSize
	maxInodesGroup = 8 * blockSize
	rootInode      = 2
	// Numbers below belong to the file system itself.
	firstInode = 11

	superblockOffset = 1024
	superblockMagic  = 0xEF53

	compatExtAttr      = 0x8
	compatSparseSuper2 = 0x200
	incompatFiletype   = 0x2
	incompatExtents    = 0x40
	incompatFlexBg     = 0x200
	roCompatLargeFile  = 0x2
	roCompatDirNlink   = 0x20
	roCompatExtraIsize = 0x40
	roCompatReadonly   = 0x1000
)

var order = binary.LittleEndian

// finish writes the tree below root and completes the image. It returns what the file system takes; the file may be shorter.
func (d *disk) finish(root *node) (int64, error) {
	t := &inodeTable{disk: d, root: root}
	if err := t.number(root); err != nil {
		return 0, err
	}
	if err := t.directory(root, root); err != nil {
		return 0, err
	}
	g := geometryFor(d.next, int64(t.last()))
	tableStart := d.next
	if err := t.write(g.groups * g.inodesPerGroup / inodesPerBlock); err != nil {
		return 0, err
	}
	bitmapStart := d.next
	g.blocks = max(bitmapStart+2*g.groups, (g.groups-1)*blocksPerGroup+1)
	if g.blocks > d.limit {
		return 0, overLimit("the disk", inBytes(d.limit*blockSize))
	}
	usedDescriptors := ceil(g.groups*descriptorSize, blockSize)
	blockMap := d.blockMap(g, bitmapStart+2*g.groups, usedDescriptors)
	descriptors := make([]byte, usedDescriptors*blockSize)
	var freeBlocks, freeInodes uint32
	for group := range g.groups {
		inodes, directories := t.inodeMap(group, g.inodesPerGroup)
		blocks := blockMap[group*blockSize : (group+1)*blockSize]
		if _, err := d.put(blocks); err != nil {
			return 0, err
		}
		if _, err := d.put(inodes); err != nil {
			return 0, err
		}
		freeHere, freeInodesHere := countZeros(blocks), countZeros(inodes)
		freeBlocks += freeHere
		freeInodes += freeInodesHere
		entry := descriptors[group*descriptorSize:]
		order.PutUint32(entry[0:], uint32(bitmapStart+2*group))
		order.PutUint32(entry[4:], uint32(bitmapStart+2*group+1))
		order.PutUint32(entry[8:], uint32(tableStart+group*g.inodesPerGroup/inodesPerBlock))
		order.PutUint16(entry[12:], uint16(freeHere))
		order.PutUint16(entry[14:], uint16(freeInodesHere))
		order.PutUint16(entry[16:], uint16(directories))
	}
	if err := d.buffer.Flush(); err != nil {
		return 0, err
	}
	if _, err := d.file.WriteAt(descriptors, blockSize); err != nil {
		return 0, err
	}
	if _, err := d.file.WriteAt(superblock(g, freeBlocks, freeInodes), superblockOffset); err != nil {
		return 0, err
	}
	d.punch()
	return g.blocks * blockSize, nil
}

type geometry struct {
	blocks, groups, inodesPerGroup int64
}

// geometryFor finds how many groups hold so many blocks, so many inodes, and the metadata of the groups themselves.
func geometryFor(used, inodes int64) geometry {
	for groups := max(1, ceil(inodes, maxInodesGroup)); ; groups++ {
		perGroup := ceil(ceil(inodes, groups), inodesPerBlock) * inodesPerBlock
		blocks := used + groups*(perGroup/inodesPerBlock+2)
		if ceil(blocks, blocksPerGroup) <= groups {
			return geometry{groups: groups, inodesPerGroup: perGroup}
		}
	}
}

// blockMap marks what is used: all up to end but descriptors that were not needed and files that are gone, and what lies behind
// the last block.
func (d *disk) blockMap(g geometry, end, usedDescriptors int64) []byte {
	used := make([]byte, g.groups*blockSize)
	setBits(used, 0, end)
	clearBits(used, 1+usedDescriptors, 1+d.descriptors)
	for _, e := range d.freed {
		clearBits(used, int64(e.physical), int64(e.physical)+int64(e.length))
	}
	setBits(used, g.blocks, g.groups*blocksPerGroup)
	return used
}

func setBits(bitmap []byte, from, to int64) {
	for ; from < to && from%8 != 0; from++ {
		bitmap[from/8] |= 1 << (from % 8)
	}
	for ; from+8 <= to; from += 8 {
		bitmap[from/8] = 0xff
	}
	for ; from < to; from++ {
		bitmap[from/8] |= 1 << (from % 8)
	}
}

func clearBits(bitmap []byte, from, to int64) {
	for ; from < to; from++ {
		bitmap[from/8] &^= 1 << (from % 8)
	}
}

func countZeros(bitmap []byte) uint32 {
	var zeros int
	for at := 0; at < len(bitmap); at += 8 {
		zeros += bits.OnesCount64(^order.Uint64(bitmap[at:]))
	}
	return uint32(zeros)
}

func superblock(g geometry, freeBlocks, freeInodes uint32) []byte {
	s := make([]byte, 1024)
	u16 := func(at int, value uint16) { order.PutUint16(s[at:], value) }
	u32 := func(at int, value uint32) { order.PutUint32(s[at:], value) }
	u32(0x00, uint32(g.groups*g.inodesPerGroup))
	u32(0x04, uint32(g.blocks))
	u32(0x0c, freeBlocks)
	u32(0x10, freeInodes)
	u32(0x18, 2) // a block has 2^(10+2) bytes
	u32(0x1c, 2) // a cluster, too
	u32(0x20, blocksPerGroup)
	u32(0x24, blocksPerGroup)
	u32(0x28, uint32(g.inodesPerGroup))
	u16(0x38, superblockMagic)
	u16(0x3a, 1) // unmounted cleanly
	u16(0x3c, 1) // go on after an error
	u32(0x4c, 1) // inodes have a size of their own
	u32(0x54, firstInode)
	u16(0x58, inodeSize)
	u32(0x5c, compatExtAttr|compatSparseSuper2)
	u32(0x60, incompatFiletype|incompatExtents|incompatFlexBg)
	u32(0x64, roCompatLargeFile|roCompatDirNlink|roCompatExtraIsize|roCompatReadonly)
	u16(0x15c, extraInodeSize)
	u16(0x15e, extraInodeSize)
	s[0x174] = 31 // all groups are one flexible group
	return s
}
