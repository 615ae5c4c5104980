// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// recorder is a backing that keeps every write, so that a power cut at any of them can be played.
type recorder struct {
	Memory
	base    []byte // the image as the recording began, all of it on stable storage
	events  []event
	deaf    bool // Sync is not heard
	cutAt   int  // events after which the power is gone; 0: never
	anchors []anchorEvent
}

// event is one write, one resize or one sync.
type event struct {
	offset int64
	bytes  []byte // of a write
	size   int64  // of a resize
	sync   bool
}

// anchorEvent is what the anchor was told when there were so many events.
type anchorEvent struct {
	events int
	state  State
	commit bool
}

var errPowerCut = errors.New("the power is gone")

func newRecorder(image []byte) *recorder {
	r := &recorder{base: image}
	r.bytes, r.limit = bytes.Clone(image), 1<<30
	return r
}

func (r *recorder) dead() bool { return r.cutAt > 0 && len(r.events) >= r.cutAt }

func (r *recorder) WriteAt(p []byte, offset int64) (int, error) {
	if r.dead() {
		return 0, errPowerCut
	}
	r.events = append(r.events, event{offset: offset, bytes: bytes.Clone(p)})
	return r.Memory.WriteAt(p, offset)
}

func (r *recorder) Resize(size int64) error {
	if r.dead() {
		return errPowerCut
	}
	r.events = append(r.events, event{size: size})
	return r.Memory.Resize(size)
}

func (r *recorder) Sync() error {
	if r.dead() {
		return errPowerCut
	}
	if !r.deaf {
		r.events = append(r.events, event{sync: true})
	}
	return nil
}

// recorder is its own anchor too: a file beside the image, durable at each Commit.

func (r *recorder) Load([16]byte) (State, error) {
	if len(r.anchors) == 0 {
		return State{}, nil
	}
	return r.anchors[len(r.anchors)-1].state, nil
}

func (r *recorder) Note(_ [16]byte, s State) error {
	r.anchors = append(r.anchors, anchorEvent{len(r.events), s, false})
	return nil
}

func (r *recorder) Commit(_ [16]byte, s State) error {
	if r.dead() {
		return errPowerCut
	}
	r.anchors = append(r.anchors, anchorEvent{len(r.events), s, true})
	return nil
}

// after is the image and the anchor that a power cut after n events may leave: what was synced, and of what was written since any part, in
// any order, by sectors of 512 bytes.
func (r *recorder) after(n int, random *rand.Rand) ([]byte, State) {
	synced := 0
	for i := range n {
		if r.events[i].sync {
			synced = i + 1
		}
	}
	image := play(r.base, r.events[:synced])
	since := slices.Clone(r.events[synced:n])
	for i := range since { // a resize is in place before anything beyond the old end can be
		if since[i].bytes == nil && random.IntN(2) == 0 {
			image = play(image, since[i:i+1])
		}
	}
	random.Shuffle(len(since), func(i, j int) { since[i], since[j] = since[j], since[i] })
	for _, e := range since {
		for at := 0; at < len(e.bytes); at += BlockSize {
			block := e.bytes[at:min(at+BlockSize, len(e.bytes))]
			switch random.IntN(4) {
			case 0:
				continue
			case 1: // torn
				for sector := 0; sector < len(block); sector += 512 {
					if random.IntN(2) == 0 && e.offset+int64(at+sector+512) <= int64(len(image)) {
						copy(image[e.offset+int64(at+sector):], block[sector:sector+512])
					}
				}
			default:
				if e.offset+int64(at+len(block)) <= int64(len(image)) {
					copy(image[e.offset+int64(at):], block)
				}
			}
		}
	}
	var known []State // that the anchor may have: the last commit, or anything noted since
	for _, a := range r.anchors {
		if a.events > n {
			break
		}
		if a.commit {
			known = nil
		}
		known = append(known, a.state)
	}
	if len(known) == 0 {
		return image, State{}
	}
	return image, known[random.IntN(len(known))]
}

func play(image []byte, events []event) []byte {
	image = bytes.Clone(image)
	for _, e := range events {
		switch {
		case e.sync:
		case e.bytes != nil:
			copy(image[e.offset:], e.bytes)
		default:
			image = append(image[:min(e.size, int64(len(image)))], make([]byte, max(0, e.size-int64(len(image))))...)
		}
	}
	return image
}

// digest stands for all that a model, or a store, holds.
func (m *model) digest() [32]byte {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(m.values)) {
		digestOne(h, []byte(key), m.values[key], m.blocks)
	}
	return [32]byte(h.Sum(nil))
}

func digestOne(h io.Writer, key, value []byte, blocks map[Location][32]byte) {
	fmt.Fprintf(h, "%d %d ", len(key), len(value))
	_, _ = h.Write(key)
	_, _ = h.Write(value)
	if key[0] == 'B' {
		digest := blocks[keyLocation(key)]
		_, _ = h.Write(digest[:])
	}
}

func keyLocation(key []byte) Location {
	return Location{binary.BigEndian.Uint64(key[1:]), binary.BigEndian.Uint64(key[9:])}
}

// contents reads a store into a model.
func contents(s *Store) (*model, error) {
	m := newModel()
	var fault error
	err := s.Scan(nil, nil, func(key, value []byte) bool {
		m.values[string(key)] = bytes.Clone(value)
		if key[0] == 'B' {
			block := make([]byte, BlockSize)
			at := keyLocation(key)
			fault = s.ReadBlocks(at, []Pointer{Pointer(value)}, block)
			m.blocks[at] = sha256.Sum256(block)
		}
		return fault == nil
	})
	return m, errors.Join(err, fault)
}

// history is what a workload did: the digest after each batch, and how many batches were durable after so many events.
type history struct {
	digests []([32]byte)
	durable []durablePoint
}

type durablePoint struct{ events, batches int }

func (h *history) at(events int) int {
	batches := 0
	for _, p := range h.durable {
		if p.events <= events {
			batches = p.batches
		}
	}
	return batches
}

// work runs a workload on a recorded store until the power is cut or it is done.
func work(t testing.TB, s *Store, backing *recorder, m *model, random *rand.Rand, steps int) history {
	h := history{digests: [][32]byte{m.digest()}, durable: []durablePoint{{len(backing.events), 0}}}
	for range steps {
		if err := m.step(t, s, random); err != nil {
			if errors.Is(err, errPowerCut) || backing.dead() {
				return h
			}
			t.Fatal(err)
		}
		h.digests = append(h.digests, m.digest())
		var err error
		switch random.IntN(8) {
		case 0:
			err = s.Checkpoint()
		case 1, 2, 3:
			err = s.Sync()
		default:
			continue
		}
		if err != nil {
			return h
		}
		h.durable = append(h.durable, durablePoint{len(backing.events), len(h.digests) - 1})
	}
	return h
}

// survived opens what a crash left and says which state of the history it is.
func survived(backing *recorder, o Options, h history, cut int) (*Store, *model, error) {
	s, err := Open(backing, o)
	if err != nil {
		return nil, nil, fmt.Errorf("opening: %w", err)
	}
	stop(s)
	m, err := contents(s)
	if err != nil {
		return nil, nil, err
	}
	least, digest := h.at(cut), m.digest()
	for i := least; i < len(h.digests); i++ {
		if h.digests[i] == digest {
			return s, m, spaceIsExact(s, m)
		}
	}
	for i := range least {
		if h.digests[i] == digest {
			return nil, nil, fmt.Errorf("the state after batch %d is back, and batch %d was synced", i, least)
		}
	}
	return nil, nil, errors.New("a state that never was")
}

func testOptions(t testing.TB, backing *recorder) Options {
	return Options{Keys: testKeys(t, PolicyEncrypted), Anchor: backing, CachePages: 64, CheckpointAfter: -1}
}

// crash plays one cut: a workload, the crash, and then, on what is left, another workload that is cut too, in the middle of the recovery as likely
// as not.
func crash(t *testing.T, seed uint64, deaf, power bool) error {
	random := rand.New(rand.NewPCG(seed, 1))
	backing := newRecorder(nil)
	s, err := Create(backing, testOptions(t, backing))
	if err != nil {
		t.Fatal(err)
	}
	stop(s)
	m := newModel()
	for round := range 3 {
		backing.deaf = deaf
		begun := len(backing.events)
		steps := 5 + random.IntN(40)
		h := work(t, s, backing, m, random, steps)
		cut := begun + random.IntN(len(backing.events)-begun+1)
		if backing.dead() {
			cut = len(backing.events)
		}
		var image []byte
		var known State
		if power {
			image, known = backing.after(cut, random)
		} else { // the process was killed: the kernel has every write
			image = play(backing.base, backing.events[:cut])
			for _, a := range backing.anchors {
				if a.events <= cut {
					known = a.state
				}
			}
		}
		next := newRecorder(image)
		next.anchors = []anchorEvent{{0, known, true}}
		if random.IntN(2) == 0 { // first an opening that is cut off itself
			next.cutAt = 1 + random.IntN(4)
			if s, err := Open(next, testOptions(t, next)); err == nil {
				stop(s)
			} else if !errors.Is(err, errPowerCut) {
				return fmt.Errorf("seed %d, round %d: opening: %w", seed, round, err)
			}
			image, known = next.after(len(next.events), random)
			next = newRecorder(image)
			next.anchors = []anchorEvent{{0, known, true}}
		}
		if s, m, err = survived(next, testOptions(t, next), h, cut); err != nil {
			return fmt.Errorf("seed %d, round %d, cut at %d of %d: %w", seed, round, cut, len(backing.events), err)
		}
		backing = next
	}
	return nil
}

// stop ends a store's goroutine as a killed process would end.
func stop(s *Store) {
	close(s.done)
	s.ended.Wait()
}

var crashes = flag.Uint64("crashes", 60, "workloads of each crash test: of three cuts each, about half of them with a second one during the recovery")

func TestPowerCutLeavesWhatWasSyncedAndNothingElse(t *testing.T) {
	for seed := range *crashes {
		if err := crash(t, seed, false, true); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKillLeavesWhatWasSyncedAndTheAnchorAgrees(t *testing.T) {
	for seed := range *crashes {
		if err := crash(t, seed, false, false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCrashTestSeesStorageThatDoesNotHearSync(t *testing.T) {
	for seed := range uint64(50) {
		if crash(t, seed, true, true) != nil {
			return
		}
	}
	t.Error("50 runs on storage that ignores Sync, and each of them kept everything")
}
