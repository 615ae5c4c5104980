// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// bzImage wraps a compressed payload as the kernel's build does.
func bzImage(payload []byte, size uint32) []byte {
	image := make([]byte, 2*sector)
	image[setupSectors] = 1
	copy(image[headerMagic:], "HdrS")
	binary.LittleEndian.PutUint16(image[headerVersion:], 0x20f)
	binary.LittleEndian.PutUint32(image[payloadOffset:], 16)
	binary.LittleEndian.PutUint32(image[payloadLength:], uint32(len(payload)+4))
	image = append(image, make([]byte, 16)...) // code in front of the payload
	image = append(image, payload...)
	image = binary.LittleEndian.AppendUint32(image, size)
	return append(image, "code behind it"...)
}

func kernelContents() []byte {
	return append([]byte("\x7fELF"), bytes.Repeat([]byte("the kernel "), 1_000_000)...) // more than one LZ4 block
}

func compressors(t testing.TB) map[string]func([]byte) []byte {
	return map[string]func([]byte) []byte{
		"gzip": func(data []byte) []byte {
			var output bytes.Buffer
			writer := gzip.NewWriter(&output)
			if _, err := writer.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := writer.Close(); err != nil {
				t.Fatal(err)
			}
			return output.Bytes()
		},
		"zstd": func(data []byte) []byte {
			writer, err := zstd.NewWriter(nil)
			if err != nil {
				t.Fatal(err)
			}
			return writer.EncodeAll(data, nil)
		},
		"LZ4": func(data []byte) []byte { return legacyLZ4(t, data) },
	}
}

func legacyLZ4(t testing.TB, data []byte) []byte {
	output := []byte{0x02, 0x21, 0x4c, 0x18}
	for len(data) > 0 {
		part := data[:min(len(data), lz4Block)]
		data = data[len(part):]
		block := make([]byte, lz4.CompressBlockBound(len(part)))
		n, err := lz4.CompressBlock(part, block, nil)
		if err != nil {
			t.Fatal(err)
		}
		output = append(binary.LittleEndian.AppendUint32(output, uint32(n)), block[:n]...)
	}
	return output
}

func TestVmlinuxComesOutOfEachFormat(t *testing.T) {
	want := kernelContents()
	for name, compress := range compressors(t) {
		got, err := Vmlinux(bzImage(compress(want), uint32(len(want))))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func TestVmlinuxRefuses(t *testing.T) {
	contents := []byte("\x7fELF" + strings.Repeat("kernel", 100))
	for name, compress := range compressors(t) {
		payload := compress(contents)
		for problem, image := range map[string][]byte{
			"more than announced": bzImage(payload, uint32(len(contents)-1)),
			"less than announced": bzImage(payload, uint32(len(contents)+1)),
			"a huge size":         bzImage(payload, 1<<31),
			"a broken payload":    bzImage(payload[:len(payload)-3], uint32(len(contents))),
			"no ELF":              bzImage(compress([]byte(strings.Repeat("x", 100))), 100),
			"no end":              bzImage(payload, uint32(len(contents)))[:2*sector+20],
		} {
			if _, err := Vmlinux(image); err == nil {
				t.Errorf("%s: %s: no error", name, problem)
			}
		}
	}
	old := bzImage(nil, 0)
	binary.LittleEndian.PutUint16(old[headerVersion:], 0x207)
	for name, image := range map[string][]byte{
		"empty": nil, "no header": make([]byte, 4096), "old protocol": old, "unknown format": bzImage([]byte("\xfd7zXZ\x00abc"), 10),
	} {
		if _, err := Vmlinux(image); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzVmlinux(f *testing.F) {
	contents := []byte("\x7fELF" + strings.Repeat("kernel", 10))
	for _, compress := range compressors(f) {
		f.Add(compress(contents), uint32(len(contents)))
	}
	f.Fuzz(func(t *testing.T, payload []byte, size uint32) {
		if size > 1<<20 {
			return
		}
		if kernel, err := Vmlinux(bzImage(payload, size)); err == nil && len(kernel) != int(size) {
			t.Errorf("%d bytes instead of %d", len(kernel), size)
		}
	})
}
