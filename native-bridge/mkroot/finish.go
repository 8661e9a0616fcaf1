package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/Microsoft/hcsshim/ext4/tar2ext4"
)

const (
	blockSize = 4096
	// struct ext4_group_desc without the 64-bit half, and where bg_inode_bitmap_lo stands in it.
	groupDescriptorSize = 32
	inodeBitmapField    = 4
)

// finish brings the image into the form that e2fsck calls clean, and returns its size. tar2ext4 leaves the bits of an inode
// bitmap that stand for no inode at zero; ext4 wants them set. There are no metadata checksums to keep right.
func finish(image *os.File) (int64, error) {
	super, err := tar2ext4.ReadExt4SuperBlockReadSeeker(io.NewSectionReader(image, 0, blockSize))
	if err != nil {
		return 0, err
	}
	blocks, perGroup, inodes := super.BlocksCountLow, super.BlocksPerGroup, super.InodesPerGroup
	if super.LogBlockSize != 2 || perGroup == 0 || inodes > 8*blockSize {
		return 0, fmt.Errorf("unexpected geometry: blocks of 2^%d KiB, %d per group, %d inodes", super.LogBlockSize, perGroup, inodes)
	}
	groups := (int64(blocks) + int64(perGroup) - 1) / int64(perGroup)
	descriptors := make([]byte, groups*groupDescriptorSize)
	if _, err := image.ReadAt(descriptors, blockSize); err != nil {
		return 0, err
	}
	bitmap := make([]byte, blockSize)
	for group := range groups {
		at := int64(binary.LittleEndian.Uint32(descriptors[group*groupDescriptorSize+inodeBitmapField:])) * blockSize
		if _, err := image.ReadAt(bitmap, at); err != nil {
			return 0, err
		}
		for inode := inodes; inode < 8*blockSize; inode++ {
			bitmap[inode/8] |= 1 << (inode % 8)
		}
		if _, err := image.WriteAt(bitmap, at); err != nil {
			return 0, err
		}
	}
	return int64(blocks) * blockSize, nil
}
