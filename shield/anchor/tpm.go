// SPDX-License-Identifier: Apache-2.0

package anchor

import (
	"fmt"
	"time"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

// CountEvery is the shortest time between two counts of a TPM's counter while a volume is open: its memory bears some 100,000 of them.
const CountEvery = 30 * time.Minute

// TPM is a File whose records go with the value of a counter in a TPM, which nobody can turn back. A record of before the last count is refused, so that an older copy of
// file and volume together is found out. It counts at the first Commit after an opening, at that of closing, and at most every CountEvery in between: what may be put
// back unnoticed is a copy of since the last count.
//
// The record with the next value is durable before the counter counts. A crash between the two leaves a record that is one ahead, which no rollback does; Load counts
// then.
type TPM struct {
	*File
	counter *Counter
	accept  bool
	now     func() time.Time

	value   uint64    // of the counter
	counted time.Time // when it last counted for this opening; zero: not yet
}

// NewTPM lets a counter count along with a file. With accept, a record that does not go with the counter is taken all the same: for a new volume, and a restored backup.
func NewTPM(file *File, counter *Counter, accept bool, now func() time.Time) *TPM {
	return &TPM{File: file, counter: counter, accept: accept, now: now}
}

// Load returns the newest state, if it goes with the counter. Otherwise it is an error of kind RolledBack.
func (t *TPM) Load(volume [16]byte) (store.State, error) {
	newest, err := t.File.load(volume)
	if err != nil {
		return store.State{}, err
	}
	if t.value, err = t.counter.Read(); err != nil {
		return store.State{}, err
	}
	if newest.counter == t.value+1 {
		if err := t.counter.Increment(); err != nil {
			return store.State{}, err
		}
		t.value++
	}
	if newest.counter != t.value && !t.accept {
		return store.State{}, &store.Error{Kind: store.RolledBack, Place: "the anchor's file", What: fmt.Sprintf("goes with %d of the TPM's counter, which is at %d", newest.counter, t.value),
			Hint: "file and volume were replaced by older copies; if that was you, restoring a backup, open the volume once accepting the rollback"}
	}
	t.File.counter = t.value
	return newest.state, nil
}

// Commit makes the state durable, and counts where it is time.
func (t *TPM) Commit(volume [16]byte, s store.State) error {
	if now := t.now(); s.Clean || t.counted.IsZero() || now.Sub(t.counted) >= CountEvery {
		t.File.counter = t.value + 1
		t.counted = now
	}
	if err := t.File.Commit(volume, s); err != nil || t.File.counter == t.value {
		return err
	}
	if err := t.counter.Increment(); err != nil {
		return err
	}
	t.value++
	return nil
}
