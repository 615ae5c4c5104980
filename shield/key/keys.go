// SPDX-License-Identifier: Apache-2.0

package key

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"golang.org/x/crypto/argon2"

	"github.com/bulkhead-project/bulkhead/shield/secret"
)

const saltSize = 32

func newSalt() []byte {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	return salt
}

// Cost is what one guess at a passphrase costs: Argon2id's parameters (RFC 9106).
type Cost struct {
	Time    uint32 // passes
	Memory  uint32 // KiB
	Threads uint8
}

// DefaultCost is what new slots have: four times the memory of RFC 9106's second recommended option, 1.2 s of processor time (AMD EPYC, virtual).
func DefaultCost() Cost { return Cost{Time: 3, Memory: 256 << 10, Threads: 4} }

// What a header may ask of the machine that opens it: a hostile one costs at most 1 GiB and, in passes over memory, four times that.
const (
	maximumMemory = 1 << 20 // KiB
	maximumWork   = 4 << 20 // KiB times passes
	maximumThread = 16
)

// check bounds the cost. Too low a cost is the owner's affair: it cannot be lowered for a slot that there is, since the key depends on it.
func (c Cost) check() error {
	switch {
	case c.Time < 1 || c.Threads < 1 || c.Memory < 8*uint32(c.Threads):
		return fmt.Errorf("the cost of time=%d memory=%d threads=%d is below what Argon2 takes", c.Time, c.Memory, c.Threads)
	case c.Threads > maximumThread || c.Memory > maximumMemory || uint64(c.Time)*uint64(c.Memory) > maximumWork:
		return fmt.Errorf("the cost of time=%d memory=%d threads=%d is more than threads=%d, memory=%d KiB, time*memory=%d KiB", c.Time, c.Memory, c.Threads, maximumThread, maximumMemory, maximumWork)
	}
	return nil
}

// Passphrase opens slots by what a person remembers.
type Passphrase struct {
	Text *secret.Secret // at least one byte
	Cost Cost           // of a slot that is made
}

// Kind is KindPassphrase.
func (Passphrase) Kind() Kind { return KindPassphrase }

// Wrap makes the slot's key with a fresh salt.
func (p Passphrase) Wrap(slot *Slot) (*secret.Secret, error) {
	if len(p.Text.Bytes()) == 0 {
		return nil, &Error{Fault: Refused, Reason: "the passphrase is empty"}
	}
	if err := p.Cost.check(); err != nil {
		return nil, err
	}
	slot.Kind, slot.Salt, slot.Cost = KindPassphrase, newSalt(), p.Cost
	return p.derive(slot)
}

// Open computes the key that the passphrase gives with the slot's salt and cost.
func (p Passphrase) Open(slot *Slot) (*secret.Secret, Level, error) {
	wrapping, err := p.derive(slot)
	return wrapping, LevelNone, err
}

func (p Passphrase) derive(slot *Slot) (*secret.Secret, error) {
	return secret.Take(argon2.IDKey(p.Text.Bytes(), slot.Salt, slot.Cost.Time, slot.Cost.Memory, slot.Cost.Threads, MasterSize))
}

// MinimumFile is how long a key file is at least, in bytes: shorter ones can be guessed.
const MinimumFile = 32

// File opens slots by the bytes of a key file.
type File struct {
	Material *secret.Secret // at least MinimumFile bytes, all of which count
}

// Kind is KindFile.
func (File) Kind() Kind { return KindFile }

// Wrap makes the slot's key with a fresh salt.
func (f File) Wrap(slot *Slot) (*secret.Secret, error) {
	if length := len(f.Material.Bytes()); length < MinimumFile {
		return nil, &Error{Fault: Refused, Reason: fmt.Sprintf("a key file of %d bytes can be guessed: %d are wanted", length, MinimumFile), Hint: "let --new-key-file make one, or take it for a passphrase with --passphrase-file"}
	}
	slot.Kind, slot.Salt = KindFile, newSalt()
	return f.derive(slot)
}

// Open computes the key that the file gives with the slot's salt.
func (f File) Open(slot *Slot) (*secret.Secret, Level, error) {
	wrapping, err := f.derive(slot)
	return wrapping, LevelNone, err
}

func (f File) derive(slot *Slot) (*secret.Secret, error) {
	wrapping, err := hkdf.Key(sha256.New, f.Material.Bytes(), slot.Salt, "bulkhead shield v1 key file", MasterSize)
	if err != nil {
		return nil, err
	}
	return secret.Take(wrapping)
}

// Recipient makes slots for the holder of an age identity.
type Recipient struct {
	text      string
	recipient age.Recipient
}

// ParseRecipient reads a public key as age-keygen prints it: age1..., or age1pq1... of the hybrid with ML-KEM-768.
func ParseRecipient(text string) (Recipient, error) {
	parsed, err := age.ParseRecipients(strings.NewReader(text))
	if err != nil || len(parsed) != 1 || strings.ContainsAny(text, " \t\r\n") {
		return Recipient{}, fmt.Errorf("%.20q is no age recipient: age1... as age-keygen prints it", text)
	}
	return Recipient{text, parsed[0]}, nil
}

// Wrap seals a random key for the recipient.
func (r Recipient) Wrap(slot *Slot) (*secret.Secret, error) {
	wrapping, err := secret.Random(MasterSize)
	if err != nil {
		return nil, err
	}
	var sealed bytes.Buffer
	writer, err := age.Encrypt(&sealed, r.recipient)
	if err == nil {
		_, err = writer.Write(wrapping.Bytes())
	}
	if err == nil {
		err = writer.Close()
	}
	if err != nil {
		wrapping.Wipe()
		return nil, err
	}
	slot.Kind, slot.Recipient, slot.Sealed = KindAge, r.text, sealed.Bytes()
	return wrapping, nil
}

// Identities open slots by private keys of age.
type Identities struct{ list []age.Identity }

// ParseIdentities reads a file of private keys as age-keygen writes it. Its errors hold nothing of the text.
func ParseIdentities(text *secret.Secret) (Identities, error) {
	list, err := age.ParseIdentities(bytes.NewReader(text.Bytes()))
	if err != nil {
		return Identities{}, fmt.Errorf("no age identity: %w", err)
	}
	return Identities{list}, nil
}

// Kind is KindAge.
func (Identities) Kind() Kind { return KindAge }

// Open opens the age file that is in the slot.
func (i Identities) Open(slot *Slot) (*secret.Secret, Level, error) {
	reader, err := age.Decrypt(bytes.NewReader(slot.Sealed), i.list...)
	if err != nil {
		var none *age.NoIdentityMatchError
		if errors.As(err, &none) {
			return nil, LevelNone, &Error{Fault: WrongKey, Reason: "the identity is not the slot's"}
		}
		return nil, LevelNone, &Error{Fault: Damaged, Reason: fmt.Sprintf("slot %d", slot.Number), Hint: "restore " + FileName + " from a backup, or use another slot's key", Err: err}
	}
	wrapping, err := secret.New(MasterSize)
	if err != nil {
		return nil, LevelNone, err
	}
	if _, err := io.ReadFull(reader, wrapping.Bytes()); err != nil {
		wrapping.Wipe()
		return nil, LevelNone, &Error{Fault: Damaged, Reason: fmt.Sprintf("slot %d", slot.Number), Hint: "restore " + FileName + " from a backup, or use another slot's key", Err: err}
	}
	return wrapping, LevelNone, nil
}
