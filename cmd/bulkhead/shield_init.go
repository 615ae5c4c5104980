// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/shield/anchor"
	"github.com/bulkhead-project/bulkhead/shield/key"
	"github.com/bulkhead-project/bulkhead/shield/secret"
	"github.com/bulkhead-project/bulkhead/shield/store"
	"github.com/bulkhead-project/bulkhead/shield/volume"
)

func shieldInit() *cobra.Command {
	var keys newKeyFlags
	var device tpmDevice
	var policyName, anchorName string
	command := &cobra.Command{Use: "init [KEY]... [OPTIONS] VOLUME", Short: "make an empty volume in a directory", Args: arguments(cobra.ExactArgs(1)),
		Long: "Make an empty volume in the directory VOLUME, which is made if it is not there, and let each KEY open it. A directory that has a volume is refused (exit status 4), and\n" +
			"so is a level that this machine cannot reach (3). The policy cannot be changed later; keys can, see rotate.\n\n" +
			"  encrypted      contents, names and attributes cannot be read outside, and no change of theirs goes unnoticed\n" +
			"  authenticated  contents can be read outside, and no change of theirs goes unnoticed\n" +
			"  ephemeral      encrypted, under a key that is stored nowhere: no KEY, and each mount begins with an empty volume"}
	keys.add(command.Flags(), "")
	device.add(command.Flags())
	command.Flags().StringVar(&policyName, "policy", "encrypted", "what the volume does for its content: `POLICY` is encrypted, authenticated or ephemeral")
	command.Flags().StringVar(&anchorName, "anchor", "", "where its freshness is kept: `ANCHOR` is file (the default), tpm: a counter of the TPM as well, or none")
	command.RunE = func(command *cobra.Command, args []string) error {
		policy, err := key.ParsePolicy(policyName)
		if err != nil {
			return usageError{fmt.Errorf("--%w", err)}
		}
		where, err := chooseAnchor(policy, anchorName)
		if err != nil {
			return err
		}
		n := newVolume{directory: args[0], policy: policy, anchor: where, device: &device}
		if err := errors.Join(n.make(&keys, command.ErrOrStderr()), device.close()); err != nil {
			return err
		}
		report, err := reportVolume(n.header, n.directory)
		if err != nil {
			return err
		}
		return printVolume(command.OutOrStdout(), report)
	}
	return command
}

// chooseAnchor is the anchor that was asked for. An ephemeral volume needs none: there is no older copy of it.
func chooseAnchor(policy key.Policy, name string) (key.Anchor, error) {
	switch {
	case name == "" && policy == key.Ephemeral:
		return key.AnchorNone, nil
	case name == "":
		return key.AnchorFile, nil
	}
	where, err := key.ParseAnchor(name)
	if err != nil {
		return 0, usageError{fmt.Errorf("--%w", err)}
	}
	if policy == key.Ephemeral && where != key.AnchorNone {
		return 0, usageError{errors.New("--anchor: an ephemeral volume begins anew with each mount, so that there is no older copy to tell it from")}
	}
	return where, nil
}

// newVolume is a volume that is being made.
type newVolume struct {
	directory string
	policy    key.Policy
	anchor    key.Anchor
	device    *tpmDevice
	header    *key.Header
	undo      []func() error // what was made so far, in its order
}

// make makes the volume: the header last, so that there is a volume or none.
func (n *newVolume) make(keys *newKeyFlags, out io.Writer) (err error) {
	defer func() {
		for i := len(n.undo) - 1; err != nil && i >= 0; i-- {
			err = errors.Join(err, n.undo[i]())
		}
	}()
	if err := n.makeDirectory(); err != nil {
		return err
	}
	unlock, err := key.Lock(n.directory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := n.isFree(); err != nil {
		return err
	}
	var secrets wiped
	defer secrets.wipe()
	with, made, err := keys.wrappers(&secrets, n.device, out)
	for _, path := range made {
		n.undo = append(n.undo, func() error { return os.Remove(path) })
	}
	if err != nil {
		return err
	}
	header, master, err := key.Create(n.policy, n.anchor, with...)
	if err != nil {
		return err
	}
	defer master.Wipe()
	n.header = header
	if n.policy != key.Ephemeral {
		if err := n.format(master); err != nil {
			return err
		}
	}
	n.undo = append(n.undo, func() error { return removeIfThere(filepath.Join(n.directory, key.FileName)) })
	return n.header.WriteFile(n.directory)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (n *newVolume) makeDirectory() error {
	err := os.Mkdir(n.directory, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		n.undo = append(n.undo, func() error { return os.Remove(n.directory) })
	}
	return err
}

// isFree refuses what would overwrite a volume.
func (n *newVolume) isFree() error {
	for _, name := range []string{key.FileName, shieldImage} {
		path := filepath.Join(n.directory, name)
		if _, err := os.Lstat(path); err == nil {
			return &key.Error{Fault: key.Refused, Reason: fmt.Sprintf("%s is there already", path), Hint: "name another directory; `bulkhead shield info` says what is in this one"}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// format makes the image, with an empty root directory that belongs to who makes it.
func (n *newVolume) format(master *secret.Secret) (err error) {
	keys, err := store.NewKeys(master.Bytes(), n.header.Volume, n.header.Version, uint8(n.policy))
	if err != nil {
		return err
	}
	defer keys.Wipe()
	fresh, err := n.openAnchor(master)
	if err != nil {
		return err
	}
	if fresh != nil {
		defer func() { err = errors.Join(err, fresh.Close()) }()
	}
	path := filepath.Join(n.directory, shieldImage)
	image, err := store.CreateFile(path)
	if err != nil {
		return err
	}
	n.undo = append(n.undo, func() error { return os.Remove(path) })
	s, err := store.Create(image, store.Options{Keys: keys, Anchor: fresh})
	if err != nil {
		return errors.Join(err, image.Close())
	}
	now := volume.TimeOf(time.Now())
	root := volume.Attributes{Mode: 0o755, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Accessed: now, Modified: now, Changed: now, Created: now}
	return errors.Join(volume.Format(s, root), s.Close())
}

// openAnchor makes the anchor; nil for none.
func (n *newVolume) openAnchor(master *secret.Secret) (store.Anchor, error) {
	if n.anchor == key.AnchorNone {
		return nil, nil
	}
	directory, err := anchor.Directory()
	if err != nil {
		return nil, err
	}
	storage, err := anchor.OpenFile(directory, n.header.Volume)
	if err != nil {
		return nil, err
	}
	n.undo = append(n.undo, func() error { return os.Remove(storage.Name()) })
	file, err := anchor.NewFile(storage, master.Bytes(), n.header.Volume)
	if err != nil {
		return nil, errors.Join(err, storage.Close())
	}
	if n.anchor == key.AnchorFile {
		return file, nil
	}
	counter, err := n.makeCounter(master)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return anchor.NewTPM(file, counter, true, time.Now), nil
}

// makeCounter makes the TPM's counter and has it count once, without which it cannot be read.
func (n *newVolume) makeCounter(master *secret.Secret) (*anchor.Counter, error) {
	device, err := n.device.open()
	if err != nil {
		return nil, err
	}
	password, err := n.header.Derive(master, "counter", key.MasterSize)
	if err != nil {
		return nil, err
	}
	index, err := device.MakeCounter(password)
	if err != nil {
		return nil, err
	}
	n.undo = append(n.undo, func() error { return device.RemoveCounter(index) })
	n.header.SetCounter(master, index)
	counter := &anchor.Counter{Device: device.ReadWriter(), Index: index, Auth: password}
	return counter, counter.Increment()
}
