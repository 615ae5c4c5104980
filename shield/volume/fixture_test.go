// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"io"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

var testKey = make([]byte, 32)

func testOptions(t testing.TB) store.Options {
	t.Helper()
	keys, err := store.NewKeys(testKey, [16]byte{1}, 1, store.PolicyEncrypted)
	if err != nil {
		t.Fatal(err)
	}
	return store.Options{Keys: keys, CheckpointAfter: -1}
}

// fixture is a volume on an image in memory, and a clock that never shows the same time twice.
type fixture struct {
	*Volume
	image store.Backing
	limit int64
	nodes int // unused ones that stay in the cache
	ticks atomic.Int64
}

func (f *fixture) now() time.Time { return time.Unix(1_700_000_000, f.ticks.Add(1)) }

// newFixture makes a volume on an image of so many blocks, which is checked at the end.
func newFixture(t testing.TB, blocks int64) *fixture {
	t.Helper()
	f := formatted(t, store.NewMemory(blocks*blockSize), blocks)
	t.Cleanup(func() { f.check(t) })
	return f
}

func formatted(t testing.TB, image store.Backing, blocks int64) *fixture {
	t.Helper()
	f := &fixture{image: image, limit: blocks * blockSize}
	s, err := store.Create(f.image, testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	start := TimeOf(f.now())
	if err := Format(s, Attributes{Mode: 0o755, Accessed: start, Modified: start, Changed: start, Created: start}); err != nil {
		t.Fatal(err)
	}
	if f.Volume, err = Open(s, f.now); err != nil {
		t.Fatal(err)
	}
	f.nodes = f.cache.limit
	return f
}

func (f *fixture) open(t testing.TB) {
	t.Helper()
	s, err := store.Open(f.image, testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	if f.Volume, err = Open(s, f.now); err != nil {
		t.Fatal(err)
	}
	f.cache.limit = f.nodes
}

func (f *fixture) reopen(t testing.TB) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.open(t)
}

// crash opens a copy of the image as the last Sync left it, without closing the volume.
func (f *fixture) crash(t testing.TB) {
	t.Helper()
	if err := f.store.Sync(); err != nil {
		t.Fatal(err)
	}
	size, _ := f.image.Size()
	bytes := make([]byte, size)
	if _, err := f.image.ReadAt(bytes, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	f.image = store.NewMemory(f.limit)
	if err := f.image.Resize(size); err != nil {
		t.Fatal(err)
	}
	if _, err := f.image.WriteAt(bytes, 0); err != nil {
		t.Fatal(err)
	}
	f.open(t)
}

// check wants inodes, names and blocks to fit together, every byte to authenticate, and no block to be lost.
func (f *fixture) check(t testing.TB) {
	t.Helper()
	if leaked := f.checkAfterCrash(t); leaked != 0 {
		t.Errorf("%d blocks are taken, and nothing refers to them", leaked)
	}
}

// checkAfterCrash is check where blocks may have been written whose batch never came.
func (f *fixture) checkAfterCrash(t testing.TB) (leaked uint64) {
	t.Helper()
	if err := f.Check(func(finding string) { t.Error(finding) }); err != nil {
		t.Error(err)
	}
	report, err := f.store.Verify(func(_, _ uint64) {}, Blocks)
	if err != nil {
		t.Error(err)
	}
	return report.Leaked
}

// disk is an image that remembers which writes no Sync has made durable yet.
type disk struct {
	sync.Mutex
	size    int64
	durable map[int64][]byte // block -> its bytes
	now     map[int64][]byte
	pending []int64     // blocks written since the last Sync
	observe func(*disk) // called with the lock held after writes and syncs
}

func newDisk(size int64) *disk {
	return &disk{size: size, durable: map[int64][]byte{}, now: map[int64][]byte{}}
}

func (d *disk) ReadAt(p []byte, offset int64) (int, error) {
	d.Lock()
	defer d.Unlock()
	for i := 0; i < len(p); i += blockSize {
		if offset+int64(i) >= d.size {
			return i, io.EOF
		}
		if block := d.now[offset/blockSize+int64(i/blockSize)]; block != nil {
			copy(p[i:], block)
		} else {
			clear(p[i:min(i+blockSize, len(p))])
		}
	}
	return len(p), nil
}

func (d *disk) WriteAt(p []byte, offset int64) (int, error) {
	d.Lock()
	defer d.Unlock()
	for i := 0; i < len(p); i += blockSize {
		at := offset/blockSize + int64(i/blockSize)
		d.now[at] = append([]byte(nil), p[i:i+blockSize]...)
		d.pending = append(d.pending, at)
	}
	d.observed()
	return len(p), nil
}

func (d *disk) Sync() error {
	d.Lock()
	defer d.Unlock()
	for _, at := range d.pending {
		d.durable[at] = d.now[at]
	}
	d.pending = d.pending[:0]
	d.observed()
	return nil
}

func (d *disk) observed() {
	if d.observe != nil {
		d.observe(d)
	}
}

// after returns what a power cut leaves: what was durable, and some of what was written since.
func (d *disk) after(random *rand.Rand) *disk {
	image := maps.Clone(d.durable)
	for _, at := range d.pending {
		if random.IntN(2) == 0 {
			image[at] = d.now[at]
		}
	}
	return &disk{size: d.size, durable: image, now: maps.Clone(image)}
}

func (d *disk) Size() (int64, error) { d.Lock(); defer d.Unlock(); return d.size, nil }
func (d *disk) Resize(size int64) error {
	d.Lock()
	defer d.Unlock()
	d.size = size
	return nil
}
func (d *disk) Available() (int64, error) { return 1 << 30, nil }
func (d *disk) Close() error              { return nil }
