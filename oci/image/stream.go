// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	maxWindow     = 128 << 20 // bytes of zstd history; `zstd --ultra --long=27` needs as much
	readBuffer    = 256 << 10
	progressEvery = 1 << 20 // bytes of a blob between two events
)

// stream reads a layer's tar and confirms both digests on the way.
type stream struct {
	layer   layer
	blob    *meter        // what the layer's open gives
	packed  *bufio.Reader // the same, buffered
	content *meter        // uncompressed
	close   func()
}

// newStream starts to read a layer; at most limit bytes of tar come out.
func newStream(ctx context.Context, source io.Reader, of layer, limit int64, progress func(done int64)) (*stream, error) {
	s := &stream{layer: of, close: func() {}}
	s.blob = newMeter(ctx, source, of.size, fmt.Errorf("is longer than the %d bytes in its manifest", of.size))
	s.blob.progress = progress
	s.packed = bufio.NewReaderSize(s.blob, readBuffer)
	plain, err := s.decompress()
	if err != nil {
		return nil, err
	}
	s.content = newMeter(ctx, plain, limit, fmt.Errorf("is larger than %d bytes unpacked", limit))
	return s, nil
}

// decompress goes by the content: media types and real compression disagree too often.
func (s *stream) decompress() (io.Reader, error) {
	magic, err := s.packed.Peek(4)
	switch {
	case err != nil && err != io.EOF:
		return nil, err
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(s.packed)
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		decoder, err := zstd.NewReader(s.packed, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		s.close = decoder.Close
		return decoder, nil
	}
	return s.packed, nil
}

func (s *stream) Read(p []byte) (int, error) { return s.content.Read(p) }

// finish reads what follows the end of the tar and compares size and digests.
func (s *stream) finish() error {
	if _, err := io.Copy(io.Discard, s.content); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, s.packed); err != nil {
		return err
	}
	if got := s.content.digest(); got != s.layer.diffID {
		return fmt.Errorf("its tar has digest %s, not the %s of the configuration", got, s.layer.diffID)
	}
	if s.blob.count != s.layer.size {
		return fmt.Errorf("has %d bytes, not the %d of its manifest", s.blob.count, s.layer.size)
	}
	if got := s.blob.digest(); s.layer.blob != (v1.Hash{}) && got != s.layer.blob {
		return fmt.Errorf("has digest %s", got)
	}
	return nil
}

// meter counts and digests what passes, up to a limit.
type meter struct {
	ctx      context.Context
	source   io.Reader
	sum      hash.Hash
	count    int64 // bytes so far
	limit    int64
	excess   error // if there are more bytes than limit
	progress func(int64)
	reported int64
}

func newMeter(ctx context.Context, source io.Reader, limit int64, excess error) *meter {
	return &meter{ctx: ctx, source: source, sum: sha256.New(), limit: limit, excess: excess}
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.source.Read(p)
	m.sum.Write(p[:n])
	m.count += int64(n)
	if m.count > m.limit {
		return 0, m.excess
	}
	if m.progress != nil && m.count-m.reported >= progressEvery {
		m.reported = m.count
		m.progress(m.count)
	}
	return n, err
}

func (m *meter) digest() v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(m.sum.Sum(nil))}
}

// cut makes an end in the middle of something an error of its own.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
