// SPDX-License-Identifier: Apache-2.0

package powercut

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

const (
	sector    = 512 // what a disk writes whole or not at all
	imageSize = 1 << 30
)

// recorder is an image in memory that keeps every write, so that its end at any of them can be played.
type recorder struct {
	*store.Memory
	mutex  sync.Mutex
	events []event
}

// event is a write, a change of the size, or a sync.
type event struct {
	offset int64
	bytes  []byte // of a write
	size   int64  // of a change of the size
	sync   bool
}

func newRecorder() *recorder { return &recorder{Memory: store.NewMemory(imageSize)} }

func (r *recorder) note(e event) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) count() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return len(r.events)
}

func (r *recorder) WriteAt(p []byte, offset int64) (int, error) {
	n, err := r.Memory.WriteAt(p, offset)
	r.note(event{offset: offset, bytes: bytes.Clone(p)})
	return n, err
}

func (r *recorder) Resize(size int64) error {
	err := r.Memory.Resize(size)
	if err == nil {
		r.note(event{size: size})
	}
	return err
}

// Sync is noted before it returns to whom it promises something.
func (r *recorder) Sync() error {
	r.note(event{sync: true})
	return nil
}

// player plays events onto an image, from the first on.
type player struct {
	events []event
	played int
	image  []byte
}

func apply(image []byte, e event) []byte {
	if e.bytes != nil {
		copy(image[e.offset:], e.bytes)
		return image
	}
	if e.size > int64(len(image)) {
		return append(image, make([]byte, e.size-int64(len(image)))...)
	} else if e.size > 0 {
		return image[:e.size]
	}
	return image
}

// killed is the image when the server alone ends after n events: the host keeps what it was given. n must not fall from call to call.
func (p *player) killed(n int) []byte {
	for ; p.played < n; p.played++ {
		p.image = apply(p.image, p.events[p.played])
	}
	return slices.Clone(p.image)
}

// unpowered is the image when the power goes after n events: what was synced, and of what was written since any sectors, in any order.
func (p *player) unpowered(n int, random *rand.Rand) []byte {
	synced := 0
	for i, e := range p.events[:n] {
		if e.sync {
			synced = i + 1
		}
	}
	image := p.killed(max(synced, p.played))
	since := slices.Clone(p.events[synced:n])
	for _, e := range since { // a new size is in place before what is written beyond the old one
		if e.bytes == nil {
			image = apply(image, e)
		}
	}
	random.Shuffle(len(since), func(i, j int) { since[i], since[j] = since[j], since[i] })
	for _, e := range since {
		for at := 0; at < len(e.bytes); {
			length := min([]int{sector, store.BlockSize, len(e.bytes)}[random.IntN(3)], len(e.bytes)-at)
			if random.IntN(3) > 0 && e.offset+int64(at+length) <= int64(len(image)) {
				copy(image[e.offset+int64(at):], e.bytes[at:at+length])
			}
			at += length
		}
	}
	return image
}
