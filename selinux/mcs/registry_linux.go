// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/bulkhead-project/bulkhead/selinux"
)

var (
	// ErrFull says that every pair of the registry's range is taken. Sweep may free some.
	ErrFull = errors.New("every category pair is taken")
	// ErrNotHeld says that the container to be updated does not hold the pair.
	ErrNotHeld = errors.New("pair is not held by this container")
)

// HeldError refuses a pair that another, living container holds.
type HeldError struct {
	Pair   Pair
	Holder Holder
	Owner  Owner // the node of a cluster that has it; of no node where it is this one
}

func (e *HeldError) Error() string {
	if e.Owner.Node != "" {
		return fmt.Sprintf("pair %s is held by node %q (%q)", e.Pair, e.Owner.Node, e.Owner.Holder)
	}
	return fmt.Sprintf("pair %s is held by container %q (runtime %q, pid %d)", e.Pair, e.Holder.ID, e.Holder.Runtime, e.Holder.PID)
}

// Registry is a directory of held pairs. Any number of processes use one at a time, each through a value of its own.
type Registry struct {
	Dir  string // made when a pair is first held; root's or the caller's own, writable by nobody else
	Proc string // where processes are looked up; "" for /proc

	// Low and High bound the categories that Take draws from; both 0 for all. Reserve is not bound by them.
	Low, High uint16

	// Elsewhere is where Take looks for pairs that others have, which it does not give; nil: nowhere. Who names a pair to Reserve knows why.
	Elsewhere *Elsewhere

	// Cluster is where nodes agree on pairs; nil: this host is alone. What then is held here is held there, too.
	Cluster *Cluster
}

// avoided is the pairs that others have.
func (r Registry) avoided() (*pairSet, error) {
	if r.Elsewhere == nil {
		return nil, nil
	}
	return r.Elsewhere.pairs()
}

func (r Registry) witness() witness { return newWitness(cmp.Or(r.Proc, "/proc")) }

// open opens the directory for everything that does not take a pair. It is nil when there is none yet: nothing is held.
func (r Registry) open() (*directory, error) {
	dir, err := openDirectory(r.Dir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return dir, err
}

// probes is how many random pairs Take tries before it reads which are free: with 90 of 100 pairs taken it needs ten, and 32 fail once in 30 times.
const probes = 32

// Take gives the holder a random pair that nobody has. Its cost does not depend on how many are held until nearly all
// are; then it reads the table of those that are, so that the last free pair is found. ErrFull when there is none.
func (r Registry) Take(h Holder) (Pair, error) {
	low, high, err := r.span()
	if err != nil {
		return Pair{}, err
	}
	avoid, err := r.avoided()
	if err != nil {
		return Pair{}, err
	}
	dir, err := openDirectory(r.Dir, true)
	if err != nil {
		return Pair{}, err
	}
	defer dir.close()
	if r.Cluster != nil {
		return r.takeAgreed(dir, h, low, high, avoid)
	}
	return takeHere(dir, h, low, high, avoid)
}

// takeHere takes a pair that is free in the directory and not to be avoided.
func takeHere(dir *directory, h Holder, low, high uint16, avoid *pairSet) (Pair, error) {
	draft, err := dir.draft([]Holder{h})
	if err != nil {
		return Pair{}, err
	}
	defer draft.close()
	for range probes {
		pair := randomPair(low, high)
		if avoid.has(pair) {
			continue
		}
		if taken, err := draft.publish(pair); taken || err != nil {
			return pair, err
		}
	}
	return takeFree(dir, draft, low, high, avoid)
}

func (r Registry) span() (low, high uint16, err error) {
	low, high = r.Low, r.High
	if low == 0 && high == 0 {
		high = selinux.MaxCategories - 1
	}
	if err := (Pair{low, high}).check(); err != nil {
		return 0, 0, fmt.Errorf("registry range: %w", err)
	}
	return low, high, nil
}

// randomPair draws one of the pairs between two categories, each as likely.
func randomPair(low, high uint16) Pair {
	for {
		a, b := randomBelow(high-low+1), randomBelow(high-low+1)
		if a != b {
			return Pair{low + min(a, b), low + max(a, b)}
		}
	}
}

// randomBelow draws from 0 to limit-1. It rejects what lies above the largest multiple of limit, so that no number is
// likelier than another.
func randomBelow(limit uint16) uint16 {
	var bytes [4]byte
	for {
		rand.Read(bytes[:])
		number := binary.NativeEndian.Uint32(bytes[:])
		if usable := (1 << 32) / uint64(limit) * uint64(limit); uint64(number) < usable {
			return uint16(number % uint32(limit))
		}
	}
}

// hints is how many pairs that the table shows as free are tried before the directory is listed.
const hints = 16

// takeFree tries pairs that the table shows to be free, and then all that a listing does, from a random one on.
func takeFree(dir *directory, draft *draft, low, high uint16, avoid *pairSet) (Pair, error) {
	if pair, taken, err := takeOneOf(draft, dir.readOccupied().free(low, high, avoid), hints); taken || err != nil {
		return pair, err
	}
	table, err := dir.recount()
	if err != nil {
		return Pair{}, err
	}
	pair, taken, err := takeOneOf(draft, table.free(low, high, avoid), Pairs)
	if !taken && err == nil {
		err = ErrFull
	}
	return pair, err
}

// takeOneOf tries at most limit of the pairs.
func takeOneOf(draft *draft, pairs []Pair, limit int) (Pair, bool, error) {
	if len(pairs) == 0 {
		return Pair{}, false, nil
	}
	start := int(binary.NativeEndian.Uint64(randomBytes()) % uint64(len(pairs)))
	for i := range min(limit, len(pairs)) {
		pair := pairs[(start+i)%len(pairs)]
		if taken, err := draft.publish(pair); taken || err != nil {
			return pair, taken, err
		}
	}
	return Pair{}, false, nil
}

func randomBytes() []byte {
	bytes := make([]byte, 8)
	rand.Read(bytes)
	return bytes
}

// Reserve gives the holder that very pair: a level asked for by name, or one held before a restart. Another living
// holder is a *HeldError, unless share is set: then both hold it, and the pair is free when both have released it or are
// gone. Volumes of a container that is gone are in nobody's way who names their pair. A container that holds it already is updated.
func (r Registry) Reserve(pair Pair, h Holder, share bool) error {
	if err := pair.check(); err != nil {
		return err
	}
	dir, err := openDirectory(r.Dir, true)
	if err != nil {
		return err
	}
	defer dir.close()
	witness := r.witness()
	var previous *Holder
	err = dir.change(pair, func(holders []Holder) ([]Holder, error) {
		previous, h.Pending = nil, r.Cluster != nil
		if i := indexOf(holders, h.ID); i >= 0 {
			previous, h.Pending = &holders[i], holders[i].Pending
			return replaced(holders, i, h), nil
		}
		if i := slices.IndexFunc(holders, witness.alive); i >= 0 && !share {
			return nil, &HeldError{Pair: pair, Holder: holders[i]}
		}
		// What it has for itself now need not be remembered of containers before it.
		return append(slices.DeleteFunc(witness.living(pair, holders), h.Succeeds), h), nil
	})
	if err != nil || r.Cluster == nil {
		return err
	}
	return r.agree(dir, pair, h, share, previous)
}

func replaced(holders []Holder, i int, h Holder) []Holder {
	holders = slices.Clone(holders)
	holders[i] = h
	return holders
}

// Update replaces what is known of a container that holds the pair, such as its process once that runs. Readers see the
// old or the new holder, never neither. ErrNotHeld when the container does not hold the pair.
func (r Registry) Update(pair Pair, h Holder) error {
	dir, err := r.open()
	if err != nil {
		return err
	}
	if dir == nil {
		return fmt.Errorf("%s: %w", filepath.Join(r.Dir, pair.String()), ErrNotHeld)
	}
	defer dir.close()
	return dir.change(pair, func(holders []Holder) ([]Holder, error) {
		i := indexOf(holders, h.ID)
		if i < 0 {
			return nil, dir.failure(pair.String(), ErrNotHeld)
		}
		return replaced(holders, i, h), nil
	})
}

// Release ends the container's hold of the pair. Those who share it keep it, and so do its volumes that have the label still. Releasing what is not held is no error.
func (r Registry) Release(pair Pair, id string) error {
	dir, err := r.open()
	if err != nil || dir == nil {
		return err
	}
	defer dir.close()
	left := false
	err = dir.change(pair, func(holders []Holder) ([]Holder, error) {
		left = false
		if i := indexOf(holders, id); i >= 0 {
			holders, left = r.emptied(without(pair, holders, i))
		}
		return holders, nil
	})
	if err == nil && left {
		// The container has ended whatever etcd says, and what is left there is freed by a sweep.
		r.tellLeft(dir, []Pair{pair})
	}
	return err
}

// Sweep ends the hold of every container that is gone and returns the pairs that this freed. Files that cannot be read
// or understood stay, and are named in the error; the rest is swept all the same.
func (r Registry) Sweep() ([]Pair, error) {
	entries, err := r.List()
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	dir, err := r.open()
	if err != nil || dir == nil {
		return nil, err
	}
	defer dir.close()
	witness := r.witness()
	var freed, left []Pair
	var failures []error
	for _, entry := range entries {
		free, leaves, err := r.sweepEntry(dir, witness, entry)
		if leaves {
			left = append(left, entry.Pair)
		} else if free {
			freed = append(freed, entry.Pair)
		}
		failures = append(failures, err)
	}
	if len(left) > 0 {
		told, err := r.tellLeft(dir, left)
		freed = append(freed, told...)
		failures = append(failures, err)
	}
	return freed, errors.Join(failures...)
}

// sweepEntry takes the lock only for an entry that seems to have a holder who is gone, and looks again under it. leaves is that nobody holds the pair any
// more and the cluster is to be told.
func (r Registry) sweepEntry(dir *directory, witness witness, entry Entry) (freed, leaves bool, err error) {
	if entry.Err != nil {
		return false, false, entry.Err
	}
	if slices.EqualFunc(witness.living(entry.Pair, entry.Holders), entry.Holders, Holder.equal) {
		return false, false, nil
	}
	err = dir.change(entry.Pair, func(holders []Holder) ([]Holder, error) {
		living := witness.living(entry.Pair, holders)
		freed = len(living) == 0 && len(holders) > 0
		living, leaves = r.emptied(living)
		return living, nil
	})
	return freed && err == nil, leaves && err == nil, err
}

// List returns every taken pair in rising order, those of containers that are gone included.
func (r Registry) List() ([]Entry, error) {
	dir, err := r.open()
	if err != nil || dir == nil {
		return nil, err
	}
	defer dir.close()
	var pairs []Pair
	if err := dir.pairs(func(pair Pair) { pairs = append(pairs, pair) }); err != nil {
		return nil, err
	}
	slices.SortFunc(pairs, Pair.compare)
	var entries []Entry
	for _, pair := range slices.Compact(pairs) {
		holders, err := dir.read(pair)
		if errors.Is(err, fs.ErrNotExist) {
			continue // released since the listing
		}
		entries = append(entries, Entry{pair, holders, err})
	}
	return entries, nil
}

// Who returns the entry of a pair, and false when the pair is free. A file that cannot be read or understood is an error.
func (r Registry) Who(pair Pair) (Entry, bool, error) {
	dir, err := r.open()
	if err != nil || dir == nil {
		return Entry{}, false, err
	}
	defer dir.close()
	holders, err := dir.read(pair)
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, false, nil
	}
	return Entry{pair, holders, err}, true, err
}
