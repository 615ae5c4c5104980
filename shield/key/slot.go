// SPDX-License-Identifier: Apache-2.0

package key

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/shield/secret"
)

// Kind is what opens a slot.
type Kind string

// Kinds.
const (
	KindPassphrase Kind = "passphrase"
	KindFile       Kind = "file"
	KindAge        Kind = "age"
	KindTPM        Kind = "tpm"
)

// Slot is the master key sealed for one key. Fields that are not of its kind are zero.
type Slot struct {
	Number uint8 // from 1
	Kind   Kind

	Salt      []byte // passphrase, file: 32 bytes
	Cost      Cost   // passphrase
	Recipient string // age: the public key, for people
	Sealed    []byte // age: the wrapping key as an age file; tpm: as TPM2B_PRIVATE
	Public    []byte // tpm: TPM2B_PUBLIC, with the digest of the policy
	PCRs      []int  // tpm: the registers of the policy, of the SHA-256 bank, rising
	Vouched   Level  // tpm: LevelTPM if it vouched for the machine when the key was sealed

	Key []byte // nonce, master key and tag of AES-256-GCM: 60 bytes
}

// Level is what a machine passes that opens the slot.
func (s *Slot) Level() Level {
	if s.Kind == KindTPM {
		return s.Vouched
	}
	return LevelNone
}

// Wrapper makes a slot for a key.
type Wrapper interface {
	// Wrap sets the slot's kind and the fields of that kind, and returns the 32-byte key that the master key is to be sealed under. The caller wipes it.
	Wrap(slot *Slot) (*secret.Secret, error)
}

// Opener has the keys of slots of one kind.
type Opener interface {
	Kind() Kind
	// Open returns the key that the slot's master key is sealed under, which the caller wipes, and what vouched for the machine. An *Error of fault WrongKey says that the
	// slot may be another key's; a key may turn out to be wrong later, when it does not open the master key.
	Open(slot *Slot) (*secret.Secret, Level, error)
}

const sealedSize = MasterSize + 12 + 16 // of Slot.Key: with nonce and tag

// sealKey seals the master key under a slot's key.
func sealKey(wrapping, master *secret.Secret, binding []byte) ([]byte, error) {
	aead, err := newAEAD(wrapping)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, master.Bytes(), binding), nil
}

// openKey opens what sealKey sealed.
func openKey(wrapping *secret.Secret, sealed, binding []byte) (*secret.Secret, error) {
	aead, err := newAEAD(wrapping)
	if err != nil {
		return nil, err
	}
	master, err := secret.New(MasterSize)
	if err != nil {
		return nil, err
	}
	if _, err := aead.Open(master.Bytes()[:0], nil, sealed, binding); err != nil {
		master.Wipe()
		return nil, &Error{Fault: WrongKey, Reason: "the key does not open the slot"}
	}
	return master, nil
}

func newAEAD(wrapping *secret.Secret) (cipher.AEAD, error) {
	block, err := aes.NewCipher(wrapping.Bytes())
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func faultOf(err error) Fault {
	var fault *Error
	if errors.As(err, &fault) {
		return fault.Fault
	}
	return 0
}

// options says how the command line names a key of a kind.
func (k Kind) option() string {
	switch k {
	case KindPassphrase:
		return "--passphrase"
	case KindFile:
		return "--key-file"
	case KindAge:
		return "--identity"
	case KindTPM:
		return "--tpm"
	}
	return ""
}

func (k Kind) noun() string {
	switch k {
	case KindPassphrase:
		return "a passphrase"
	case KindFile:
		return "a key file"
	case KindAge:
		return "an age identity"
	}
	return "the TPM"
}

// noSlot says that the volume is not opened by keys of these kinds, and which it is opened by.
func (h *Header) noSlot(with []Opener) error {
	var given, wanted, options []string
	for _, opener := range with {
		given = append(given, opener.Kind().noun())
	}
	for i := range h.Slots {
		kind := h.Slots[i].Kind
		if !slices.Contains(wanted, kind.noun()) {
			wanted, options = append(wanted, kind.noun()), append(options, kind.option())
		}
	}
	if len(given) == 0 {
		given = []string{"nothing"}
	}
	return &Error{Fault: NoSlot, Reason: fmt.Sprintf("the volume is opened by %s, not by %s", strings.Join(wanted, " or "), strings.Join(slices.Compact(given), " or ")),
		Hint: "name a key with " + strings.Join(options, " or ")}
}

// wrongKey says that no slot of the kinds that were tried opens.
func (h *Header) wrongKey(tried []*Slot) error {
	var names []string
	for _, slot := range tried {
		name := fmt.Sprintf("slot %d (%s)", slot.Number, slot.Kind)
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return &Error{Fault: WrongKey, Reason: "wrong key: it does not open " + strings.Join(names, ", "), Hint: "`bulkhead shield info` lists the keys that open the volume"}
}
