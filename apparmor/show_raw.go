// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
)

// maximumLoaded bounds what DecodeLoaded decompresses; the kernel takes policy up to a few MB.
const maximumLoaded = 64 << 20

// DecodeLoaded reads policy as the kernel keeps it of a load: policy/profiles/NAME/raw_data under its securityfs is the stream that was written, which
// older kernels keep with zlib and newer ones with zstd, and print decompressed. A copy that is still compressed is read, too.
func DecodeLoaded(data []byte) (*binary.Policy, error) {
	var reader io.Reader
	switch {
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		decoder, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maximumLoaded))
		if err != nil {
			return nil, fmt.Errorf("loaded policy: %w", err)
		}
		defer decoder.Close()
		reader = decoder
	case len(data) > 2 && data[0]&0xf == 8 && (uint(data[0])<<8|uint(data[1]))%31 == 0:
		decoder, err := zlib.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("loaded policy: %w", err)
		}
		defer decoder.Close()
		reader = decoder
	default:
		return binary.Decode(data)
	}
	stream, err := io.ReadAll(io.LimitReader(reader, maximumLoaded+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("loaded policy: %w", err)
	case len(stream) > maximumLoaded:
		return nil, fmt.Errorf("loaded policy: more than %d bytes decompressed", maximumLoaded)
	}
	return binary.Decode(stream)
}
