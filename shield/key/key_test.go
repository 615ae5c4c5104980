// SPDX-License-Identifier: Apache-2.0

package key

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/bulkhead-project/bulkhead/shield/secret"
)

// cheap is a cost for tests.
func cheap() Cost { return Cost{Time: 1, Memory: 64, Threads: 1} }

func kept(t testing.TB, text string) *secret.Secret {
	t.Helper()
	s, err := secret.Take([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Wipe)
	return s
}

func passphrase(t testing.TB, text string) Passphrase { return Passphrase{kept(t, text), cheap()} }

func keyFile(t testing.TB, letter string) File {
	return File{kept(t, strings.Repeat(letter, MinimumFile))}
}

// identity returns a fresh age key pair.
func identity(t testing.TB) (Identities, Recipient) {
	t.Helper()
	made, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return pair(t, made.String(), made.Recipient().String())
}

// hybrid returns a fresh one that resists quantum computers.
func hybrid(t testing.TB) (Identities, Recipient) {
	t.Helper()
	made, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return pair(t, made.String(), made.Recipient().String())
}

func pair(t testing.TB, private, public string) (Identities, Recipient) {
	t.Helper()
	identities, err := ParseIdentities(kept(t, "# a comment\n"+private+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	recipient, err := ParseRecipient(public)
	if err != nil {
		t.Fatal(err)
	}
	return identities, recipient
}

func create(t testing.TB, policy Policy, with ...Wrapper) (*Header, *secret.Secret) {
	t.Helper()
	h, master, err := Create(policy, AnchorFile, with...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(master.Wipe)
	return h, master
}

func reparse(t testing.TB, h *Header) *Header {
	t.Helper()
	again, err := Parse(h.Format())
	if err != nil {
		t.Fatalf("%v\n%s", err, h.Format())
	}
	return again
}

func TestEveryKeyOpensItsSlotAndNoOther(t *testing.T) {
	id, recipient := identity(t)
	quantum, resistant := hybrid(t)
	h, master := create(t, Encrypted, passphrase(t, "correct horse"), keyFile(t, "a"), recipient, resistant, keyFile(t, "b"))
	h = reparse(t, h)
	otherID, _ := identity(t)
	for name, test := range map[string]struct {
		with  []Opener
		slot  uint8
		fault Fault
	}{
		"Passphrase":                      {[]Opener{passphrase(t, "correct horse")}, 1, 0},
		"KeyFile":                         {[]Opener{keyFile(t, "a")}, 2, 0},
		"SecondKeyFile":                   {[]Opener{keyFile(t, "b")}, 5, 0},
		"Identity":                        {[]Opener{id}, 3, 0},
		"HybridIdentity":                  {[]Opener{quantum}, 4, 0},
		"AnyOfSeveral":                    {[]Opener{passphrase(t, "wrong"), otherID, keyFile(t, "b")}, 5, 0},
		"WrongPassphrase":                 {[]Opener{passphrase(t, "correct horse ")}, 0, WrongKey},
		"WrongKeyFile":                    {[]Opener{keyFile(t, "c")}, 0, WrongKey},
		"LongerKeyFile":                   {[]Opener{File{kept(t, strings.Repeat("a", MinimumFile)+"\n")}}, 0, WrongKey},
		"WrongIdentity":                   {[]Opener{otherID}, 0, WrongKey},
		"KeyFileIsNotTakenForPassphrases": {[]Opener{passphrase(t, strings.Repeat("a", MinimumFile))}, 0, WrongKey},
		"NoKeyAtAll":                      {nil, 0, NoSlot},
	} {
		unlocked, err := h.Unlock(test.with...)
		if faultOf(err) != test.fault || (err != nil) != (test.fault != 0) {
			t.Errorf("%s: %v, where fault %d is wanted", name, err, test.fault)
			continue
		}
		if err == nil && (unlocked.Slot != test.slot || !bytes.Equal(unlocked.Master.Bytes(), master.Bytes()) || unlocked.Level != LevelNone) {
			t.Errorf("%s: slot %d, level %s, the same key: %v", name, unlocked.Slot, unlocked.Level, bytes.Equal(unlocked.Master.Bytes(), master.Bytes()))
		}
	}
}

func TestKeyOfAnotherKindIsToldFromAWrongKey(t *testing.T) {
	h, _ := create(t, Encrypted, passphrase(t, "correct horse"), passphrase(t, "second"))
	_, err := h.Unlock(keyFile(t, "a"))
	var fault *Error
	if !errors.As(err, &fault) || fault.Fault != NoSlot || fault.Reason != "the volume is opened by a passphrase, not by a key file" || fault.Hint != "name a key with --passphrase" {
		t.Errorf("%#v", err)
	}
	_, err = h.Unlock(passphrase(t, "third"))
	if !errors.As(err, &fault) || fault.Fault != WrongKey || fault.Reason != "wrong key: it does not open slot 1 (passphrase), slot 2 (passphrase)" {
		t.Errorf("%v", err)
	}
}

func TestRotationChangesKeysAndNeverTheMasterKey(t *testing.T) {
	h, master := create(t, Encrypted, keyFile(t, "a"))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(h.Add(master, keyFile(t, "b")))
	must(h.Add(master, passphrase(t, "p")))
	must(h.Remove(master, 1))
	h = reparse(t, h)
	if _, err := h.Unlock(keyFile(t, "a")); faultOf(err) != WrongKey {
		t.Errorf("the removed key: %v", err)
	}
	unlocked, err := h.Unlock(keyFile(t, "b"))
	must(err)
	if !bytes.Equal(unlocked.Master.Bytes(), master.Bytes()) {
		t.Error("another master key")
	}
	must(h.Add(master, keyFile(t, "c")))
	if h.Slots[0].Number != 1 {
		t.Errorf("the free number was not taken: %d", h.Slots[0].Number)
	}
	must(h.Remove(master, 2))
	must(h.Remove(master, 3))
	if err := h.Remove(master, 1); faultOf(err) != Refused {
		t.Errorf("the last slot was removed: %v", err)
	}
	if err := h.Remove(master, 9); faultOf(err) != NoSlot {
		t.Errorf("a slot that is not there: %v", err)
	}
	for len(h.Slots) < MaximumSlots {
		must(h.Add(master, keyFile(t, "d")))
	}
	if err := h.Add(master, keyFile(t, "e")); faultOf(err) != Refused {
		t.Errorf("a slot too many: %v", err)
	}
	reparse(t, h)
}

func TestWeakKeysAreRefused(t *testing.T) {
	for name, with := range map[string][]Wrapper{
		"NoKey":           {},
		"ShortKeyFile":    {File{kept(t, strings.Repeat("a", MinimumFile-1))}},
		"EmptyPassphrase": {passphrase(t, "")},
	} {
		if _, _, err := Create(Encrypted, AnchorFile, with...); faultOf(err) != Refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := Create(Ephemeral, AnchorNone, keyFile(t, "a")); faultOf(err) != Refused {
		t.Errorf("an ephemeral volume with a key: %v", err)
	}
}

func TestEphemeralKeyIsStoredNowhere(t *testing.T) {
	h, master := create(t, Ephemeral)
	h = reparse(t, h)
	if _, err := h.Unlock(keyFile(t, "a")); faultOf(err) != NoKey {
		t.Error(err)
	}
	if err := h.Add(master, keyFile(t, "a")); faultOf(err) != Refused {
		t.Error(err)
	}
}

func TestVolumesShareNothing(t *testing.T) {
	first, one := create(t, Encrypted, keyFile(t, "a"))
	second, two := create(t, Encrypted, keyFile(t, "a"))
	if first.Volume == second.Volume || bytes.Equal(one.Bytes(), two.Bytes()) || bytes.Equal(first.Slots[0].Salt, second.Slots[0].Salt) {
		t.Error("two volumes with the same ID, key or salt")
	}
	moved := *first
	moved.Slots = slices.Clone(second.Slots)
	if _, err := moved.Unlock(keyFile(t, "a")); faultOf(err) != WrongKey {
		t.Errorf("a slot of another volume opens: %v", err)
	}
}

func TestChangedHeadersAreFoundOut(t *testing.T) {
	for name, change := range map[string]func(h *Header, other *secret.Secret){
		"Policy":      func(h *Header, _ *secret.Secret) { h.Policy = Authenticated },
		"Volume":      func(h *Header, _ *secret.Secret) { h.Volume[0]++ },
		"Anchor":      func(h *Header, _ *secret.Secret) { h.Anchor = AnchorNone },
		"Counter":     func(h *Header, _ *secret.Secret) { h.Anchor, h.Counter = AnchorTPM, 7 },
		"SlotRemoved": func(h *Header, _ *secret.Secret) { h.Slots = h.Slots[:1] },
		"SlotAdded":   func(h *Header, other *secret.Secret) { code := h.code; h.Add(other, keyFile(t, "z")); h.code = code },
		"SlotMoved":   func(h *Header, _ *secret.Secret) { h.Slots[0].Number = 9; h.Slots = []Slot{h.Slots[1], h.Slots[0]} },
	} {
		h, _ := create(t, Encrypted, keyFile(t, "a"), keyFile(t, "b"))
		change(h, kept(t, strings.Repeat("m", MasterSize)))
		h = reparse(t, h) // with a sum of its own
		if _, err := h.Unlock(keyFile(t, "a")); faultOf(err) != Tampered && faultOf(err) != WrongKey {
			t.Errorf("%s: opens, or %v", name, err)
		}
	}
}

func TestAnAttackersMasterKeyIsNoKeyOfTheVolume(t *testing.T) {
	h, _ := create(t, Encrypted, keyFile(t, "a"))
	attacker := kept(t, strings.Repeat("m", MasterSize))
	if err := h.Add(attacker, keyFile(t, "z")); err != nil {
		t.Fatal(err)
	}
	unlocked, err := h.Unlock(keyFile(t, "z"))
	if err != nil || !bytes.Equal(unlocked.Master.Bytes(), attacker.Bytes()) {
		t.Fatalf("the control: %v", err)
	}
	if _, err := h.Unlock(keyFile(t, "a")); faultOf(err) != Tampered {
		t.Errorf("the owner's key on a header that was sealed under another master key: %v", err)
	}
}

func TestLevelIsThatOfTheWeakestSlot(t *testing.T) {
	slot := func(kind Kind, vouched Level) Slot { return Slot{Kind: kind, Vouched: vouched} }
	for name, test := range map[string]struct {
		slots []Slot
		want  Level
	}{
		"TPMAlone":                  {[]Slot{slot(KindTPM, LevelTPM)}, LevelTPM},
		"TPMThatVouchesForNothing":  {[]Slot{slot(KindTPM, LevelNone)}, LevelNone},
		"TPMAndPassphrase":          {[]Slot{slot(KindTPM, LevelTPM), slot(KindPassphrase, LevelNone)}, LevelNone},
		"TPMAndOneThatDoesNotVouch": {[]Slot{slot(KindTPM, LevelTPM), slot(KindTPM, LevelNone)}, LevelNone},
		"NoSlotsOfEphemeral":        {nil, LevelNone},
	} {
		if got := (&Header{Slots: test.slots}).Level(); got != test.want {
			t.Errorf("%s: %s, where %s is wanted", name, got, test.want)
		}
	}
}

func TestNamesAreReadBack(t *testing.T) {
	for _, policy := range []Policy{Encrypted, Authenticated, Ephemeral} {
		if again, err := ParsePolicy(policy.String()); err != nil || again != policy {
			t.Error(policy, again, err)
		}
	}
	for _, anchor := range []Anchor{AnchorNone, AnchorFile, AnchorTPM} {
		if again, err := ParseAnchor(anchor.String()); err != nil || again != anchor {
			t.Error(anchor, again, err)
		}
	}
	for level := LevelNone; level <= LevelSGX; level++ {
		if again, err := ParseLevel(level.String()); err != nil || again != level {
			t.Error(level, again, err)
		}
	}
	for _, name := range []string{"", "Encrypted", "0"} {
		_, bad1 := ParsePolicy(name)
		_, bad2 := ParseAnchor(name)
		_, bad3 := ParseLevel(name)
		if bad1 == nil || bad2 == nil || bad3 == nil {
			t.Errorf("%q is taken", name)
		}
	}
}
