// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/google/go-tpm/tpm2"
)

// Quote is a TPM's signed statement of what is in its registers (TPM2_Quote). It is a document: nothing of it is believed before Verify.
type Quote struct {
	Key       []byte            `json:"key"`       // TPMT_PUBLIC of the key that signed, which never leaves the TPM and signs nothing but its statements
	Statement []byte            `json:"statement"` // TPMS_ATTEST
	Signature []byte            `json:"signature"` // TPMT_SIGNATURE
	Registers map[int]HexDigest `json:"registers"` // of the SHA-256 bank
}

// HexDigest is a SHA-256 digest, in hexadecimal digits where it is text.
type HexDigest [sha256.Size]byte

// MarshalText writes 64 digits.
func (d HexDigest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads 64 digits.
func (d *HexDigest) UnmarshalText(text []byte) error {
	if len(text) != 2*len(d) {
		return fmt.Errorf("a digest of %d characters, where %d hexadecimal digits are wanted", len(text), 2*len(d))
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// signingKey is a restricted ECDSA P-256 key: the TPM signs with it only what it made itself.
func signingKey() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, Restricted: true, SignEncrypt: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256,
			Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})}}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: make([]byte, 32)}, Y: tpm2.TPM2BECCParameter{Buffer: make([]byte, 32)}})}
}

// Quote has the TPM sign what is in the registers, and the challenge. The key is the same each time, until the TPM is cleared.
func (d *Device) Quote(registers []int, challenge [sha256.Size]byte) (*Quote, error) {
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(signingKey())}.Execute(d.send)
	if err != nil {
		return nil, fmt.Errorf("making the TPM's signing key: %w", err)
	}
	defer d.flush(made.ObjectHandle)
	quoted, err := tpm2.Quote{
		SignHandle:     tpm2.AuthHandle{Handle: made.ObjectHandle, Name: made.Name, Auth: tpm2.PasswordAuth(nil)},
		QualifyingData: tpm2.TPM2BData{Buffer: challenge[:]}, InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}, PCRSelect: selection(registers),
	}.Execute(d.send)
	if err != nil {
		return nil, fmt.Errorf("the TPM's quote: %w", err)
	}
	q := &Quote{Key: made.OutPublic.Bytes(), Statement: quoted.Quoted.Bytes(), Signature: tpm2.Marshal(quoted.Signature), Registers: map[int]HexDigest{}}
	for _, register := range registers {
		if q.Registers[register], err = d.read(register); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// read returns what is in a register of the SHA-256 bank.
func (d *Device) read(register int) (value HexDigest, err error) {
	response, err := tpm2.PCRRead{PCRSelectionIn: selection([]int{register})}.Execute(d.send)
	if err == nil && (len(response.PCRValues.Digests) != 1 || copy(value[:], response.PCRValues.Digests[0].Buffer) != len(value)) {
		err = errors.New("the TPM has no SHA-256 bank")
	}
	if err != nil {
		return value, fmt.Errorf("reading register %d of the TPM: %w", register, err)
	}
	return value, nil
}

// Name is the digest by which the key that signed is known.
func (q *Quote) Name() string {
	digest := sha256.Sum256(q.Key)
	return hex.EncodeToString(digest[:])
}

// Verify returns nil if a TPM whose key has that name signed that its registers were as the quote says, in answer to the challenge. That the key is a TPM's is what whoever
// wrote its name down vouches for.
func (q *Quote) Verify(name string, challenge [sha256.Size]byte) error {
	if q.Name() != name {
		return fmt.Errorf("signed by key %s, which is not the one that is trusted", q.Name())
	}
	statement, err := q.signed()
	if err != nil {
		return err
	}
	if statement.Type != tpm2.TPMSTAttestQuote {
		return errors.New("the statement is no quote")
	}
	info, err := statement.Attested.Quote()
	if err != nil {
		return errors.New("the statement is no quote")
	}
	if !bytes.Equal(statement.ExtraData.Buffer, challenge[:]) {
		return errors.New("it answers another challenge, or is about something else: perhaps an old one")
	}
	var registers []int
	for register := range q.Registers {
		registers = append(registers, register)
	}
	slices.Sort(registers)
	if len(registers) == 0 || registers[0] < 0 || registers[len(registers)-1] > 23 {
		return errors.New("it is not about registers 0 to 23")
	}
	digest := sha256.New()
	for _, register := range registers {
		value := q.Registers[register]
		digest.Write(value[:])
	}
	if !bytes.Equal(tpm2.Marshal(info.PCRSelect), tpm2.Marshal(selection(registers))) || !bytes.Equal(info.PCRDigest.Buffer, digest.Sum(nil)) {
		return errors.New("the registers are not those that were signed")
	}
	return nil
}

// signed checks the signature and returns what it is of.
func (q *Quote) signed() (*tpm2.TPMSAttest, error) {
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](q.Key)
	if err != nil {
		return nil, fmt.Errorf("the key: %w", err)
	}
	if want := signingKey(); public.Type != want.Type || public.ObjectAttributes != want.ObjectAttributes {
		return nil, errors.New("the key signs not only what the TPM made itself, or leaves it")
	}
	parsed, err := tpm2.Pub(*public)
	if err != nil {
		return nil, fmt.Errorf("the key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("the key is not of ECDSA")
	}
	signature, err := tpm2.Unmarshal[tpm2.TPMTSignature](q.Signature)
	if err != nil {
		return nil, fmt.Errorf("the signature: %w", err)
	}
	numbers, err := signature.Signature.ECDSA()
	if err != nil {
		return nil, fmt.Errorf("the signature: %w", err)
	}
	digest := sha256.Sum256(q.Statement)
	if numbers.Hash != tpm2.TPMAlgSHA256 || !ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(numbers.SignatureR.Buffer), new(big.Int).SetBytes(numbers.SignatureS.Buffer)) {
		return nil, errors.New("the signature is not the key's")
	}
	statement, err := tpm2.Unmarshal[tpm2.TPMSAttest](q.Statement)
	if err != nil {
		return nil, fmt.Errorf("the statement: %w", err)
	}
	return statement, nil
}
