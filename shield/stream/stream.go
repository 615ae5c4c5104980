// SPDX-License-Identifier: Apache-2.0

// Package stream seals what a container prints, so that the engine's log, and whoever reads it on the way, has ciphertext.
//
// The engines' logs are lists of text lines, which they time, wrap in JSON and print again with others between them. So a sealed stream is lines of their kind,
// each below 16 KiB, where Docker and the CRI would cut it:
//
//	bulkhead.1.h.ID.AGE          the beginning: an age file for the recipients, with the stream's key and name
//	bulkhead.1.f.ID.N.FRAME      frame N, counted from 0
//
// AGE and FRAME are base64 (RFC 4648 section 5, without padding). ID is the first 8 bytes of AGE's SHA-256, in hexadecimal. A frame is AES-256-GCM under the stream's key, fresh for
// each stream, with N as the nonce (96 bits, big endian) and "bulkhead.1.f." + ID as additional data. What is sealed is
//
//	kind       1 byte    0: output, 1: the end, without output
//	time       8 bytes   nanoseconds since 1970, big endian
//	length     4 bytes   of the output, big endian
//	output
//	zeros      to a multiple of 64 bytes
//
// Since N is authenticated and counts up, and the last frame says that it is the last, frames that were changed, dropped, repeated, put elsewhere or cut off at the end are
// found, and what the others hold is read all the same. A beginning names all streams of its run, so that a stream that is missing as a whole is found, too, unless all are.
package stream

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

const (
	prefix      = "bulkhead.1."
	keySize     = 32
	idSize      = 16 // hexadecimal digits
	blockSize   = 64 // bytes that a frame's content is padded to a multiple of
	contentHead = 1 + 8 + 4
	// maximumOutput is what one frame holds: its line is 4/3 of it, and has to stay below 16 KiB.
	maximumOutput = 8<<10 - contentHead
	// maximumLine is of a line that is read, with what an engine puts around it. A beginning may be longer than a frame, by its recipients.
	maximumLine = 64 << 10
)

const (
	kindOutput = iota
	kindEnd
)

// beginning is what the age file holds.
type beginning struct {
	Key       []byte   `json:"key"`
	Run       string   `json:"run"`    // the same for all streams of one run of the container
	Stream    string   `json:"stream"` // one of Streams
	Streams   []string `json:"streams"`
	Container string   `json:"container"`
}

func (b *beginning) check() error {
	if len(b.Key) != keySize || b.Stream == "" || len(b.Streams) > 8 {
		return errors.New("the stream's beginning is malformed")
	}
	return nil
}

var encoding = base64.RawURLEncoding.Strict()

func idOf(sealed []byte) string {
	sum := sha256.Sum256(sealed)
	return hex.EncodeToString(sum[:idSize/2])
}

// frames seals and opens the frames of one stream.
type frames struct {
	aead       cipher.AEAD
	additional []byte
}

func newFrames(key []byte, id string) (*frames, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &frames{aead, []byte(prefix + "f." + id)}, err
}

func nonce(number uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 4, 12), number) }

// content is one frame's, opened.
type content struct {
	kind   byte
	time   int64 // nanoseconds since 1970
	output []byte
}

func (f *frames) seal(number uint64, c content) []byte {
	size := (contentHead + len(c.output) + blockSize - 1) / blockSize * blockSize
	plain := make([]byte, contentHead, size)
	plain[0] = c.kind
	binary.BigEndian.PutUint64(plain[1:], uint64(c.time))
	binary.BigEndian.PutUint32(plain[9:], uint32(len(c.output)))
	plain = append(plain, c.output...)[:size]
	return f.aead.Seal(nil, nonce(number), plain, f.additional)
}

var errDamaged = errors.New("damaged")

func (f *frames) open(number uint64, sealed []byte) (content, error) {
	plain, err := f.aead.Open(nil, nonce(number), sealed, f.additional)
	if err != nil {
		return content{}, errDamaged
	}
	if len(plain) < contentHead || plain[0] > kindEnd {
		return content{}, fmt.Errorf("%w: content of %d bytes", errDamaged, len(plain))
	}
	length := binary.BigEndian.Uint32(plain[9:])
	if uint64(length) > uint64(len(plain)-contentHead) {
		return content{}, fmt.Errorf("%w: output of %d bytes in %d", errDamaged, length, len(plain))
	}
	return content{plain[0], int64(binary.BigEndian.Uint64(plain[1:])), plain[contentHead : contentHead+length]}, nil
}
