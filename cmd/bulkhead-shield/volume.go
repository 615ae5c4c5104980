// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"

	"github.com/bulkhead-project/bulkhead/shield/anchor"
	"github.com/bulkhead-project/bulkhead/shield/process"
	"github.com/bulkhead-project/bulkhead/shield/secret"
	"github.com/bulkhead-project/bulkhead/shield/store"
	"github.com/bulkhead-project/bulkhead/shield/volume"
)

// keys are what the creator hands over, used.
type keys struct {
	store  store.Keys
	anchor store.Anchor // nil without one
}

// receiveKeys reads the master key and makes of it the keys of the volume and of its anchor, of which the master key is none. It stands in memory that no swap device
// gets, and is overwritten.
func receiveKeys(control *os.File, setup process.Setup) (used keys, err error) {
	size := process.MasterSize
	if setup.Anchor == process.AnchorTPM {
		size *= 2
	}
	received, err := secret.New(size)
	if err != nil {
		return used, err
	}
	defer received.Wipe()
	if _, err := io.ReadFull(control, received.Bytes()); err != nil {
		return used, process.ErrEnded
	}
	master, password := received.Bytes()[:process.MasterSize], received.Bytes()[process.MasterSize:]
	if used.store, err = store.NewKeys(master, setup.Volume, setup.Version, setup.Policy); err != nil || setup.Anchor == process.AnchorNone {
		return used, err
	}
	file, err := anchor.NewFile(os.NewFile(process.Anchor, "anchor"), master, setup.Volume)
	if err != nil || setup.Anchor == process.AnchorFile {
		used.anchor = file
		return used, err
	}
	counter := &anchor.Counter{Device: os.NewFile(process.TPM, "TPM"), Index: setup.Counter, Auth: bytes.Clone(password)}
	used.anchor = anchor.NewTPM(file, counter, setup.AcceptRollback, time.Now)
	return used, nil
}

// opened is a volume and the store that it lies in.
type opened struct {
	*volume.Volume
	store *store.Store
}

// open opens the volume in an image, or makes an empty one in an empty image.
func open(setup process.Setup, keys keys, image *store.File) (*opened, error) {
	options := store.Options{Keys: keys.store, Anchor: keys.anchor, AcceptRollback: setup.AcceptRollback, ReadOnly: setup.ReadOnly || setup.Verify}
	make := store.Open
	if setup.Ephemeral {
		make = store.Create
	}
	s, err := make(image, options)
	if err != nil {
		return nil, errors.Join(err, image.Close())
	}
	if setup.Ephemeral {
		now := volume.TimeOf(time.Now())
		if err := volume.Format(s, volume.Attributes{Mode: 0o755, Accessed: now, Modified: now, Changed: now, Created: now}); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	v, err := volume.Open(s, time.Now)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &opened{v, s}, nil
}

// progressPause is between two words to the creator on how far a verification is.
const progressPause = 100 * time.Millisecond

// verify reads every block, and tells the creator how far it is; then it compares what the file system says of itself.
func (o *opened) verify(control *os.File) error {
	told := time.Now()
	_, err := o.store.Verify(func(done, total uint64) {
		if now := time.Now(); now.Sub(told) >= progressPause {
			told = now
			process.Send(control, process.Reply{Done: done, Total: total}) // a creator that is gone asked for nothing
		}
	}, volume.Blocks)
	if err != nil {
		return err
	}
	const most = 20
	var found []error
	err = o.Check(func(finding string) {
		if len(found) < most {
			found = append(found, errors.New(finding))
		}
	})
	return errors.Join(append(found, err)...)
}

// kinds are the words for what is wrong with a volume.
var kinds = map[store.Kind]string{store.WrongKey: "wrong key", store.Tampered: "tampered", store.RolledBack: "rolled back", store.Busy: "busy", store.Full: "full",
	store.Lost: "lost", store.Format: "format", store.ReadOnly: "read-only"}

// describe words an error for the creator.
func describe(err error) *process.Error {
	described := &process.Error{Kind: kinds[store.KindOf(err)], Reason: err.Error()}
	var fault *store.Error
	if errors.As(err, &fault) {
		described.Hint = fault.Hint
	}
	return described
}
