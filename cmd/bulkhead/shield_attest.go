// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/shield/attest"
	"github.com/bulkhead-project/bulkhead/shield/key"
	"github.com/bulkhead-project/bulkhead/shield/tpm"
)

func shieldAttest() *cobra.Command {
	var device tpmDevice
	var nonce, registers, about string
	command := &cobra.Command{Use: "attest [--nonce NONCE] [OPTIONS]", Short: "have the TPM say in which state this machine is", Args: arguments(cobra.NoArgs),
		Long: "Print evidence of the state that this machine is in, signed by its TPM, for whoever gave the NONCE, and about what is in a file: such as the age recipient that a\n" +
			"volume is to be opened by here. `bulkhead shield appraise` checks it, elsewhere. Without a nonce, print what the other side has to know beforehand: the name of\n" +
			"the TPM's key, and what is in the registers now; it is true if you trust this machine now."}
	command.Flags().StringVar(&nonce, "nonce", "", "answer this `NONCE`: 64 hexadecimal digits, which nobody used before")
	command.Flags().StringVar(&about, "about", "", "speak about the bytes of `FILE`, at most 16 KiB")
	command.Flags().StringVar(&registers, "tpm-pcrs", "7", "the state is what is in these `REGISTERS` of the TPM's SHA-256 bank")
	device.add(command.Flags())
	command.RunE = func(command *cobra.Command, _ []string) (err error) {
		list, err := key.ParsePCRs(registers)
		if err != nil {
			return usageError{fmt.Errorf("--tpm-pcrs: %w", err)}
		}
		if nonce == "" && about != "" {
			return usageError{errors.New("--about needs --nonce")}
		}
		subject, err := readSubject(about)
		if err != nil {
			return err
		}
		opened, err := device.open()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, device.close()) }()
		machine := attest.TPM{Device: opened, Registers: list}
		if nonce == "" {
			return enrol(command.OutOrStdout(), machine)
		}
		asked, err := parseNonce(nonce)
		if err != nil {
			return err
		}
		evidence, err := machine.Evidence(asked, subject)
		if err != nil {
			return err
		}
		text, err := evidence.Encode()
		if err != nil {
			return err
		}
		_, err = command.OutOrStdout().Write(text)
		return err
	}
	return command
}

// enrol prints what appraise is to be given.
func enrol(out io.Writer, machine attest.TPM) error {
	evidence, err := machine.Evidence([attest.NonceSize]byte{}, nil)
	if err != nil {
		return err
	}
	whyNot, err := machine.Device.Vouches(machine.Registers)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "--trust %s", evidence.TPM.Name())
	for _, register := range machine.Registers {
		fmt.Fprintf(out, " --register %d=%x", register, evidence.TPM.Registers[register])
	}
	fmt.Fprintln(out)
	if whyNot != "" {
		return hinted{fmt.Errorf("this TPM vouches for nothing: %s", whyNot), "who appraises it by these values trusts whoever runs it"}
	}
	return nil
}

func parseNonce(text string) (nonce [attest.NonceSize]byte, err error) {
	if len(text) != 2*len(nonce) {
		return nonce, usageError{fmt.Errorf("--nonce of %d characters, where %d hexadecimal digits are wanted", len(text), 2*len(nonce))}
	}
	if _, err := hex.Decode(nonce[:], []byte(text)); err != nil {
		return nonce, usageError{fmt.Errorf("--nonce: %w", err)}
	}
	return nonce, nil
}

// readSubject reads what evidence is about; "" is nothing.
func readSubject(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	return readBounded(path, 16<<10)
}

func readBounded(path string, most int64) ([]byte, error) {
	file := os.Stdin
	if path != "-" {
		opened, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer opened.Close()
		file = opened
	}
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s: more than %d bytes", path, most)
	}
	return text, err
}

func shieldAppraise() *cobra.Command {
	var nonce, about, level string
	trust := attest.Trust{Registers: map[int]tpm.HexDigest{}}
	var registers []string
	command := &cobra.Command{Use: "appraise --nonce NONCE --trust KEY --register N=VALUE... EVIDENCE", Short: "check what another machine said of itself", Args: arguments(cobra.ExactArgs(1)),
		Long: "Check evidence that `bulkhead shield attest` printed on another machine, in the file EVIDENCE (- is standard input), and print the level that it shows. What the machine\n" +
			"spoke about goes into the file that --about names. Evidence that is not believed ends with 1, a level that is not reached with 3."}
	command.Flags().StringVar(&nonce, "nonce", "", "the `NONCE` that the machine was given")
	command.Flags().StringVar(&trust.Key, "trust", "", "believe the TPM whose key has this `NAME`; attest without a nonce says it")
	command.Flags().StringArrayVar(&registers, "register", nil, "expect `N=VALUE` in register N of the TPM: 64 hexadecimal digits")
	command.Flags().StringVar(&about, "about", "", "write what the machine spoke about into `FILE`, which must not be there")
	command.Flags().StringVar(&level, "require-level", "none", "fail unless the evidence shows at least `LEVEL`: none, tpm, cvm or sgx")
	command.RunE = func(command *cobra.Command, args []string) error {
		wanted, err := key.ParseLevel(level)
		if err != nil {
			return usageError{fmt.Errorf("--require-level: %w", err)}
		}
		asked, err := parseNonce(nonce)
		if err != nil {
			return err
		}
		if err := parseRegisters(registers, trust.Registers); err != nil {
			return usageError{err}
		}
		evidence, reached, err := appraise(args[0], asked, trust)
		if err != nil {
			return err
		}
		if reached < wanted {
			return &key.Error{Fault: key.Unavailable, Reason: fmt.Sprintf("the evidence shows level %s, where %s is required", reached, wanted), Hint: "have the machine attest by what vouches for it at that level"}
		}
		if err := writeSubject(about, evidence.About); err != nil {
			return err
		}
		_, err = fmt.Fprintf(command.OutOrStdout(), "level %s, about %d bytes\n", reached, len(evidence.About))
		return err
	}
	return command
}

func appraise(path string, nonce [attest.NonceSize]byte, trust attest.Trust) (*attest.Evidence, key.Level, error) {
	text, err := readBounded(path, attest.MaximumText)
	if err != nil {
		return nil, key.LevelNone, err
	}
	evidence, err := attest.Decode(text)
	if err != nil {
		return nil, key.LevelNone, err
	}
	reached, err := evidence.Verify(nonce, trust)
	if err != nil {
		return nil, key.LevelNone, hinted{fmt.Errorf("the evidence is not believed: %w", err), "do not give this machine a key"}
	}
	return evidence, reached, nil
}

func parseRegisters(texts []string, into map[int]tpm.HexDigest) error {
	for _, text := range texts {
		number, digits, found := strings.Cut(text, "=")
		register, err := strconv.ParseUint(number, 10, 8)
		if err != nil || !found || register > 23 {
			return fmt.Errorf("--register %.20q: no N=VALUE with N of 0 to 23", text)
		}
		var value tpm.HexDigest
		if err := value.UnmarshalText([]byte(digits)); err != nil {
			return fmt.Errorf("--register %d: %w", register, err)
		}
		into[int(register)] = value
	}
	return nil
}

func writeSubject(path string, subject []byte) error {
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(subject)
	return errors.Join(err, file.Close())
}
