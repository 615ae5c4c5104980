// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/pflag"

	"github.com/bulkhead-project/bulkhead/shield/key"
	"github.com/bulkhead-project/bulkhead/shield/tpm"
)

// tpmDevice is the TPM that a verb uses, opened when it is first needed.
type tpmDevice struct {
	path   string
	device *tpm.Device
}

func (d *tpmDevice) add(flags *pflag.FlagSet) {
	flags.StringVar(&d.path, "tpm-device", tpm.DefaultPath, "the TPM: a `DEVICE`, or a socket that one answers on, which vouches for nothing")
}

// open opens the TPM. That there is none is an error of fault Unavailable.
func (d *tpmDevice) open() (*tpm.Device, error) {
	if d.device != nil {
		return d.device, nil
	}
	device, err := tpm.Open(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &key.Error{Fault: key.Unavailable, Reason: "this machine has no TPM", Err: err, Hint: "use a machine that has one, or another key; nothing is simulated"}
	}
	if err != nil {
		return nil, fmt.Errorf("the TPM: %w", err)
	}
	d.device = device
	return device, nil
}

// close closes the TPM if it is open. It can be opened again.
func (d *tpmDevice) close() error {
	if d.device == nil {
		return nil
	}
	device := d.device
	d.device = nil
	return device.Close()
}
