// SPDX-License-Identifier: Apache-2.0

package key

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/bulkhead-project/bulkhead/shield/secret"
)

// MaximumSlots is how many slots a header has at most.
const MaximumSlots = 16

// Header is what a volume's header file says.
type Header struct {
	Version uint8
	Volume  [16]byte // random; who the volume is
	Policy  Policy
	Anchor  Anchor
	Counter uint32 // the TPM's NV index of the counter, for AnchorTPM
	Slots   []Slot // in rising order of their numbers

	code [sha256.Size]byte // authenticates all of it, under a key of the master key
}

// Create makes the header of a new volume, and its master key, which the caller wipes. An ephemeral volume has no slots, every other one has one for each wrapper.
func Create(policy Policy, anchor Anchor, with ...Wrapper) (*Header, *secret.Secret, error) {
	h := &Header{Version: Version, Policy: policy, Anchor: anchor}
	rand.Read(h.Volume[:])
	if (policy == Ephemeral) != (len(with) == 0) {
		return nil, nil, &Error{Fault: Refused, Reason: fmt.Sprintf("the key of an ephemeral volume is stored nowhere, and that of any other for at least one key: policy %s with %d keys", policy, len(with)),
			Hint: "name a key, or the policy ephemeral and none"}
	}
	master, err := secret.Random(MasterSize)
	if err != nil {
		return nil, nil, err
	}
	h.seal(master)
	for _, wrapper := range with {
		if err := h.Add(master, wrapper); err != nil {
			master.Wipe()
			return nil, nil, err
		}
	}
	return h, master, nil
}

// Add makes a slot for another key. The volume is opened by it as by the others from when the header is written.
func (h *Header) Add(master *secret.Secret, wrapper Wrapper) error {
	number := h.freeNumber()
	if number > MaximumSlots {
		return &Error{Fault: Refused, Reason: fmt.Sprintf("all %d slots are taken", MaximumSlots), Hint: "remove one first"}
	}
	if h.Policy == Ephemeral {
		return &Error{Fault: Refused, Reason: "the key of an ephemeral volume is stored nowhere"}
	}
	slot := Slot{Number: number}
	wrapping, err := wrapper.Wrap(&slot)
	if err != nil {
		return err
	}
	defer wrapping.Wipe()
	if slot.Key, err = sealKey(wrapping, master, h.binding(&slot)); err != nil {
		return err
	}
	at, _ := slices.BinarySearchFunc(h.Slots, number, func(s Slot, n uint8) int { return int(s.Number) - int(n) })
	h.Slots = slices.Insert(h.Slots, at, slot)
	h.seal(master)
	return nil
}

// Remove takes a slot out: its key opens the volume no more, from when the header is written. The last one stays.
func (h *Header) Remove(master *secret.Secret, number uint8) error {
	at := slices.IndexFunc(h.Slots, func(s Slot) bool { return s.Number == number })
	switch {
	case at < 0:
		return &Error{Fault: NoSlot, Reason: fmt.Sprintf("there is no slot %d", number), Hint: "`bulkhead shield info` lists the slots"}
	case len(h.Slots) == 1:
		return &Error{Fault: Refused, Reason: fmt.Sprintf("slot %d is the last: without it nobody opens the volume again", number), Hint: "add another key first"}
	}
	h.Slots = slices.Delete(h.Slots, at, at+1)
	h.seal(master)
	return nil
}

// SetCounter names the NV index of the counter that anchors the volume.
func (h *Header) SetCounter(master *secret.Secret, index uint32) {
	h.Counter = index
	h.seal(master)
}

func (h *Header) freeNumber() uint8 {
	number := uint8(1)
	for slices.ContainsFunc(h.Slots, func(s Slot) bool { return s.Number == number }) {
		number++
	}
	return number
}

// Unlocked is what a key opened.
type Unlocked struct {
	Master *secret.Secret // the caller wipes it
	Slot   uint8          // the number of the slot
	Level  Level          // what vouched for this machine when the key was released
}

// Unlock opens the first slot that one of the openers has the key of, and checks the header with the master key. Errors are of faults NoSlot, WrongKey, WrongState, NoKey,
// Tampered or Unavailable.
func (h *Header) Unlock(with ...Opener) (*Unlocked, error) {
	if h.Policy == Ephemeral {
		return nil, &Error{Fault: NoKey, Reason: "the key of this ephemeral volume was stored nowhere", Hint: "what was in it is gone; make a new volume"}
	}
	var tried []*Slot
	var last error // the most telling error of an opener
	for _, opener := range with {
		for i := range h.Slots {
			slot := &h.Slots[i]
			if slot.Kind != opener.Kind() {
				continue
			}
			tried = append(tried, slot)
			unlocked, err := h.open(opener, slot)
			if err == nil {
				return unlocked, nil
			}
			if fault := faultOf(err); fault != WrongKey {
				last = err
			}
			if faultOf(err) == Tampered {
				return nil, err
			}
		}
	}
	switch {
	case last != nil:
		return nil, last
	case len(tried) == 0:
		return nil, h.noSlot(with)
	}
	return nil, h.wrongKey(tried)
}

// open opens one slot.
func (h *Header) open(opener Opener, slot *Slot) (*Unlocked, error) {
	wrapping, level, err := opener.Open(slot)
	if err != nil {
		return nil, err
	}
	defer wrapping.Wipe()
	master, err := openKey(wrapping, slot.Key, h.binding(slot))
	if err != nil {
		return nil, err
	}
	if code := h.authenticate(master); !hmac.Equal(code[:], h.code[:]) {
		master.Wipe()
		return nil, &Error{Fault: Tampered, Reason: "the header was changed by somebody who has no key of this volume", Hint: "restore " + FileName + " from a backup"}
	}
	return &Unlocked{master, slot.Number, level}, nil
}

// Level is what every way to open the volume passes: the lowest of its slots, since whoever has another slot's key needs no more.
func (h *Header) Level() Level {
	if len(h.Slots) == 0 {
		return LevelNone
	}
	lowest := LevelSGX
	for i := range h.Slots {
		lowest = min(lowest, h.Slots[i].Level())
	}
	return lowest
}

// seal makes the authentication code anew.
func (h *Header) seal(master *secret.Secret) { h.code = h.authenticate(master) }

// authenticate computes the authentication code: HMAC-SHA256 of the text before it.
func (h *Header) authenticate(master *secret.Secret) (code [sha256.Size]byte) {
	under, err := h.Derive(master, "header", sha256.Size)
	if err != nil {
		panic("bulkhead: shield/key: HKDF of 32 bytes: " + err.Error())
	}
	defer clear(under)
	mac := hmac.New(sha256.New, under)
	mac.Write(h.body())
	mac.Sum(code[:0])
	return code
}

// Derive makes a key of the master key for a purpose outside of the volume's content: HKDF-SHA256 with the volume's ID as salt. The caller overwrites it.
func (h *Header) Derive(master *secret.Secret, purpose string, size int) ([]byte, error) {
	return hkdf.Key(sha256.New, master.Bytes(), h.Volume[:], fmt.Sprintf("bulkhead shield v%d %s", h.Version, purpose), size)
}

// ID is the volume's ID as it is written everywhere: 32 hexadecimal digits.
func (h *Header) ID() string { return hex.EncodeToString(h.Volume[:]) }
