// SPDX-License-Identifier: Apache-2.0

// Package tpm has a TPM 2.0 keep keys for a measured state of the machine, count, and vouch for that state. It follows the TPM 2.0 Library specification of the Trusted
// Computing Group, whose words it uses, by way of github.com/google/go-tpm.
//
// A sealed key is an object beneath the storage root key of the owner hierarchy, an ECC P-256 key that the TPM makes anew from its seed each time, so that nothing has to
// be provisioned. Keys pass between this process and the TPM encrypted, in sessions salted with that root key: who listens on the bus between them learns nothing.
package tpm

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/bulkhead-project/bulkhead/shield/secret"
)

// ErrState is found in errors about a key that was sealed for another state of the machine; ErrOther in those about what another TPM, or this one before it was cleared,
// sealed.
var (
	ErrState = errors.New("the registers are not those that the key was sealed to")
	ErrOther = errors.New("sealed by another TPM, or by this one before it was cleared")
)

// Device is an open TPM. It is for one goroutine.
type Device struct {
	file   io.ReadWriteCloser
	send   transport.TPM
	kernel bool // it is a device of this kernel
}

// Close closes the device.
func (d *Device) Close() error { return d.file.Close() }

// ReadWriter is the device itself: each command written is answered by what is read next.
func (d *Device) ReadWriter() io.ReadWriter { return d.file }

// Vendor is what the TPM says of itself, and whether that it is software.
func (d *Device) Vendor() (name string, software bool, err error) {
	response, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(tpm2.TPMPTManufacturer), PropertyCount: 5}.Execute(d.send)
	if err != nil {
		return "", false, fmt.Errorf("asking the TPM who made it: %w", err)
	}
	properties, err := response.CapabilityData.Data.TPMProperties()
	if err != nil {
		return "", false, fmt.Errorf("asking the TPM who made it: %w", err)
	}
	var manufacturer, vendor strings.Builder
	for _, p := range properties.TPMProperty {
		into := &vendor
		if p.Property == tpm2.TPMPTManufacturer {
			into = &manufacturer
		}
		for shift := 24; shift >= 0; shift -= 8 { // four characters in a number
			if c := byte(p.Value >> shift); c >= ' ' && c < 0x7f {
				into.WriteByte(c)
			}
		}
	}
	name = strings.Join(strings.Fields(manufacturer.String()+" "+vendor.String()), " ")
	return name, strings.HasPrefix(vendor.String(), "SW"), nil // libtpms and the reference implementation, on which other emulators stand, say so
}

// Vouches says whether a key that is sealed to registers now is evidence of the machine's state: "" if so, or why it is none.
func (d *Device) Vouches(registers []int) (whyNot string, err error) {
	if !d.kernel {
		return "it is no device of this kernel, but whoever answers on a socket", nil
	}
	name, software, err := d.Vendor()
	if err != nil {
		return "", err
	}
	if software {
		return fmt.Sprintf("it is software (%s)", name), nil
	}
	measured, err := d.measured(registers)
	if err == nil && !measured {
		whyNot = "registers " + strings.Trim(strings.ReplaceAll(fmt.Sprint(registers), " ", ","), "[]") + " hold no measurement, or can be reset"
	}
	return whyNot, err
}

// measured says whether one of the registers was extended and cannot be reset: 16 and 23 are for debugging and applications.
func (d *Device) measured(registers []int) (bool, error) {
	for _, register := range registers {
		if register == 16 || register == 23 {
			continue
		}
		value, err := d.read(register)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(value[:], func(b byte) bool { return b != 0 && b != 0xff }) {
			return true, nil
		}
	}
	return false, nil
}

// selection names registers of the SHA-256 bank.
func selection(registers []int) tpm2.TPMLPCRSelection {
	var numbers []uint
	for _, register := range registers {
		numbers = append(numbers, uint(register))
	}
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(numbers...)}}}
}

// root makes the storage root key. The caller flushes it.
func (d *Device) root() (*tpm2.CreatePrimaryResponse, *tpm2.TPMTPublic, error) {
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(d.send)
	if err != nil {
		return nil, nil, fmt.Errorf("making the TPM's storage root key: %w", err)
	}
	public, err := made.OutPublic.Contents()
	if err != nil {
		d.flush(made.ObjectHandle)
		return nil, nil, err
	}
	return made, public, nil
}

// flush frees what an object takes in the TPM. The kernel's resource manager does at close what fails here.
func (d *Device) flush(handle tpm2.TPMHandle) {
	_, _ = tpm2.FlushContext{FlushHandle: handle}.Execute(d.send)
}

// Seal has the TPM keep a key, at most 128 bytes, for whoever is in the state in which the registers of the SHA-256 bank are now.
func (d *Device) Seal(key *secret.Secret, registers []int) (public, private []byte, err error) {
	policy, err := d.policy(registers)
	if err != nil {
		return nil, nil, err
	}
	root, rootPublic, err := d.root()
	if err != nil {
		return nil, nil, err
	}
	defer d.flush(root.ObjectHandle)
	made, err := tpm2.Create{
		ParentHandle: tpm2.AuthHandle{Handle: root.ObjectHandle, Name: root.Name,
			Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.AESEncryption(128, tpm2.EncryptIn), tpm2.Salted(root.ObjectHandle, *rootPublic))},
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: key.Bytes()})}},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256, AuthPolicy: policy,
			// Neither UserWithAuth: the policy is the only way. Nor out of this TPM.
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, NoDA: true}}),
	}.Execute(d.send)
	if err != nil {
		return nil, nil, fmt.Errorf("sealing by the TPM: %w", err)
	}
	return made.OutPublic.Bytes(), made.OutPrivate.Buffer, nil
}

// policy is the digest that stands for the registers as they are.
func (d *Device) policy(registers []int) (tpm2.TPM2BDigest, error) {
	session, end, err := tpm2.PolicySession(d.send, tpm2.TPMAlgSHA256, 16, tpm2.Trial())
	if err != nil {
		return tpm2.TPM2BDigest{}, fmt.Errorf("a session with the TPM: %w", err)
	}
	defer end()
	if _, err := (tpm2.PolicyPCR{PolicySession: session.Handle(), Pcrs: selection(registers)}).Execute(d.send); err != nil {
		return tpm2.TPM2BDigest{}, fmt.Errorf("the TPM's registers: %w", err)
	}
	digest, err := tpm2.PolicyGetDigest{PolicySession: session.Handle()}.Execute(d.send)
	if err != nil {
		return tpm2.TPM2BDigest{}, err
	}
	return digest.PolicyDigest, nil
}

// Unseal returns a key that Seal sealed. Errors are ErrState where the registers changed, and ErrOther where the TPM did not seal it.
func (d *Device) Unseal(public, private []byte, registers []int) (*secret.Secret, error) {
	root, rootPublic, err := d.root()
	if err != nil {
		return nil, err
	}
	defer d.flush(root.ObjectHandle)
	loaded, err := tpm2.Load{
		ParentHandle: tpm2.AuthHandle{Handle: root.ObjectHandle, Name: root.Name, Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16)},
		InPublic:     tpm2.BytesAs2B[tpm2.TPMTPublic](public), InPrivate: tpm2.TPM2BPrivate{Buffer: private},
	}.Execute(d.send)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOther, err)
	}
	defer d.flush(loaded.ObjectHandle)
	session := tpm2.Policy(tpm2.TPMAlgSHA256, 16, func(t transport.TPM, handle tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
		_, err := tpm2.PolicyPCR{PolicySession: handle, Pcrs: selection(registers)}.Execute(t)
		return err
	}, tpm2.AESEncryption(128, tpm2.EncryptOut), tpm2.Salted(root.ObjectHandle, *rootPublic))
	opened, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: loaded.Name, Auth: session}}.Execute(d.send)
	if errors.Is(err, tpm2.TPMRCPolicyFail) || errors.Is(err, tpm2.TPMRCPCRChanged) {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	if err != nil {
		return nil, fmt.Errorf("unsealing by the TPM: %w", err)
	}
	return secret.Take(opened.OutData.Buffer)
}

// Counters are NV indices of the range that is the owner's own (TCG Registry of reserved TPM 2.0 handles and localities).
const (
	firstCounter = 0x01800100
	lastCounter  = 0x018001ff
)

// MakeCounter makes a counter that whoever has the password counts and reads, and returns its index. It starts above every count that this TPM's counters ever had.
func (d *Device) MakeCounter(password []byte) (index uint32, err error) {
	for index = firstCounter; index <= lastCounter; index++ {
		_, err := tpm2.NVDefineSpace{
			AuthHandle: tpm2.TPMRHOwner, Auth: tpm2.TPM2BAuth{Buffer: password},
			PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: tpm2.TPMHandle(index), NameAlg: tpm2.TPMAlgSHA256, DataSize: 8,
				Attributes: tpm2.TPMANV{NT: tpm2.TPMNTCounter, AuthRead: true, AuthWrite: true, NoDA: true}}),
		}.Execute(d.send)
		if errors.Is(err, tpm2.TPMRCNVDefined) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("making a counter in the TPM: %w", err)
		}
		return index, nil
	}
	return 0, fmt.Errorf("all counters 0x%08x to 0x%08x of the TPM are there already", firstCounter, lastCounter)
}

// RemoveCounter removes a counter that MakeCounter made. A later one of the same index starts above it.
func (d *Device) RemoveCounter(index uint32) error {
	if index < firstCounter || index > lastCounter {
		return fmt.Errorf("0x%08x is no counter of Bulkhead's", index)
	}
	public, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(index)}.Execute(d.send)
	if err == nil {
		_, err = tpm2.NVUndefineSpace{AuthHandle: tpm2.TPMRHOwner, NVIndex: tpm2.NamedHandle{Handle: tpm2.TPMHandle(index), Name: public.NVName}}.Execute(d.send)
	}
	if err != nil {
		return fmt.Errorf("removing counter 0x%08x from the TPM: %w", index, err)
	}
	return nil
}
