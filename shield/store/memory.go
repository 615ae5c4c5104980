// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"io"
	"slices"
	"sync"
)

// Memory is a backing in memory: an image that is gone with the process.
type Memory struct {
	mutex sync.RWMutex
	bytes []byte
	limit int64
}

// NewMemory is an empty image that can grow to limit bytes.
func NewMemory(limit int64) *Memory { return &Memory{limit: limit} }

// ReadAt is that of io.ReaderAt.
func (m *Memory) ReadAt(p []byte, offset int64) (int, error) {
	m.mutex.RLock()
	defer m.mutex.RUnlock()
	if offset < 0 || offset >= int64(len(m.bytes)) {
		return 0, io.EOF
	}
	n := copy(p, m.bytes[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt is that of io.WriterAt.
func (m *Memory) WriteAt(p []byte, offset int64) (int, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if end := offset + int64(len(p)); end > m.limit {
		return 0, &Error{Kind: Full, Place: "the image", What: fmt.Sprintf("may have %d bytes", m.limit)}
	} else if end > int64(len(m.bytes)) {
		m.reach(end)
	}
	return copy(m.bytes[offset:], p), nil
}

// Sync has nothing to do.
func (m *Memory) Sync() error { return nil }

// Size is in bytes.
func (m *Memory) Size() (int64, error) {
	m.mutex.RLock()
	defer m.mutex.RUnlock()
	return int64(len(m.bytes)), nil
}

// Resize appends zeros, or cuts off.
func (m *Memory) Resize(size int64) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if size > m.limit {
		return &Error{Kind: Full, Place: "the image", What: fmt.Sprintf("may have %d bytes", m.limit)}
	}
	m.reach(size)
	return nil
}

// reach makes the image so long; what is new is zero.
func (m *Memory) reach(size int64) {
	old := int64(len(m.bytes))
	m.bytes = slices.Grow(m.bytes, int(max(0, size-old)))[:size]
	if size > old {
		clear(m.bytes[old:])
	}
}

// Available is in bytes.
func (m *Memory) Available() (int64, error) {
	m.mutex.RLock()
	defer m.mutex.RUnlock()
	return m.limit - int64(len(m.bytes)), nil
}

// Close keeps the bytes, so that the image can be opened again.
func (m *Memory) Close() error { return nil }
