// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Holder is a container that holds a pair, alone or with others.
type Holder struct {
	ID      string `json:"id"`                // of the container, unique among all users of the registry
	Runtime string `json:"runtime,omitempty"` // what runs it, for people to read

	// The process that answers for the container: its creator first, later its own first process; 0 for none.
	PID       int    `json:"pid,omitempty"`
	StartTime uint64 `json:"startTime,omitempty"` // of the process, in clock ticks since boot
	BootID    string `json:"bootId,omitempty"`    // of the boot that PID and StartTime belong to

	// Record is an absolute path that exists as long as the container does, running or stopped. The pair is held
	// while it exists or the process runs; when it is empty, while the process runs.
	Record string `json:"record,omitempty"`

	// Volumes are absolute paths, symbolic links resolved, whose content is labelled for this pair alone (":Z").
	Volumes []string `json:"volumes,omitempty"`

	// Labelled are the Volumes of a container that is gone. They hold its pair as long as one of them has the label still: who got the pair
	// could read them.
	Labelled []string `json:"labelled,omitempty"`

	// Reserved holds the pair until it is released, whatever lives: for what has no record here, such as a virtual machine or another engine.
	Reserved bool `json:"reserved,omitempty"`

	// Pending says that the cluster has not agreed yet, and Leaving, of a holder that is nobody, that its key is still to be removed there.
	Pending bool `json:"pending,omitempty"`
	Leaving bool `json:"leaving,omitempty"`
}

// leaving stands in the file of a pair that nobody holds any more, until the cluster knows.
var leaving = []Holder{{ID: "leaving", Leaving: true}}

// onlyLeaving reports whether nobody holds the pair but for the removal of its key.
func onlyLeaving(holders []Holder) bool {
	return !slices.ContainsFunc(holders, func(h Holder) bool { return !h.Leaving })
}

// remains is the holder that a container leaves when it goes, with its volumes.
func (h Holder) remains() Holder {
	return Holder{ID: remainsPrefix + h.ID, Runtime: h.Runtime, Labelled: h.Volumes}
}

const remainsPrefix = "volumes of "

// check refuses a holder that could not be told to be gone, or would seem so at once.
func (h Holder) check() error {
	switch {
	case h.ID == "":
		return errors.New("holder has no ID")
	case h.PID < 0:
		return fmt.Errorf("holder %q: PID %d is negative", h.ID, h.PID)
	case h.PID == 0 && h.Record == "" && len(h.Labelled) == 0 && !h.Reserved && !h.Leaving:
		return fmt.Errorf("holder %q has neither a process nor a record to live by", h.ID)
	case h.PID != 0 && h.BootID == "":
		return fmt.Errorf("holder %q: PID %d comes without the boot it belongs to", h.ID, h.PID)
	case h.Record != "" && !filepath.IsAbs(h.Record):
		return fmt.Errorf("holder %q: record %q is not absolute", h.ID, h.Record)
	}
	for _, volume := range slices.Concat(h.Volumes, h.Labelled) {
		if !filepath.IsAbs(volume) {
			return fmt.Errorf("holder %q: volume %q is not absolute", h.ID, volume)
		}
	}
	return nil
}

func (h Holder) equal(other Holder) bool { return reflect.DeepEqual(h, other) }

// Claims reports whether one of the holder's private volumes is path, holds it, or lies in it.
func (h Holder) Claims(path string) bool {
	return slices.ContainsFunc(h.Volumes, func(volume string) bool {
		return inside(volume, path) || inside(path, volume)
	})
}

// Succeeds reports whether other is what a container left that is gone, and all of it is this one's now.
func (h Holder) Succeeds(other Holder) bool {
	return len(other.Labelled) > 0 && !slices.ContainsFunc(other.Labelled, func(left string) bool {
		return !slices.ContainsFunc(h.Volumes, func(volume string) bool { return inside(left, volume) })
	})
}

// inside reports whether path is directory or below it, by the words of the two paths.
func inside(path, directory string) bool {
	path, directory = filepath.Clean(path), filepath.Clean(directory)
	return path == directory || strings.HasPrefix(path, strings.TrimSuffix(directory, "/")+"/")
}

// Entry is a pair that is taken.
type Entry struct {
	Pair    Pair
	Holders []Holder // first who took it, then those who share it; empty when Err is set
	Err     error    // the pair's file cannot be read or understood; the pair is not free
}

// maxEntry bounds a pair's file, in bytes.
const maxEntry = 1 << 20

// content is the JSON of a pair's file.
type content struct {
	Version int      `json:"version"`
	Holders []Holder `json:"holders"`
}

const contentVersion = 1

func encodeHolders(holders []Holder) ([]byte, error) {
	if err := checkHolders(holders); err != nil {
		return nil, err
	}
	data, err := json.Marshal(content{contentVersion, holders})
	if err != nil {
		return nil, err
	}
	if len(data) >= maxEntry {
		return nil, fmt.Errorf("holders of one pair need %d bytes, and %d is the limit", len(data), maxEntry)
	}
	return append(data, '\n'), nil
}

// decodeHolders is strict: a field or version it does not know may be what keeps the pair held, and would be lost when
// the file is next written.
func decodeHolders(data []byte) ([]Holder, error) {
	var read content
	if err := decodeStrict(data, &read); err != nil {
		return nil, err
	}
	if read.Version != contentVersion {
		return nil, fmt.Errorf("version %d, where %d is known", read.Version, contentVersion)
	}
	return read.Holders, checkHolders(read.Holders)
}

// decodeStrict reads one JSON value of at most maxEntry bytes, and refuses fields that it does not know.
func decodeStrict(data []byte, into any) error {
	if len(data) > maxEntry {
		return fmt.Errorf("longer than %d bytes", maxEntry)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("byte %d: %w", decoder.InputOffset(), err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fmt.Errorf("byte %d: more than one value", decoder.InputOffset())
	}
	return nil
}

func checkHolders(holders []Holder) error {
	if len(holders) == 0 {
		return errors.New("no holder")
	}
	seen := make(map[string]bool, len(holders))
	for _, holder := range holders {
		if err := holder.check(); err != nil {
			return err
		}
		if seen[holder.ID] {
			return fmt.Errorf("holder %q is there twice", holder.ID)
		}
		seen[holder.ID] = true
	}
	return nil
}

// withRemains adds what a container left, to what an earlier one of the same name did.
func withRemains(holders []Holder, left Holder) []Holder {
	i := indexOf(holders, left.ID)
	if i < 0 {
		return append(holders, left)
	}
	for _, volume := range left.Labelled {
		if !slices.Contains(holders[i].Labelled, volume) {
			holders[i].Labelled = append(slices.Clip(holders[i].Labelled), volume)
		}
	}
	return holders
}

func indexOf(holders []Holder, id string) int {
	return slices.IndexFunc(holders, func(holder Holder) bool { return holder.ID == id })
}
