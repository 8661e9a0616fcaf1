package main

const (
	extentMagic = 0xF30A
	extentSize  = 12
	// Entries in an inode, and in a block, beside the header.
	inodeExtents = 60/extentSize - 1
	blockExtents = blockSize/extentSize - 1
)

// extentTree writes the blocks of the tree that a file with many extents needs; its root goes into the inode.
func (t *inodeTable) extentTree(n *node) error {
	if len(n.extents) <= inodeExtents {
		return nil
	}
	level := leaves(n.extents)
	depth := 0
	var used uint32
	for ; len(level) > inodeExtents; depth++ {
		var above [][extentSize]byte
		for len(level) > 0 {
			count := min(len(level), blockExtents)
			block := make([]byte, blockSize)
			copy(block, extentNode(blockExtents, depth, level[:count]))
			at, err := t.disk.put(block)
			if err != nil {
				return err
			}
			used++
			// An index begins with the first block it leads to, as a leaf begins with its first block.
			var index [extentSize]byte
			copy(index[:4], level[0][:4])
			order.PutUint32(index[4:], at)
			above = append(above, index)
			level = level[count:]
		}
		level = above
	}
	if t.extentRoots == nil {
		t.extentRoots, t.blocks = map[*node][]byte{}, map[*node]uint32{}
	}
	t.extentRoots[n] = extentNode(inodeExtents, depth, level)
	t.blocks[n] = used
	return nil
}

func leaves(extents []extent) [][extentSize]byte {
	made := make([][extentSize]byte, len(extents))
	for i, e := range extents {
		order.PutUint32(made[i][0:], e.logical)
		order.PutUint16(made[i][4:], uint16(e.length))
		order.PutUint32(made[i][8:], e.physical)
	}
	return made
}

// extentNode is a header and its entries.
func extentNode(room, depth int, entries [][extentSize]byte) []byte {
	node := make([]byte, extentSize*(1+len(entries)))
	order.PutUint16(node[0:], extentMagic)
	order.PutUint16(node[2:], uint16(len(entries)))
	order.PutUint16(node[4:], uint16(room))
	order.PutUint16(node[6:], uint16(depth))
	for i, entry := range entries {
		copy(node[extentSize*(1+i):], entry[:])
	}
	return node
}
