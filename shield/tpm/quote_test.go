// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"crypto/sha256"
	"encoding/json"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/test/swtpm"
)

var challenge = sha256.Sum256([]byte("a nonce and what it is about"))

func quote(t testing.TB, d *Device, registers ...int) *Quote {
	t.Helper()
	q, err := d.Quote(registers, challenge)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestQuoteIsBelievedOnlyAsSigned(t *testing.T) {
	d := open(t, swtpm.Start(t))
	extend(t, d, 7)
	q := quote(t, d, 7, 11)
	name := q.Name()
	if err := q.Verify(name, challenge); err != nil {
		t.Fatal(err)
	}
	if again := quote(t, d, 7); again.Name() != name {
		t.Error("the key is another one the second time")
	}
	if q.Registers[7] == (HexDigest{}) || q.Registers[11] != (HexDigest{}) {
		t.Errorf("registers %x", q.Registers)
	}
	other := quote(t, open(t, swtpm.Start(t)), 7, 11)
	for finding, test := range map[string]struct {
		change func(q *Quote)
		want   string
	}{
		"AnotherTPM":         {func(q *Quote) { *q = *other }, "not the one that is trusted"},
		"KeyReplaced":        {func(q *Quote) { q.Key = other.Key }, "not the one that is trusted"},
		"StatementOfAnother": {func(q *Quote) { q.Statement = other.Statement }, "the signature is not the key's"},
		"StatementChanged":   {func(q *Quote) { q.Statement[len(q.Statement)-1] ^= 1 }, "the signature is not the key's"},
		"SignatureChanged":   {func(q *Quote) { q.Signature[len(q.Signature)-1] ^= 1 }, "the signature is not the key's"},
		"SignatureCutOff":    {func(q *Quote) { q.Signature = q.Signature[:5] }, "the signature"},
		"NoSignature":        {func(q *Quote) { q.Signature = nil }, "the signature"},
		"RegisterChanged":    {func(q *Quote) { q.Registers[7] = HexDigest{1} }, "not those that were signed"},
		"RegisterLeftOut":    {func(q *Quote) { delete(q.Registers, 11) }, "not those that were signed"},
		"RegisterAdded":      {func(q *Quote) { q.Registers[12] = HexDigest{} }, "not those that were signed"},
		"NoRegisters":        {func(q *Quote) { q.Registers = nil }, "not about registers"},
		"NoSuchRegister":     {func(q *Quote) { q.Registers[1000] = HexDigest{} }, "not about registers"},
	} {
		changed := copied(t, q)
		test.change(changed)
		if err := changed.Verify(name, challenge); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", finding, err)
		}
	}
	if err := q.Verify(name, sha256.Sum256([]byte("another nonce"))); err == nil || !strings.Contains(err.Error(), "another challenge") {
		t.Errorf("an old quote: %v", err)
	}
}

// copied is a quote as it comes out of a document.
func copied(t testing.TB, q *Quote) *Quote {
	t.Helper()
	text, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	var again Quote
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	return &again
}

func FuzzVerify(f *testing.F) {
	device, err := Open(swtpm.Start(f))
	if err != nil {
		f.Fatal(err)
	}
	q := quote(f, device, 7)
	device.Close()
	f.Add(q.Key, q.Statement, q.Signature)
	f.Fuzz(func(t *testing.T, key, statement, signature []byte) {
		changed := &Quote{Key: key, Statement: statement, Signature: signature, Registers: q.Registers}
		if changed.Verify(changed.Name(), challenge) == nil && changed.Name() == q.Name() && string(statement) != string(q.Statement) {
			t.Fatalf("a statement that was not signed is believed: %x", statement)
		}
	})
}
