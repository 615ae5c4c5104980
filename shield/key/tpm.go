// SPDX-License-Identifier: Apache-2.0

package key

import (
	"errors"
	"fmt"

	"github.com/bulkhead-project/bulkhead/shield/secret"
	"github.com/bulkhead-project/bulkhead/shield/tpm"
)

// TPM opens slots by a TPM 2.0, in the state of the machine that they were sealed to.
type TPM struct {
	Device *tpm.Device
	PCRs   []int // of the SHA-256 bank, rising: of a slot that is made
}

// Kind is KindTPM.
func (TPM) Kind() Kind { return KindTPM }

// Wrap has the TPM keep a random key.
func (t TPM) Wrap(slot *Slot) (*secret.Secret, error) {
	level, err := t.level(t.PCRs)
	if err != nil {
		return nil, err
	}
	wrapping, err := secret.Random(MasterSize)
	if err != nil {
		return nil, err
	}
	public, private, err := t.Device.Seal(wrapping, t.PCRs)
	if err != nil {
		wrapping.Wipe()
		return nil, err
	}
	slot.Kind, slot.PCRs, slot.Vouched, slot.Public, slot.Sealed = KindTPM, t.PCRs, level, public, private
	return wrapping, nil
}

// level is what the TPM vouches for now.
func (t TPM) level(registers []int) (Level, error) {
	whyNot, err := t.Device.Vouches(registers)
	if err != nil || whyNot != "" {
		return LevelNone, err
	}
	return LevelTPM, nil
}

// Open has the TPM release the slot's key. The level is reached if the TPM vouched for the machine when the key was sealed, and does now.
func (t TPM) Open(slot *Slot) (*secret.Secret, Level, error) {
	level, err := t.level(slot.PCRs)
	if err != nil {
		return nil, LevelNone, err
	}
	wrapping, err := t.Device.Unseal(slot.Public, slot.Sealed, slot.PCRs)
	switch {
	case errors.Is(err, tpm.ErrState):
		return nil, LevelNone, &Error{Fault: WrongState, Reason: fmt.Sprintf("slot %d was sealed to another state of this machine: registers %s of the TPM changed", slot.Number, FormatPCRs(slot.PCRs)),
			Hint: "start the machine as it was then, with the same firmware, settings and boot loader; or open the volume with another key, and rotate with --add-tpm and --remove"}
	case errors.Is(err, tpm.ErrOther):
		return nil, LevelNone, &Error{Fault: WrongKey, Reason: fmt.Sprintf("slot %d is not of this TPM", slot.Number), Err: err}
	}
	return wrapping, min(level, slot.Vouched), err
}
