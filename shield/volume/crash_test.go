// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

// dump is all that a volume shows, but for times of access. Contents are looked at anew when the time of change moved.
type dumper struct {
	contents map[[2]Time]string
}

func (d *dumper) dump(t testing.TB, v *Volume) string {
	t.Helper()
	var out strings.Builder
	var walk func(inode uint64, name string)
	walk = func(inode uint64, name string) {
		a, err := v.Attributes(inode)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		a.Accessed = Time{}
		fmt.Fprintf(&out, "%s %+v", name, a)
		names, err := v.ListXattrs(inode)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, xattr := range names {
			value, err := v.Xattr(inode, xattr)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			fmt.Fprintf(&out, " %s=%x", xattr, sha256.Sum256(value))
		}
		if a.Mode&ModeType == ModeRegular {
			key := [2]Time{{Seconds: int64(inode)}, a.Changed}
			if _, known := d.contents[key]; !known {
				d.contents[key] = hashOf(t, v, inode, int64(a.Size))
			}
			out.WriteString(d.contents[key])
		}
		out.WriteByte('\n')
		if a.Mode&ModeType != ModeDirectory {
			return
		}
		if err := v.Directory(inode, 0, func(e Entry) bool { walk(e.Inode, name+"/"+e.Name); return true }); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	walk(RootInode, "")
	return out.String()
}

// hashOf is a digest of the data of a file, and where it is.
func hashOf(t testing.TB, v *Volume, inode uint64, size int64) string {
	t.Helper()
	hash := sha256.New()
	buffer := make([]byte, 1<<20)
	for at := int64(0); at < size; {
		data, err := v.Seek(inode, at, SeekData)
		if err == ErrBeyondEnd {
			break
		}
		end, holeErr := v.Seek(inode, data, SeekHole)
		if err != nil || holeErr != nil {
			t.Fatal(err, holeErr)
		}
		for at = data; at < end; {
			n, err := v.Read(inode, at, buffer[:min(int64(len(buffer)), end-at)])
			if err != nil || n == 0 {
				t.Fatalf("%d bytes at %d: %v", n, at, err)
			}
			fmt.Fprint(hash, at)
			hash.Write(buffer[:n])
			at += int64(n)
		}
	}
	return fmt.Sprintf(" %x", hash.Sum(nil))
}

// moment is an image as a power cut would leave it, and how many operations may be in it at least and at most.
type moment struct {
	image    *disk
	from, to int
}

// crashOperation changes a small tree; large files are sparse, so that they are freed in steps.
func crashOperation(v *Volume, random *rand.Rand) {
	parent := uint64(RootInode)
	name := func() string { return string(rune('a' + random.IntN(4))) }
	if a, err := v.Lookup(parent, "a"); err == nil && a.Mode&ModeType == ModeDirectory && random.IntN(2) == 0 {
		parent = a.Inode
	}
	a, err := v.Lookup(parent, name())
	regular := err == nil && a.Mode&ModeType == ModeRegular
	switch choice := random.IntN(12); {
	case choice < 2:
		_, _ = v.Make(parent, name(), ModeRegular|0o644, 0, Credentials{})
	case choice < 3:
		_, _ = v.Make(parent, name(), ModeDirectory|0o755, 0, Credentials{})
	case choice < 4:
		_ = v.Unlink(parent, name())
	case choice < 6:
		_ = v.Rename(parent, name(), RootInode, name(), uint32(random.IntN(3)))
	case choice < 7 && err == nil:
		_ = v.SetXattr(a.Inode, "user.a", make([]byte, random.IntN(9000)), 0)
	case choice < 8 && regular:
		_, _ = v.Link(a.Inode, RootInode, name())
	case choice < 10 && regular:
		_, _ = v.Write(a.Inode, int64(random.IntN(4))*3000, pattern(random.IntN(20000), byte(random.IntN(256))), 0)
	case choice < 11 && regular:
		sizes := []uint64{0, 100, 5000, 20000, 30 << 20}
		_, _ = v.Change(a.Inode, Changes{Valid: ChangeSize, Size: sizes[random.IntN(len(sizes))]})
	case regular:
		offset := int64(random.IntN(4)) * 5000
		_ = v.Allocate(a.Inode, AllocatePunchHole|AllocateKeepSize, offset, int64(random.IntN(2))*20<<20+8000, 0)
	}
}

// sprinkle gives a file a block in each of many groups, in operations of their own.
func sprinkle(v *Volume, done func()) {
	a, err := v.Make(RootInode, "d", ModeRegular|0o644, 0, Credentials{})
	done()
	if err != nil {
		return
	}
	for group := range int64(70) {
		_, _ = v.Write(a.Inode, group*groupSize*blockSize, pattern(10, byte(group)), 0)
		done()
	}
}

// TestPowerCutLeavesWholeOperations cuts the power while operations and syncs are under way: of the writes since the last flush of the disk any may be there. The volume
// opens, contradicts itself nowhere, and is as it was after one of the operations: at least the last one that was synced.
func TestPowerCutLeavesWholeOperations(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("Seed", seed), func(t *testing.T) { powerCut(t, rand.New(rand.NewPCG(seed, 3))) })
	}
}

func powerCut(t *testing.T, random *rand.Rand) {
	image := newDisk(0)
	f := formatted(t, image, 1<<20)
	if err := f.store.Sync(); err != nil {
		t.Fatal(err)
	}
	f.step = 10 // large files take many batches
	dumps := dumper{map[[2]Time]string{}}
	states := []string{dumps.dump(t, f.Volume)} // after so many operations
	synced, observed := 0, 0
	moments := make([]moment, 0, 100)
	f.apply = func(b *store.Batch) error {
		err := f.store.Apply(b)
		switch random.IntN(20) {
		case 0:
			err = errors.Join(err, f.store.Checkpoint())
			synced = len(states) - 1
		case 1, 2, 3, 4:
			err = errors.Join(err, f.store.Sync())
			synced = len(states) - 1
		}
		return err
	}
	image.observe = func(d *disk) { // a sample of all moments
		observed++
		at := random.IntN(observed)
		if len(moments) < cap(moments) {
			at = len(moments)
			moments = append(moments, moment{})
		}
		if at < len(moments) {
			moments[at] = moment{d.after(random), synced, len(states)}
		}
	}
	done := func() { states = append(states, dumps.dump(t, f.Volume)) }
	for i := range 600 {
		if i%50 == 20 {
			sprinkle(f.Volume, done)
		}
		crashOperation(f.Volume, random)
		done()
	}
	image.observe = nil
	f.check(t)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	interrupted := 0
	for i, m := range moments {
		after := &fixture{image: m.image}
		if hasNotes(t, after) {
			interrupted++
		}
		after.open(t)
		after.checkAfterCrash(t)
		state := (&dumper{map[[2]Time]string{}}).dump(t, after.Volume)
		if at := slices.Index(states, state); !slices.Contains(states[m.from:min(m.to+1, len(states))], state) {
			t.Errorf("moment %d, between %d and %d operations: as after %d; has\n%s", i, m.from, m.to, at, state)
		}
		if after.Statistics().Inodes > 100 {
			t.Errorf("moment %d: %+v", i, after.Statistics())
		}
		if err := after.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
	if interrupted == 0 {
		t.Error("no moment amid the steps of an operation")
	}
	t.Logf("%d moments of %d, %d amid the steps of an operation", len(moments), observed, interrupted)
}

// hasNotes says whether an image was left amid an operation that takes several batches.
func hasNotes(t *testing.T, f *fixture) (found bool) {
	options := testOptions(t)
	options.ReadOnly = true
	s, err := store.Open(f.image, options)
	if err == nil {
		err = s.Scan([]byte{kindOrphan}, []byte{kindOrphan + 1}, func(_, _ []byte) bool { found = true; return false })
	}
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return found
}
