// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/shield/key"
	"github.com/bulkhead-project/bulkhead/shield/secret"
)

func shieldRotate() *cobra.Command {
	var keys keyFlags
	var added newKeyFlags
	var removed []uint
	command := &cobra.Command{Use: "rotate [KEY] [--add-KEY]... [--remove SLOT]... VOLUME", Short: "change the keys of a volume, and not its data", Args: arguments(cobra.ExactArgs(1)),
		Long: "Change the keys that open a volume. KEY is one that opens it now. Data is not written anew, so that it takes no longer for large volumes, and the volume may be in\n" +
			"use. After a crash the volume is opened by the old keys or the new ones. The last key is not removed (exit status 4).\n\n" +
			"Who kept a copy of the former header and of a key that was removed opens the volume still: where a key was stolen, move the data into a new volume."}
	keys.add(command.Flags())
	added.add(command.Flags(), "add-")
	command.Flags().UintSliceVar(&removed, "remove", nil, "let the key of slot `N` open the volume no more; `bulkhead shield info` has the numbers")
	command.RunE = func(command *cobra.Command, args []string) (err error) {
		directory, out := args[0], command.ErrOrStderr()
		unlock, err := key.Lock(directory)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unlock()) }()
		header, unlocked, err := keys.unlock(directory, out)
		if err != nil {
			return err
		}
		defer unlocked.Master.Wipe()
		var secrets wiped
		defer secrets.wipe()
		defer func() { err = errors.Join(err, keys.device.close()) }()
		with, made, err := added.wrappers(&secrets, &keys.device, out)
		if err == nil && len(with)+len(removed) == 0 {
			err = usageError{errors.New("nothing to change: name a key to add, or a slot to remove")}
		}
		if err == nil {
			err = changeSlots(header, unlocked.Master, with, removed)
		}
		if err != nil {
			return errors.Join(err, removeAll(made))
		}
		if err := header.WriteFile(directory); err != nil { // it may be in place all the same: key files stay
			return err
		}
		return printSlots(command.OutOrStdout(), header)
	}
	return command
}

// changeSlots adds first, so that a volume's only key can be replaced.
func changeSlots(header *key.Header, master *secret.Secret, with []key.Wrapper, removed []uint) error {
	numbers := map[uint8]bool{}
	for _, slot := range header.Slots {
		numbers[slot.Number] = true
	}
	for _, wrapper := range with {
		if err := header.Add(master, wrapper); err != nil {
			return err
		}
	}
	for _, number := range removed {
		if number > key.MaximumSlots || !numbers[uint8(number)] {
			return &key.Error{Fault: key.NoSlot, Reason: fmt.Sprintf("there is no slot %d", number), Hint: "`bulkhead shield info` lists the slots"}
		}
		if err := header.Remove(master, uint8(number)); err != nil {
			return err
		}
	}
	return nil
}

func removeAll(paths []string) error {
	var err error
	for _, path := range paths {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
