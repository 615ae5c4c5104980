// SPDX-License-Identifier: Apache-2.0

package key

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
)

// goldenHeader is a header of format version 1 that every later Bulkhead opens: by the passphrase "golden" and by a key file of 32 times "g".
const goldenHeader = "testdata/version1.shield"

func TestCommittedHeaderOpensAndIsWrittenTheSame(t *testing.T) {
	text, err := os.ReadFile(goldenHeader)
	if err != nil {
		t.Fatal(err)
	}
	h, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(h.Format(), text) {
		t.Error("written otherwise")
	}
	for _, opener := range []Opener{passphrase(t, "golden"), keyFile(t, "g")} {
		unlocked, err := h.Unlock(opener)
		if err != nil {
			t.Fatal(err)
		}
		if digest := fmt.Sprintf("%x", sha256.Sum256(unlocked.Master.Bytes())); digest != "4e42250fc30925aeccfe1e6a3fe8d07cec9d134387ed1b82ad2dc4f6bed30251" {
			t.Errorf("%s: another master key, of digest %s", opener.Kind(), digest)
		}
	}
}

// withSum replaces the digest of a header that was changed on purpose.
func withSum(text string) []byte {
	before, _, _ := strings.Cut(text, "\nsum ")
	before += "\n"
	return fmt.Appendf([]byte(before), "sum %x\n", sha256.Sum256([]byte(before)))
}

func TestBadHeadersEndWithAPlace(t *testing.T) {
	whole, _ := create(t, Encrypted, passphrase(t, "p"), keyFile(t, "a"))
	text := string(whole.Format())
	swap := func(old, new string) []byte {
		t.Helper()
		if !strings.Contains(text, old) {
			t.Fatalf("no %q in\n%s", old, text)
		}
		return withSum(strings.Replace(text, old, new, 1))
	}
	lines := strings.SplitAfter(text, "\n")
	for name, test := range map[string]struct {
		text  []byte
		fault Fault
		want  string
	}{
		"Empty":             {nil, Damaged, "line 1: no header"},
		"SomethingElse":     {[]byte("LUKS\xba\xbe\n"), Damaged, "line 1: no header"},
		"LaterVersion":      {[]byte("bulkhead shield 2\nanything\n"), Unsupported, "version 2, this Bulkhead knows version 1"},
		"NoVersion":         {[]byte("bulkhead shield \n"), Damaged, "line 1"},
		"Truncated":         {[]byte(text[:len(text)-1]), Damaged, "does not end in a line sum"},
		"CutToHalf":         {[]byte(text[:len(text)/2]), Damaged, "does not end in a line sum"},
		"OneBitFlipped":     {bytes.Replace([]byte(text), []byte("policy e"), []byte("policy d"), 1), Damaged, "digest differs"},
		"TooLong":           {append([]byte(text), make([]byte, MaximumText)...), Damaged, "more than 131072"},
		"ShortVolume":       {swap("volume ", "volume"), Damaged, "line 2: no volume"},
		"UnknownPolicy":     {swap("encrypted", "plain"), Damaged, `line 3: policy "plain"`},
		"UnknownAnchor":     {swap("anchor file", "anchor sea"), Damaged, `line 4: anchor "sea"`},
		"NoIndex":           {swap("anchor file", "anchor tpm"), Damaged, "line 4: no NV index"},
		"IndexOtherwise":    {swap("anchor file", "anchor tpm 0x1"), Damaged, "not as Bulkhead writes it"},
		"UnknownKind":       {swap("slot 2 file", "slot 2 yubikey"), Unsupported, `line 6: this Bulkhead knows no slots of kind "yubikey"`},
		"NumberTwice":       {swap("slot 2", "slot 1"), Damaged, "line 6: no slot number rising"},
		"NumberZero":        {swap("slot 1", "slot 0"), Damaged, "line 5: no slot number"},
		"NumberTooHigh":     {swap("slot 2", "slot 17"), Damaged, "line 6: no slot number"},
		"FieldMissing":      {swap(" time=1", ""), Damaged, "line 5: a slot of kind passphrase with 4 fields, where 5 are wanted"},
		"FieldOtherwise":    {swap(" time=1", " tide=1"), Damaged, "line 5: no time"},
		"LeadingZero":       {swap("time=1", "time=01"), Damaged, "not as Bulkhead writes it"},
		"SixtyFourGiB":      {swap("memory=64", "memory=67108864"), Damaged, "line 5: threads: the cost of time=1 memory=67108864 threads=1 is more than"},
		"EndlessPasses":     {swap("time=1", "time=4294967295"), Damaged, "is more than"},
		"NoPasses":          {swap("time=1", "time=0"), Damaged, "below what Argon2 takes"},
		"NoMemory":          {swap("memory=64", "memory=0"), Damaged, "below what Argon2 takes"},
		"TooManyThreads":    {swap("threads=1", "threads=255"), Damaged, "line 5: threads:"},
		"ShortSalt":         {swap("salt=", "salt=AAAA"), Damaged, "salt:"},
		"PaddedSalt":        {swap(" key=", "= key="), Damaged, "salt:"},
		"ShortKey":          {swap("key=", "key=AAAA"), Damaged, "key:"},
		"TwoSpaces":         {swap(" time", "  time"), Damaged, "line 5: a slot of kind passphrase with 6 fields"},
		"CarriageReturns":   {withSum(strings.ReplaceAll(text, "\n", "\r\n")), Damaged, "line 1"},
		"NoMAC":             {withSum(strings.Join(lines[:6], "") + lines[7]), Damaged, "line 6: it ends where mac is wanted"},
		"LineAfterMAC":      {withSum(strings.Join(lines[:7], "") + "more\n" + lines[7]), Damaged, "line 8: nothing is wanted after mac"},
		"EncryptedNoSlots":  {withSum(strings.Join(lines[:4], "") + lines[6] + lines[7]), Damaged, "policy encrypted with 0 slots"},
		"EphemeralAndSlots": {swap("encrypted", "ephemeral"), Damaged, "policy ephemeral with 2 slots"},
	} {
		_, err := Parse(test.text)
		if faultOf(err) != test.fault || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: fault %d: %v\nwhere %q is wanted", name, faultOf(err), err, test.want)
		}
	}
}

func TestLargestHeaderFits(t *testing.T) {
	var with []Wrapper
	for range MaximumSlots {
		_, recipient := hybrid(t)
		with = append(with, recipient)
	}
	h, _ := create(t, Encrypted, with...)
	reparse(t, h)
	t.Logf("%d bytes", len(h.Format()))
}

func TestSlotsOfTPMsAreReadBack(t *testing.T) {
	h, master := create(t, Encrypted, keyFile(t, "a"))
	h.Slots = append(h.Slots, Slot{Number: 3, Kind: KindTPM, PCRs: []int{0, 7, 11}, Vouched: LevelTPM, Public: []byte("public"), Sealed: []byte("private"), Key: make([]byte, sealedSize)})
	h.Anchor = AnchorTPM
	h.SetCounter(master, 0x01800001)
	again := reparse(t, h)
	if slot := again.Slots[1]; again.Counter != 0x01800001 || FormatPCRs(slot.PCRs) != "0,7,11" || slot.Vouched != LevelTPM || string(slot.Public) != "public" {
		t.Errorf("%+v", again)
	}
	for _, bad := range []string{"", "7,", "7,7", "11,7", "24", "-1", "7 11", "+7"} {
		if registers, err := ParsePCRs(bad); err == nil {
			t.Errorf("%q: %v", bad, registers)
		}
	}
}

func FuzzParse(f *testing.F) {
	h, _ := create(f, Encrypted, passphrase(f, "p"), keyFile(f, "a"))
	f.Add(h.Format())
	_, recipient := identity(f)
	h, _ = create(f, Authenticated, recipient)
	h.Slots = append(h.Slots, Slot{Number: 2, Kind: KindTPM, PCRs: []int{7}, Public: []byte("u"), Sealed: []byte("r"), Key: make([]byte, sealedSize)})
	f.Add(h.Format())
	h, _ = create(f, Ephemeral)
	f.Add(h.Format())
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, text := range [][]byte{text, withSum(string(text))} { // a digest is no obstacle to whoever writes a header
			h, err := Parse(text)
			if err != nil {
				if faultOf(err) != Damaged && faultOf(err) != Unsupported {
					t.Fatalf("%v", err)
				}
				continue
			}
			if !bytes.Equal(h.Format(), text) {
				t.Fatalf("%q is written as %q", text, h.Format())
			}
			for i := range h.Slots {
				if h.Slots[i].Kind == KindPassphrase && h.Slots[i].Cost.check() != nil {
					t.Fatalf("cost %+v", h.Slots[i].Cost)
				}
			}
		}
	})
}

// FuzzOpenAge puts anything where the age file of a slot is.
func FuzzOpenAge(f *testing.F) {
	id, recipient := identity(f)
	h, _ := create(f, Encrypted, recipient)
	f.Add(h.Slots[0].Sealed)
	f.Fuzz(func(t *testing.T, sealed []byte) {
		slot := h.Slots[0]
		slot.Sealed = sealed
		wrapping, _, err := id.Open(&slot)
		if err == nil {
			wrapping.Wipe()
		} else if fault := faultOf(err); fault != WrongKey && fault != Damaged {
			t.Fatal(err)
		}
	})
}
