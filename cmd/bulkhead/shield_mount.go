// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/enforce/shield"
	"github.com/bulkhead-project/bulkhead/shield/key"
	"github.com/bulkhead-project/bulkhead/shield/process"
	"github.com/bulkhead-project/bulkhead/shield/tpm"
)

// volumeFlags are the options of verbs that open a volume's content.
type volumeFlags struct {
	keyFlags
	readOnly, acceptRollback bool
}

func (v *volumeFlags) add(flags *pflag.FlagSet) {
	v.keyFlags.add(flags)
	flags.BoolVar(&v.acceptRollback, "accept-rollback", false, "take an older state of the volume than the last one that is known, as after restoring a backup")
}

// open unlocks a volume. The master key is wiped by done.
func (v *volumeFlags) open(directory string, out io.Writer) (volume shield.Volume, done func(), err error) {
	if directory, err = filepath.Abs(directory); err != nil {
		return volume, nil, err
	}
	header, unlocked, err := v.unlock(directory, out)
	if err != nil {
		return volume, nil, err
	}
	counter, err := v.counter(header, unlocked)
	if err != nil {
		unlocked.Master.Wipe()
		return volume, nil, err
	}
	return shield.Volume{Directory: directory, Master: unlocked.Master.Bytes(), Counter: counter,
		Setup: process.Setup{Version: header.Version, Policy: uint8(header.Policy), Volume: header.Volume, Anchor: uint8(header.Anchor), Counter: header.Counter,
			ReadOnly: v.readOnly, AcceptRollback: v.acceptRollback}}, unlocked.Master.Wipe, nil
}

// counter opens the TPM that counts for a volume; nil for a volume without.
func (v *volumeFlags) counter(header *key.Header, unlocked *key.Unlocked) (*shield.Counter, error) {
	if header.Anchor != key.AnchorTPM {
		return nil, nil
	}
	password, err := header.Derive(unlocked.Master, "counter", process.MasterSize)
	if err != nil {
		return nil, err
	}
	device, _, err := tpm.OpenFile(v.device.path)
	if err != nil {
		return nil, &key.Error{Fault: key.Unavailable, Reason: "the volume's anchor is a counter of a TPM", Err: err, Hint: "use the machine where it was made, or restore a backup there"}
	}
	return &shield.Counter{Device: device, Password: password}, nil
}

// openFor opens a volume, or begins an ephemeral one in a directory: where the policy, or the header that is there, says so.
func (v *volumeFlags) openFor(policy, directory string, out io.Writer) (shield.Volume, func(), error) {
	if made, err := key.ReadFile(directory); policy == "" && err == nil && made.Policy == key.Ephemeral {
		// Anybody can write such a header in the place of another one.
		if v.named() {
			return shield.Volume{}, nil, &key.Error{Fault: key.Refused, Reason: fmt.Sprintf("%s is ephemeral: no key opens it, and what is written is gone with the mount", directory),
				Hint: "name no key; if the volume is to have one, restore " + key.FileName + " from a backup"}
		}
		fmt.Fprintf(out, "bulkhead: %s is ephemeral: what is written is gone with the mount\n", directory)
		policy = made.Policy.String()
	}
	if policy != key.Ephemeral.String() {
		return v.open(directory, out)
	}
	if err := v.checkEphemeral(); err != nil {
		return shield.Volume{}, nil, err
	}
	header, master, err := key.Create(key.Ephemeral, key.AnchorNone)
	if err != nil {
		return shield.Volume{}, nil, err
	}
	return shield.Volume{Directory: directory, Master: master.Bytes(),
		Setup: process.Setup{Ephemeral: true, Anchor: uint8(header.Anchor), Version: header.Version, Policy: uint8(header.Policy), Volume: header.Volume}}, master.Wipe, nil
}

// checkEphemeral refuses what cannot be had of a volume that begins empty, under a key that nothing vouches for.
func (v *volumeFlags) checkEphemeral() error {
	if v.readOnly {
		return usageError{errors.New("--read-only: an ephemeral volume begins empty, and would stay so")}
	}
	wanted, err := key.ParseLevel(v.level)
	if err != nil {
		return usageError{fmt.Errorf("--require-level: %w", err)}
	}
	return key.CheckLevel(wanted, key.LevelNone)
}

func shieldMount() *cobra.Command {
	var flags volumeFlags
	command := &cobra.Command{Use: "mount [OPTIONS] VOLUME DIRECTORY", Args: arguments(cobra.ExactArgs(2)), Short: "mount a volume without a container, until it is unmounted",
		Long: "Mount a volume onto a directory, and stay until it is unmounted there: by umount(8), or by an interrupt here. It is the same file system that containers get."}
	flags.add(command.Flags())
	command.Flags().BoolVar(&flags.readOnly, "read-only", false, "let nothing change the volume")
	command.RunE = func(command *cobra.Command, args []string) error {
		volume, done, err := flags.openFor("", args[0], command.ErrOrStderr())
		if err != nil {
			return err
		}
		served, err := shield.Mount(volume, args[1])
		done()
		if err != nil {
			return err
		}
		fmt.Fprintf(command.ErrOrStderr(), "bulkhead: %s is mounted on %s, served by process %d\n", args[0], args[1], served.PID)
		stop := unmountOnSignal(args[1], command.ErrOrStderr())
		defer stop()
		if err := served.Wait(); err != nil {
			return hinted{fmt.Errorf("volume %s: the shield process ended badly: %w", args[0], err), "`bulkhead shield verify` says whether all is well"}
		}
		return nil
	}
	return command
}

// unmountOnSignal unmounts the directory when this process is asked to end. Where programs use it still, it says so and waits.
func unmountOnSignal(directory string, out io.Writer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
				err := unix.Unmount(directory, unix.UMOUNT_NOFOLLOW)
				if err == nil {
					return // what a second signal unmounted would be another's
				}
				if errors.Is(err, unix.EBUSY) {
					fmt.Fprintf(out, "bulkhead: warning: %s is in use; it is unmounted when it is asked for again and in use no longer\n", directory)
				} else {
					fmt.Fprintf(out, "bulkhead: warning: unmounting %s: %v\n", directory, err)
				}
			}
		}
	}()
	return func() { signal.Stop(signals); cancel() }
}

func shieldVerify() *cobra.Command {
	var flags volumeFlags
	command := &cobra.Command{Use: "verify [OPTIONS] VOLUME", Args: arguments(cobra.ExactArgs(1)), Short: "read every block of a volume that is not in use, and check it",
		Long: "Read every block of a volume and check that it is what the owner of the key wrote, where it was written, and the newest that there was."}
	flags.add(command.Flags())
	command.RunE = func(command *cobra.Command, args []string) error {
		volume, done, err := flags.open(args[0], command.ErrOrStderr())
		if err != nil {
			return err
		}
		defer done()
		var progress func(done, total uint64)
		if bar := newProgress(command.ErrOrStderr()); bar != nil {
			progress = bar.blocks
		}
		if err := shield.Verify(volume, progress); err != nil {
			return err
		}
		fmt.Fprintf(command.OutOrStdout(), "%s: every block is authentic\n", args[0])
		return nil
	}
	return command
}

// shieldAttach is how containers get their volumes: package container executes it between the OCI runtime's create and start. It prints the process's number.
func shieldAttach() *cobra.Command {
	var flags volumeFlags
	var container shield.Container
	var policy string
	command := &cobra.Command{Use: "attach VOLUME", Hidden: true, Args: arguments(cobra.ExactArgs(1))}
	flags.add(command.Flags())
	command.Flags().BoolVar(&flags.readOnly, "read-only", false, "")
	command.Flags().IntVar(&container.PID, "pid", 0, "")
	command.Flags().StringVar(&container.Target, "target", "", "")
	command.Flags().StringVar(&container.Label, "label", "", "")
	command.Flags().StringVar(&policy, "policy", "", "")
	command.RunE = func(command *cobra.Command, args []string) error {
		volume, done, err := flags.openFor(policy, args[0], command.ErrOrStderr())
		if err != nil {
			return err
		}
		defer done()
		if asked, err := key.ParsePolicy(policy); policy != "" && (err != nil || uint8(asked) != volume.Setup.Policy) {
			return errors.Join(err, fmt.Errorf("volume %s is %s, and not %s", args[0], key.Policy(volume.Setup.Policy), policy))
		}
		served, err := shield.MountIn(volume, container)
		if err != nil {
			return err
		}
		fmt.Fprintln(command.OutOrStdout(), served.PID)
		return nil
	}
	return command
}
