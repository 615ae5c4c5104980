// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Offsets in the x86 setup header; Documentation/arch/x86/boot.rst.
const (
	setupSectors   = 0x1f1 // byte; 0 means 4
	headerMagic    = 0x202 // "HdrS"
	headerVersion  = 0x206 // uint16; the payload fields came with 2.08
	payloadOffset  = 0x248 // uint32, from the start of the protected-mode code
	payloadLength  = 0x24c // uint32, with the size of the contents in its last 4 bytes
	setupHeaderEnd = 0x250
	sector         = 512

	maxVmlinux = 1 << 30   // bytes
	zstdWindow = 128 << 20 // bytes; what zstd --ultra -22 uses
	lz4Block   = 8 << 20   // bytes, uncompressed, of a block of the legacy format
)

// Vmlinux returns the ELF kernel inside a bzImage, compressed with zstd, LZ4 or
// gzip: QEMU starts it through PVH, which spares the guest the decompression.
func Vmlinux(image []byte) ([]byte, error) {
	payload, err := bzImagePayload(image)
	if err != nil {
		return nil, fmt.Errorf("bzImage: %w", err)
	}
	size := binary.LittleEndian.Uint32(payload[len(payload)-4:])
	if size > maxVmlinux {
		return nil, fmt.Errorf("bzImage: contents of %d bytes", size)
	}
	kernel, err := decompressKernel(payload[:len(payload)-4], int(size))
	if err != nil {
		return nil, fmt.Errorf("bzImage: payload: %w", err)
	}
	if len(kernel) != int(size) {
		return nil, fmt.Errorf("bzImage: payload of %d bytes instead of %d", len(kernel), size)
	}
	if !bytes.HasPrefix(kernel, []byte("\x7fELF")) {
		return nil, errors.New("bzImage: payload is no ELF file")
	}
	return kernel, nil
}

func bzImagePayload(image []byte) ([]byte, error) {
	if len(image) < setupHeaderEnd || string(image[headerMagic:headerMagic+4]) != "HdrS" {
		return nil, errors.New("no setup header")
	}
	if version := binary.LittleEndian.Uint16(image[headerVersion:]); version < 0x208 {
		return nil, fmt.Errorf("boot protocol %#x has no payload fields", version)
	}
	sectors := int64(image[setupSectors])
	if sectors == 0 {
		sectors = 4
	}
	start := (sectors+1)*sector + int64(binary.LittleEndian.Uint32(image[payloadOffset:]))
	length := int64(binary.LittleEndian.Uint32(image[payloadLength:]))
	if length < 8 || start+length > int64(len(image)) {
		return nil, fmt.Errorf("payload of %d bytes at %d in an image of %d bytes", length, start, len(image))
	}
	return image[start : start+length], nil
}

func decompressKernel(payload []byte, size int) ([]byte, error) {
	switch {
	case bytes.HasPrefix(payload, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		decoder, err := zstd.NewReader(bytes.NewReader(payload), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, err
		}
		defer decoder.Close()
		return readAtMost(decoder, size)
	case bytes.HasPrefix(payload, []byte{0x02, 0x21, 0x4c, 0x18}):
		return decompressLZ4(payload[4:], size)
	case bytes.HasPrefix(payload, []byte{0x1f, 0x8b}):
		decoder, err := gzip.NewReader(bytes.NewReader(payload))
		if err != nil {
			return nil, err
		}
		return readAtMost(decoder, size)
	}
	return nil, fmt.Errorf("magic %x is not zstd, LZ4 or gzip", payload[:4])
}

// decompressLZ4 reads the legacy frame: blocks with their compressed size in front.
func decompressLZ4(blocks []byte, size int) ([]byte, error) {
	var kernel []byte
	buffer := make([]byte, min(size, lz4Block))
	for len(blocks) > 0 {
		if len(blocks) < 4 {
			return nil, fmt.Errorf("LZ4: %d bytes after the last block", len(blocks))
		}
		length := int64(binary.LittleEndian.Uint32(blocks))
		blocks = blocks[4:]
		if length > int64(len(blocks)) {
			return nil, fmt.Errorf("LZ4: block of %d bytes where %d are left", length, len(blocks))
		}
		n, err := lz4.UncompressBlock(blocks[:length], buffer)
		if err != nil {
			return nil, fmt.Errorf("LZ4: block at %d: %w", len(kernel), err)
		}
		if len(kernel)+n > size {
			return nil, fmt.Errorf("LZ4: more than the announced %d bytes", size)
		}
		kernel = append(kernel, buffer[:n]...)
		blocks = blocks[length:]
	}
	return kernel, nil
}

func readAtMost(input io.Reader, size int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(input, int64(size)+1))
	if err == nil && len(data) > size {
		err = fmt.Errorf("more than the announced %d bytes", size)
	}
	return data, err
}
