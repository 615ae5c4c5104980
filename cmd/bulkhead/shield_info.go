// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/enforce/shield"
	"github.com/bulkhead-project/bulkhead/shield/anchor"
	"github.com/bulkhead-project/bulkhead/shield/key"
	"github.com/bulkhead-project/bulkhead/shield/process"
	"github.com/bulkhead-project/bulkhead/shield/store"
)

// shieldImage is the name of the image in the volume's directory.
const shieldImage = "blocks"

// volumeReport is what info prints. It is what can be said without a key: nothing in it is confirmed until the volume is opened.
type volumeReport struct {
	Volume  string       `json:"volume"`
	Version uint8        `json:"version"`
	Policy  string       `json:"policy"`
	Level   string       `json:"level"`
	Anchor  string       `json:"anchor"`
	Epoch   uint64       `json:"epoch"`  // as this host's anchor has it; 0 where it has none
	Closed  bool         `json:"closed"` // in order, after the last change
	Size    int64        `json:"size"`   // of the image, in bytes
	Stored  int64        `json:"stored"` // what it occupies on the host, in bytes
	Slots   []slotReport `json:"slots"`

	// Process is what the process says that serves the volume, or served it last since the machine started.
	Process *processReport `json:"process,omitempty"`

	Does []string `json:"protects"`
	Not  []string `json:"does_not_protect"`
}

type processReport struct {
	process.Status
	State string `json:"state"` // serving, ended, killed
}

type slotReport struct {
	Number uint8  `json:"number"`
	Kind   string `json:"kind"`
	Level  string `json:"level"`
	Detail string `json:"detail"`
}

func shieldInfo() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{Use: "info [OPTIONS] VOLUME", Short: "say what protects a volume, and what does not", Args: arguments(cobra.ExactArgs(1)),
		Long: "Say what protects a volume and what does not, which keys open it, and where its freshness is kept. It takes no key, so that it believes what the header says;\n" +
			"every verb that opens the volume checks the header with the key."}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		header, err := key.ReadFile(args[0])
		if err != nil {
			return err
		}
		report, err := reportVolume(header, args[0])
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(command.OutOrStdout(), report)
		}
		return printVolume(command.OutOrStdout(), report)
	}
	return command
}

func reportVolume(header *key.Header, directory string) (*volumeReport, error) {
	report := &volumeReport{Volume: header.ID(), Version: header.Version, Policy: header.Policy.String(), Level: header.Level().String(), Anchor: header.Anchor.String(), Slots: []slotReport{}}
	for i := range header.Slots {
		report.Slots = append(report.Slots, reportSlot(&header.Slots[i]))
	}
	var err error
	if report.Size, report.Stored, err = imageSize(filepath.Join(directory, shieldImage)); err != nil {
		return nil, err
	}
	known, err := knownState(header)
	if err != nil {
		return nil, err
	}
	report.Epoch, report.Closed = known.Epoch, known.Clean
	if report.Process, err = servingProcess(header); err != nil {
		return nil, err
	}
	report.Does, report.Not = protection(header)
	if header.Anchor != key.AnchorNone && known == (store.State{}) {
		report.Not = append(report.Not, "this host has not seen the volume before: nothing tells it from an older copy until it was opened once")
	}
	return report, nil
}

// knownState is what this host's anchor says of the volume, without the key that would confirm it.
func knownState(header *key.Header) (store.State, error) {
	directory, err := anchor.Directory()
	if err != nil || header.Anchor == key.AnchorNone {
		return store.State{}, err
	}
	file, err := os.Open(filepath.Join(directory, header.ID()))
	if errors.Is(err, fs.ErrNotExist) {
		return store.State{}, nil
	}
	if err != nil {
		return store.State{}, err
	}
	defer file.Close()
	return anchor.Peek(file, header.Volume)
}

func reportSlot(slot *key.Slot) slotReport {
	report := slotReport{slot.Number, string(slot.Kind), slot.Level().String(), ""}
	switch slot.Kind {
	case key.KindPassphrase:
		report.Detail = fmt.Sprintf("Argon2id, %d passes over %d MiB, %d threads", slot.Cost.Time, slot.Cost.Memory>>10, slot.Cost.Threads)
	case key.KindFile:
		report.Detail = "HKDF-SHA256"
	case key.KindAge:
		report.Detail = shortRecipient(slot.Recipient)
	case key.KindTPM:
		report.Detail = "registers " + key.FormatPCRs(slot.PCRs)
		if slot.Vouched == key.LevelNone {
			report.Detail += "; when it was sealed the TPM was software, or had measured nothing"
		}
	}
	return report
}

// shortRecipient keeps the hybrid recipients, of 2,000 characters, to a line.
func shortRecipient(text string) string {
	if len(text) <= 70 {
		return text
	}
	return text[:50] + "..." + text[len(text)-8:]
}

// protection says in plain words what the volume's header promises, and what it does not.
func protection(header *key.Header) (does, not []string) {
	switch header.Policy {
	case key.Encrypted:
		does = append(does, "contents, names, links, sizes and attributes of files cannot be read in the backing store")
	case key.Authenticated:
		not = append(not, "contents of files can be read in the backing store (policy authenticated)")
	case key.Ephemeral:
		does = append(does, "nobody reads the volume once the process that made its key has ended")
	}
	does = append(does, "a block, a file or a name that was changed, moved or replaced by an older one is found out when it is read")
	switch header.Anchor {
	case key.AnchorNone:
		not = append(not, "an older copy of the whole volume is taken for the volume (no anchor)")
	case key.AnchorFile:
		does = append(does, "an older copy of the whole volume is found out by this host")
		not = append(not, "whoever may also restore the anchor's file on this host can put back an older copy of both; so can a power cut, back to the last checkpoint")
	case key.AnchorTPM:
		does = append(does, "an older copy of the whole volume is found out by this host, also with the anchor's file of the same time, as soon as the TPM has counted since")
	}
	if header.Level() == key.LevelNone {
		not = append(not, "no hardware vouches for the machine that opens it: root and the kernel of that machine see everything while it is open")
	} else {
		not = append(not, "root and the kernel of the machine see everything while it is open, if they are those that the TPM measured")
	}
	not = append(not, "how much is stored, and which parts of the image are read and written when, can be seen", "who kept an older header and a key that was removed since opens it still")
	return does, not
}

// servingProcess reads the report of the process that serves the volume; nil without one.
func servingProcess(header *key.Header) (*processReport, error) {
	path := shield.ReportFile(header.Volume)
	if path == "" {
		return nil, nil
	}
	var report processReport
	for try := 0; ; try++ {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 {
			return nil, nil
		}
		if err == nil {
			err = json.Unmarshal(text, &report.Status)
		}
		if err == nil {
			break
		}
		if try == 5 { // it is replaced in place, so that it may be read half done
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", report.PID))
	switch {
	case report.Ended != nil:
		report.State = "ended"
	case err == nil && strings.HasPrefix(string(name), "bulkhead-shield"):
		report.State = "serving"
	default:
		report.State = "killed"
	}
	return &report, nil
}

// imageSize is how long the image is, and what it occupies: 0 where there is none, as of an ephemeral volume that nobody has open.
func imageSize(path string) (size, stored int64, err error) {
	status, err := os.Stat(path)
	if os.IsNotExist(err) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	return status.Size(), status.Sys().(*syscall.Stat_t).Blocks * 512, nil
}

func printVolume(out io.Writer, report *volumeReport) error {
	fmt.Fprintf(out, "volume %s, format %d, policy %s, level %s, anchor %s\n", report.Volume, report.Version, report.Policy, report.Level, report.Anchor)
	fmt.Fprintf(out, "image of %.1f MiB, %.1f MiB of them on the host's disk", float64(report.Size)/(1<<20), float64(report.Stored)/(1<<20))
	if report.Epoch > 0 {
		fmt.Fprintf(out, ", epoch %d, %s", report.Epoch, map[bool]string{true: "closed", false: "open, or not closed well"}[report.Closed])
	}
	fmt.Fprint(out, "\n")
	printProcess(out, report.Process)
	fmt.Fprint(out, "\n")
	for _, line := range report.Does {
		fmt.Fprintf(out, "  protects: %s\n", line)
	}
	for _, line := range report.Not {
		fmt.Fprintf(out, "  does not: %s\n", line)
	}
	if len(report.Slots) == 0 {
		return nil
	}
	fmt.Fprintln(out)
	return printSlotTable(out, report.Slots)
}

func printProcess(out io.Writer, p *processReport) {
	if p == nil {
		return
	}
	var answered uint64
	for _, count := range p.Requests {
		answered += count
	}
	fmt.Fprintf(out, "process %d, %s: since %s, %d requests answered, %d of them with EIO\n", p.PID, p.State, p.Started.Format(time.RFC3339), answered, p.Failed)
	for _, failure := range p.Failures {
		fmt.Fprintf(out, "  failed: %s %s of inode %d: %s\n", failure.Time.Format(time.RFC3339), failure.Operation, failure.Inode, oneLine(failure.Reason))
	}
	if p.CloseFail != "" {
		fmt.Fprintf(out, "  failed: closing: %s\n", oneLine(p.CloseFail))
	}
}

func printSlots(out io.Writer, header *key.Header) error {
	var slots []slotReport
	for i := range header.Slots {
		slots = append(slots, reportSlot(&header.Slots[i]))
	}
	return printSlotTable(out, slots)
}

func printSlotTable(out io.Writer, slots []slotReport) error {
	var rows [][]string
	for _, slot := range slots {
		rows = append(rows, []string{strconv.Itoa(int(slot.Number)), slot.Kind, slot.Level, slot.Detail})
	}
	return printTable(out, []string{"SLOT", "KEY", "LEVEL", "DETAIL"}, rows)
}
