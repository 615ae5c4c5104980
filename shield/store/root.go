// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	formatVersion = 1
	rootBlocks    = 2
	logStart      = rootBlocks
	logBlocks     = 256
	firstFree     = logStart + logBlocks
	initialBlocks = 1024 // of a new image: 4 MiB

	rootClear  = 32 // magic, version, policy, zeros (6), key check
	rootSalt   = 32
	rootHeader = rootClear + rootSalt + tagSize
)

var rootMagic = [8]byte{'B', 'H', 'S', 'H', 'I', 'E', 'L', 'D'}

// image is what a root block seals: the whole state.
type image struct {
	epoch      uint64
	root       Pointer // of the tree; zero: it is empty
	level      uint8   // of that page
	clean      bool    // closed after it
	generation uint16  // of keys for data and pages
	blocks     uint64  // that the image has at least; if clean, exactly
	seals      uint64  // under the generation
}

const imageSize = 8 + len(Pointer{}) + 1 + 1 + 2 + 8 + 8

func (i image) encode(into []byte) {
	out := binary.BigEndian.AppendUint64(into[:0], i.epoch)
	out = append(append(out, i.root[:]...), i.level, 0)
	if i.clean {
		out[len(out)-1] = 1
	}
	out = binary.BigEndian.AppendUint16(out, i.generation)
	out = binary.BigEndian.AppendUint64(out, i.blocks)
	binary.BigEndian.AppendUint64(out, i.seals)
}

func decodeImage(b []byte) (i image, err error) {
	i.epoch, i.root = binary.BigEndian.Uint64(b), Pointer(b[8:])
	b = b[8+len(i.root):]
	i.level, i.clean, i.generation = b[0], b[1] == 1, binary.BigEndian.Uint16(b[2:])
	i.blocks, i.seals = binary.BigEndian.Uint64(b[4:]), binary.BigEndian.Uint64(b[12:])
	switch at := i.root.address(); {
	case b[1] > 1 || len(bytes.TrimLeft(b[20:], "\x00")) != 0:
		err = errors.New("bytes that no version of the format has")
	case i.epoch == 0 || i.blocks < firstFree || i.blocks >= 1<<addressBits:
		err = fmt.Errorf("epoch %d, %d blocks", i.epoch, i.blocks)
	case i.level >= maximumTree || at != 0 && at < firstFree || at >= i.blocks || at == 0 && (i.root != Pointer{} || i.level != 0):
		err = fmt.Errorf("a tree of %d levels at block %d", int(i.level)+1, at)
	}
	return i, err
}

// sealRoot makes the root block of a state. Its tag is the state's name.
func (k *keyring) sealRoot(i image) (block []byte, tag [16]byte, err error) {
	block = make([]byte, BlockSize+tagSize)
	copy(block, rootMagic[:])
	block[8], block[9] = formatVersion, k.keys.policy
	check := k.check()
	copy(block[16:], check[:])
	random(block[rootClear:][:rootSalt])
	box, err := k.ofRoot(block[rootClear:][:rootSalt])
	if err != nil {
		return nil, tag, err
	}
	plain := make([]byte, BlockSize-rootHeader)
	i.encode(plain)
	sealed := box.seal(make([]byte, 0, len(plain)+tagSize), make([]byte, nonceSize), plain, k.ofRootBlock(block, i.epoch%rootBlocks))
	tag = [16]byte(sealed[len(plain):])
	copy(block[rootClear+rootSalt:], tag[:])
	copy(block[rootHeader:], sealed[:len(plain)])
	return block[:BlockSize], tag, nil
}

// ofRootBlock is the additional data of a root block: the volume, what it is, what stands in the clear before it, and where it is.
func (k *keyring) ofRootBlock(block []byte, number uint64) []byte {
	out := append(append(make([]byte, 0, 64), k.keys.volume[:]...), 'R', byte(number))
	return append(out, block[:rootClear]...)
}

// openRoot reads root block number 0 or 1.
func (k *keyring) openRoot(block []byte, number uint64) (i image, tag [16]byte, err error) {
	where := fmt.Sprintf("block %d (root block)", number)
	if [8]byte(block) != rootMagic {
		what := "is not a root block"
		if len(bytes.TrimLeft(block, "\x00")) == 0 {
			what = "holds zeros only"
		}
		return i, tag, tampered(where, what)
	}
	if block[8] != formatVersion {
		return i, tag, &Error{Kind: Format, Place: where, What: fmt.Sprintf("format version %d, where %d is known", block[8], formatVersion), Hint: "use a newer bulkhead"}
	}
	if check := k.check(); !bytes.Equal(block[16:32], check[:]) {
		return i, tag, &Error{Kind: WrongKey, Place: where, What: "was made with another key, or for a header of other contents", Hint: "look whether header and image belong together, and whether the header was changed"}
	}
	box, err := k.ofRoot(block[rootClear:][:rootSalt])
	if err != nil {
		return i, tag, lost("the keys", err)
	}
	sealed := append(bytes.Clone(block[rootHeader:]), block[rootClear+rootSalt:][:tagSize]...)
	plain, err := box.open(nil, make([]byte, nonceSize), sealed, k.ofRootBlock(block, number))
	if err != nil {
		return i, tag, tampered(where, "does not authenticate")
	}
	if i, err = decodeImage(plain); err == nil && i.epoch%rootBlocks != number {
		err = fmt.Errorf("epoch %d", i.epoch)
	}
	if err != nil {
		return i, tag, &Error{Kind: Tampered, Place: where, Err: err}
	}
	return i, [16]byte(block[rootClear+rootSalt:]), nil
}
