// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/bulkhead-project/bulkhead/shield/key"
	"github.com/bulkhead-project/bulkhead/shield/secret"
	"github.com/bulkhead-project/bulkhead/shield/store"
)

// keyFlags are the options that name the keys which open a volume. They are the same for every verb that opens one.
type keyFlags struct {
	files          []string
	identities     []string
	passphraseFile string
	passphrase     bool
	tpm            bool
	device         tpmDevice
	level          string
}

func (k *keyFlags) add(flags *pflag.FlagSet) {
	k.addFiles(flags)
	flags.BoolVar(&k.passphrase, "passphrase", false, "open the volume with a passphrase, asked for on the terminal")
}

// addFiles declares the options that name keys in files.
func (k *keyFlags) addFiles(flags *pflag.FlagSet) {
	flags.StringArrayVar(&k.files, "key-file", nil, "open the volume with the bytes of `FILE`; - is standard input, /dev/fd/N a descriptor")
	flags.StringVar(&k.passphraseFile, "passphrase-file", "", "open the volume with the passphrase that is the first line of `FILE`")
	flags.StringArrayVar(&k.identities, "identity", nil, "open the volume with the age identities of `FILE`")
	flags.BoolVar(&k.tpm, "tpm", false, "open the volume with the TPM of this machine")
	k.device.add(flags)
	flags.StringVar(&k.level, "require-level", "none", "fail unless what vouches for this machine is at least `LEVEL`: none, tpm, cvm or sgx")
}

// named reports whether the options name any key.
func (k *keyFlags) named() bool {
	return len(k.files)+len(k.identities) > 0 || k.passphraseFile != "" || k.passphrase || k.tpm
}

// paths returns the options again, with absolute paths, for a process that opens the volume later.
func (k *keyFlags) paths() (list []string, err error) {
	for _, option := range []struct {
		name  string
		files []string
	}{{"key-file", k.files}, {"identity", k.identities}, {"passphrase-file", []string{k.passphraseFile}}} {
		for _, file := range option.files {
			if file == "" {
				continue
			}
			if file == "-" || strings.HasPrefix(file, "/dev/fd/") || strings.HasPrefix(file, "/proc/self/") {
				return nil, usageError{fmt.Errorf("--%s %s: a container's volume is opened by another process: name a file", option.name, file)}
			}
			if file, err = filepath.Abs(file); err != nil {
				return nil, err
			}
			list = append(list, "--"+option.name+"="+file)
		}
	}
	if k.tpm {
		list = append(list, "--tpm")
	}
	return append(list, "--tpm-device="+k.device.path, "--require-level="+k.level), nil
}

// unlock reads the header of the volume in a directory and opens it with the keys that the options name; without any, with the passphrase if the volume has one. The
// caller wipes the master key. The level that was reached and warnings go to out, and the prompt to the terminal.
func (k *keyFlags) unlock(directory string, out io.Writer) (*key.Header, *key.Unlocked, error) {
	wanted, err := key.ParseLevel(k.level)
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("--require-level: %w", err)}
	}
	if err := key.CheckLevel(wanted, key.LevelTPM); err != nil { // above what any key reaches: no passphrase need be asked for
		return nil, nil, err
	}
	header, err := key.ReadFile(directory)
	if err != nil {
		return nil, nil, err
	}
	hasPassphrase := slices.ContainsFunc(header.Slots, func(s key.Slot) bool { return s.Kind == key.KindPassphrase })
	unlocked, err := k.open(header, hasPassphrase, out)
	if err := errors.Join(err, k.device.close()); err != nil {
		return header, nil, err
	}
	if err := key.CheckLevel(wanted, unlocked.Level); err != nil {
		unlocked.Master.Wipe()
		return header, nil, err
	}
	weaker := ""
	if header.Level() < unlocked.Level {
		weaker = fmt.Sprintf("; others of its keys reach %s", header.Level())
	}
	fmt.Fprintf(out, "bulkhead: %s is opened by slot %d, level %s%s\n", directory, unlocked.Slot, unlocked.Level, weaker)
	if known, err := knownState(header); header.Anchor != key.AnchorNone && err == nil && known == (store.State{}) {
		fmt.Fprintf(out, "bulkhead: warning: this host has not seen %s before: nothing tells it from an older copy until it was opened once\n", directory)
	}
	return header, unlocked, nil
}

func (k *keyFlags) open(header *key.Header, hasPassphrase bool, out io.Writer) (*key.Unlocked, error) {
	var secrets wiped
	defer secrets.wipe()
	var with []key.Opener
	for _, path := range k.files {
		material, err := secrets.file("key file", path, out)
		if err != nil {
			return nil, err
		}
		with = append(with, key.File{Material: material})
	}
	for _, path := range k.identities {
		text, err := secrets.file("identity file", path, out)
		if err != nil {
			return nil, err
		}
		identities, err := key.ParseIdentities(text)
		if err != nil {
			return nil, hinted{fmt.Errorf("%s: %w", path, err), "age-keygen writes such files"}
		}
		with = append(with, identities)
	}
	if k.tpm {
		device, err := k.device.open()
		if err != nil {
			return nil, err
		}
		with = append(with, key.TPM{Device: device})
	}
	if k.passphraseFile != "" {
		text, err := secrets.line(k.passphraseFile, out)
		if err != nil {
			return nil, err
		}
		with = append(with, key.Passphrase{Text: text})
	}
	if k.passphrase || len(with) == 0 && hasPassphrase {
		text, err := secrets.ask("Passphrase: ")
		if err != nil {
			return nil, err
		}
		with = append(with, key.Passphrase{Text: text})
	}
	return header.Unlock(with...)
}

// newKeyFlags are the options that name keys which are to open a volume from now on.
type newKeyFlags struct {
	files, newFiles, recipients, recipientFiles []string
	passphraseFile, registers                   string
	passphrase, tpm                             bool
}

// add declares the options, with a prefix where the verb has keyFlags too.
func (k *newKeyFlags) add(flags *pflag.FlagSet, prefix string) {
	flags.StringArrayVar(&k.files, prefix+"key-file", nil, "let the bytes of `FILE` open the volume, at least 32; - is standard input, /dev/fd/N a descriptor")
	flags.StringArrayVar(&k.newFiles, prefix+"new-key-file", nil, "make `FILE`, which must not be there, and let it open the volume")
	flags.BoolVar(&k.passphrase, prefix+"passphrase", false, "let a passphrase open the volume, asked for on the terminal")
	flags.StringVar(&k.passphraseFile, prefix+"passphrase-file", "", "let the passphrase that is the first line of `FILE` open the volume")
	flags.StringArrayVar(&k.recipients, prefix+"recipient", nil, "let the holder of the identity of the age `RECIPIENT` open the volume: age1...")
	flags.StringArrayVar(&k.recipientFiles, prefix+"recipients-file", nil, "let the holder of any age recipient in `FILE`, one a line, open the volume")
	flags.BoolVar(&k.tpm, prefix+"tpm", false, "let the TPM open the volume, on this machine and in the state that it is in")
	flags.StringVar(&k.registers, prefix+"tpm-pcrs", "7", "that state is what is in the `REGISTERS` of the TPM's SHA-256 bank: 7 has secure boot, 4 the boot loader, 11 unified kernels")
}

// wrappers reads the keys. Files that it made are in made, to be removed when nothing came of it.
func (k *newKeyFlags) wrappers(secrets *wiped, device *tpmDevice, out io.Writer) (with []key.Wrapper, made []string, err error) {
	recipients, err := k.readRecipients()
	if err != nil {
		return nil, nil, err
	}
	for _, recipient := range recipients {
		with = append(with, recipient)
	}
	for _, path := range k.files {
		material, err := secrets.file("key file", path, out)
		if err != nil {
			return nil, nil, err
		}
		with = append(with, key.File{Material: material})
	}
	if k.passphraseFile != "" {
		text, err := secrets.line(k.passphraseFile, out)
		if err != nil {
			return nil, nil, err
		}
		with = append(with, key.Passphrase{Text: text, Cost: key.DefaultCost()})
	}
	if k.passphrase {
		text, err := secrets.askTwice()
		if err != nil {
			return nil, nil, err
		}
		with = append(with, key.Passphrase{Text: text, Cost: key.DefaultCost()})
	}
	if k.tpm {
		opened, err := k.openTPM(device)
		if err != nil {
			return nil, nil, err
		}
		with = append(with, opened)
	}
	for _, path := range k.newFiles {
		material, err := secrets.newFile(path)
		if err != nil {
			return nil, made, err
		}
		with, made = append(with, key.File{Material: material}), append(made, path)
	}
	return with, made, nil
}

func (k *newKeyFlags) openTPM(device *tpmDevice) (key.TPM, error) {
	registers, err := key.ParsePCRs(k.registers)
	if err != nil {
		return key.TPM{}, usageError{fmt.Errorf("--tpm-pcrs: %w", err)}
	}
	opened, err := device.open()
	return key.TPM{Device: opened, PCRs: registers}, err
}

func (k *newKeyFlags) readRecipients() ([]key.Recipient, error) {
	texts := slices.Clone(k.recipients)
	for _, path := range k.recipientFiles {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimRight(line, "\r\n"); line != "" && !strings.HasPrefix(line, "#") {
				texts = append(texts, line)
			}
		}
	}
	var list []key.Recipient
	for _, text := range texts {
		recipient, err := key.ParseRecipient(text)
		if err != nil {
			return nil, usageError{err}
		}
		list = append(list, recipient)
	}
	return list, nil
}

// wiped are the secrets that a verb read.
type wiped []*secret.Secret

func (w *wiped) wipe() {
	for _, secret := range *w {
		secret.Wipe()
	}
}

func (w *wiped) keep(secret *secret.Secret, err error) (*secret.Secret, error) {
	if err == nil {
		*w = append(*w, secret)
	}
	return secret, err
}

// file reads a whole file. It warns of one that others can read.
func (w *wiped) file(what, path string, out io.Writer) (*secret.Secret, error) {
	if path == "-" {
		path = "/dev/stdin"
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, hinted{fmt.Errorf("%s: %w", what, err), "name the " + what + " of the volume"}
	}
	defer file.Close()
	if status, err := file.Stat(); err == nil && status.Mode().IsRegular() && status.Mode().Perm()&0o077 != 0 {
		fmt.Fprintf(out, "bulkhead: warning: %s %s can be read or written by others (mode %#o): chmod 600\n", what, path, status.Mode().Perm())
	}
	secret, err := w.keep(secret.Read(file))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", what, path, err)
	}
	return secret, nil
}

// line reads the first line of a file.
func (w *wiped) line(path string, out io.Writer) (*secret.Secret, error) {
	whole, err := w.file("passphrase file", path, out)
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(whole.Bytes(), []byte("\n"))
	return w.keep(secret.Take(bytes.TrimSuffix(line, []byte("\r"))))
}

// newFile makes a key file of random bytes that only its owner can read, durable before the volume is.
func (w *wiped) newFile(path string) (*secret.Secret, error) {
	secret, err := w.keep(secret.Random(key.MasterSize))
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, hinted{fmt.Errorf("key file %s is there already", path), "use it with --key-file, or name a new one: none is ever overwritten"}
	}
	if err != nil {
		return nil, err
	}
	_, err = file.Write(secret.Bytes())
	if err := errors.Join(cmp.Or(err, file.Sync()), file.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return secret, nil
}

// ask reads a passphrase from the terminal, which is not where the standard descriptors lead.
func (w *wiped) ask(prompt string) (*secret.Secret, error) {
	terminal, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, hinted{errors.New("there is no terminal to ask for the passphrase"), "name a key with --passphrase-file, --key-file or --identity"}
	}
	defer terminal.Close()
	io.WriteString(terminal, prompt)
	text, err := term.ReadPassword(int(terminal.Fd()))
	io.WriteString(terminal, "\n")
	if err != nil {
		return nil, fmt.Errorf("reading the passphrase: %w", err)
	}
	return w.keep(secret.Take(text))
}

func (w *wiped) askTwice() (*secret.Secret, error) {
	first, err := w.ask("New passphrase: ")
	if err != nil {
		return nil, err
	}
	second, err := w.ask("The same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		return nil, errors.New("the passphrases differ")
	}
	return first, nil
}
