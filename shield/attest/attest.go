// SPDX-License-Identifier: Apache-2.0

// Package attest has a machine say what it is, and checks what a machine said: the roles of RFC 9334. Evidence answers a nonce of whoever asks, and is about bytes of the
// machine's choice, such as the age recipient that a volume's key is to be given to:
//
//	machine:  evidence := attest.TPM{Device: device, Registers: []int{7}}.Evidence(nonce, recipient)
//	owner:    level, err := evidence.Verify(nonce, attest.Trust{Key: known, Registers: expected})
//
// The level is the highest that was verified, and LevelNone with every error. There is evidence of TPMs. That of confidential machines and of SGX is for verifiers of their
// own, which plug in by a format; without one it is an error, and not a lower level.
package attest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/bulkhead-project/bulkhead/shield/key"
	"github.com/bulkhead-project/bulkhead/shield/tpm"
)

// NonceSize is how long a nonce is, in bytes.
const NonceSize = 32

// MaximumText bounds evidence, in bytes.
const MaximumText = 64 << 10

// Formats of evidence.
const (
	FormatNone = "none" // nothing vouches for the machine
	FormatTPM  = "tpm2" // a quote of a TPM 2.0
)

// Evidence is what a machine says of itself. Nothing of it is believed before Verify.
type Evidence struct {
	Format string     `json:"format"`
	About  []byte     `json:"about,omitempty"` // what the machine wants to be believed of, in base64
	TPM    *tpm.Quote `json:"tpm,omitempty"`
}

// None is a machine that nothing vouches for.
type None struct{}

// Evidence says so.
func (None) Evidence(_ [NonceSize]byte, about []byte) (*Evidence, error) {
	return &Evidence{Format: FormatNone, About: about}, nil
}

// TPM is a machine with a TPM 2.0.
type TPM struct {
	Device    *tpm.Device
	Registers []int // of the SHA-256 bank, rising
}

// Evidence is a quote of the registers.
func (t TPM) Evidence(nonce [NonceSize]byte, about []byte) (*Evidence, error) {
	quote, err := t.Device.Quote(t.Registers, challenge(nonce, about))
	if err != nil {
		return nil, err
	}
	return &Evidence{Format: FormatTPM, About: about, TPM: quote}, nil
}

// challenge binds nonce and subject: SHA-256 of a word, the nonce and the subject's own digest.
func challenge(nonce [NonceSize]byte, about []byte) [sha256.Size]byte {
	subject := sha256.Sum256(about)
	return sha256.Sum256(slices.Concat([]byte("bulkhead evidence 1\n"), nonce[:], subject[:]))
}

// Trust is what the one who verifies knows beforehand.
type Trust struct {
	Key       string                // name of the TPM's signing key, as it was written down where the machine was at hand
	Registers map[int]tpm.HexDigest // what has to be in which registers: at least one
}

// Verify returns the level that the evidence shows. An error says what is wrong with it, and the level is LevelNone then.
func (e *Evidence) Verify(nonce [NonceSize]byte, trust Trust) (key.Level, error) {
	switch e.Format {
	case FormatNone:
		return key.LevelNone, nil
	case FormatTPM:
		if err := e.verifyTPM(nonce, trust); err != nil {
			return key.LevelNone, err
		}
		return key.LevelTPM, nil
	}
	return key.LevelNone, fmt.Errorf("evidence of format %.20q: there is no verifier of it", e.Format)
}

func (e *Evidence) verifyTPM(nonce [NonceSize]byte, trust Trust) error {
	if e.TPM == nil {
		return errors.New("evidence of a TPM without its quote")
	}
	if len(trust.Registers) == 0 {
		return errors.New("no register has an expected value: the quote would vouch for any state of the machine")
	}
	if err := e.TPM.Verify(trust.Key, challenge(nonce, e.About)); err != nil {
		return fmt.Errorf("the TPM's quote: %w", err)
	}
	for _, register := range slices.Sorted(maps.Keys(trust.Registers)) {
		value, quoted := e.TPM.Registers[register]
		if !quoted {
			return fmt.Errorf("register %d is expected to be %x, and the quote is not about it", register, trust.Registers[register])
		}
		if value != trust.Registers[register] {
			return fmt.Errorf("register %d is %x, where %x is expected: the machine is in another state", register, value, trust.Registers[register])
		}
	}
	return nil
}

// Encode writes the evidence as JSON.
func (e *Evidence) Encode() ([]byte, error) {
	text, err := json.MarshalIndent(e, "", "  ")
	return append(text, '\n'), err
}

// Decode reads what Encode wrote. Members that it does not know are refused.
func Decode(text []byte) (*Evidence, error) {
	if len(text) > MaximumText {
		return nil, fmt.Errorf("evidence of %d bytes, more than %d", len(text), MaximumText)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var e Evidence
	if err := decoder.Decode(&e); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("evidence: more than one document")
	}
	return &e, nil
}
