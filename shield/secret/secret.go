// SPDX-License-Identifier: Apache-2.0

// Package secret keeps keys in memory of their own: outside of Go's heap, never on a swap device or in a core dump, and overwritten after use. Go's library copies keys
// that ciphers are made of to its heap; a Secret is the copy that the program itself keeps.
package secret

import (
	"crypto/rand"
	"fmt"
	"io"
	"runtime"
)

// maximum bounds what is read as a key, in bytes: half of what a process may lock where `ulimit -l` is lowest.
const maximum = 32 << 10

// Secret is bytes outside of Go's heap that never reach a swap device or a core dump, and that Wipe overwrites. It prints as "(secret)" and cannot be encoded.
type Secret struct {
	memory []byte // whole pages
	length int
}

// New returns length zero bytes.
func New(length int) (*Secret, error) {
	memory, err := lockedMemory(max(length, 1))
	if err != nil {
		return nil, fmt.Errorf("memory for a key: %w", err)
	}
	return &Secret{memory, length}, nil
}

// Random returns length random bytes.
func Random(length int) (*Secret, error) {
	s, err := New(length)
	if err == nil {
		rand.Read(s.Bytes()) // never fails (crypto/rand)
	}
	return s, err
}

// Take moves bytes into a Secret, and overwrites them.
func Take(bytes []byte) (*Secret, error) {
	defer wipe(bytes)
	s, err := New(len(bytes))
	if err == nil {
		copy(s.Bytes(), bytes)
	}
	return s, err
}

// Read reads to the end, at most 32 KiB.
func Read(from io.Reader) (*Secret, error) {
	whole, err := New(maximum + 1)
	if err != nil {
		return nil, err
	}
	defer whole.Wipe()
	length, err := io.ReadFull(from, whole.Bytes())
	switch {
	case err == nil:
		return nil, fmt.Errorf("more than %d bytes", maximum)
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		return nil, err
	}
	return Take(whole.Bytes()[:length])
}

// Bytes are the secret itself, until Wipe. They are not to be kept.
func (s *Secret) Bytes() []byte { return s.memory[:s.length] }

// Wipe overwrites the bytes and gives their memory back. A nil Secret, and one that was wiped, has nothing to do.
func (s *Secret) Wipe() {
	if s == nil || s.memory == nil {
		return
	}
	wipe(s.memory)
	unlockMemory(s.memory)
	s.memory, s.length = nil, 0
}

// wipe overwrites bytes. KeepAlive has the compiler take them for used, so that it may not leave the stores out.
func wipe(bytes []byte) {
	clear(bytes)
	runtime.KeepAlive(bytes)
}

// Format prints no secret, by whatever verb.
func (s *Secret) Format(state fmt.State, _ rune) { io.WriteString(state, "(secret)") }

// MarshalText refuses, and with it every encoder that asks.
func (s *Secret) MarshalText() ([]byte, error) { return nil, fmt.Errorf("a secret is not encoded") }
