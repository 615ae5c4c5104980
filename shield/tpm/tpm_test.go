// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/bulkhead-project/bulkhead/shield/anchor"
	"github.com/bulkhead-project/bulkhead/shield/secret"
	"github.com/bulkhead-project/bulkhead/shield/store"
	"github.com/bulkhead-project/bulkhead/test/swtpm"
)

func open(t *testing.T, path string) *Device {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func key(t *testing.T) *secret.Secret {
	t.Helper()
	s, err := secret.Take(bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Wipe)
	return s
}

// extend changes a register for good, as firmware and boot loaders do.
func extend(t *testing.T, d *Device, register int) {
	t.Helper()
	_, err := tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(register), Auth: tpm2.PasswordAuth(nil)},
		Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: bytes.Repeat([]byte{1}, 32)}}}}.Execute(d.send)
	if err != nil {
		t.Fatal(err)
	}
}

func TestSealedKeyIsReleasedInTheSameStateOnly(t *testing.T) {
	d := open(t, swtpm.Start(t))
	extend(t, d, 7)
	public, private, err := d.Seal(key(t), []int{7, 11})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 { // more than the TPM has room for objects and sessions, were they not flushed
		opened, err := d.Unseal(public, private, []int{7, 11})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(opened.Bytes(), key(t).Bytes()) {
			t.Error("another key")
		}
		opened.Wipe()
	}
	if _, err := d.Unseal(public, private, []int{7}); !errors.Is(err, ErrState) {
		t.Errorf("other registers: %v", err)
	}
	extend(t, d, 1)
	if _, err := d.Unseal(public, private, []int{7, 11}); err != nil {
		t.Errorf("after a register that is not in the policy changed: %v", err)
	}
	extend(t, d, 11)
	if _, err := d.Unseal(public, private, []int{7, 11}); !errors.Is(err, ErrState) {
		t.Errorf("after register 11 changed: %v", err)
	}
}

func TestSealedKeyIsOfOneTPM(t *testing.T) {
	d := open(t, swtpm.Start(t))
	public, private, err := d.Seal(key(t), []int{7})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, swtpm.Start(t)).Unseal(public, private, []int{7}); !errors.Is(err, ErrOther) {
		t.Errorf("another TPM: %v", err)
	}
	private[len(private)-1] ^= 1
	if _, err := d.Unseal(public, private, []int{7}); !errors.Is(err, ErrOther) {
		t.Errorf("a changed one: %v", err)
	}
	for _, garbage := range [][]byte{nil, {0}, bytes.Repeat([]byte{0xff}, 1000)} {
		if _, err := d.Unseal(garbage, garbage, []int{7}); !errors.Is(err, ErrOther) {
			t.Errorf("%.4x: %v", garbage, err)
		}
	}
}

func TestNothingIsTakenForEvidenceThatIsNone(t *testing.T) {
	d := open(t, swtpm.Start(t))
	if why, err := d.Vouches([]int{7}); err != nil || !strings.Contains(why, "no device of this kernel") {
		t.Errorf("a socket: %q, %v", why, err)
	}
	d.kernel = true // as if it were one
	if why, err := d.Vouches([]int{7}); err != nil || !strings.Contains(why, "it is software (IBM SW TPM)") {
		t.Errorf("a TPM in software: %q, %v", why, err)
	}
	if measured, err := d.measured([]int{0, 7, 17}); err != nil || measured {
		t.Errorf("registers as after a reset are taken for a measurement: %v", err)
	}
	extend(t, d, 16)
	extend(t, d, 23)
	if measured, err := d.measured([]int{16, 23}); err != nil || measured {
		t.Errorf("registers that can be reset are taken for a measurement: %v", err)
	}
	extend(t, d, 7)
	if measured, err := d.measured([]int{0, 7}); err != nil || !measured {
		t.Errorf("a measurement is not: %v", err)
	}
}

func TestWhatIsNoTPMIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Dir(file), file + "?"} {
		if _, err := Open(path); err == nil {
			t.Errorf("%s was opened", path)
		}
	}
}

// counter is the counter as the process that serves a volume sees it.
func counter(d *Device, index uint32, password string) *anchor.Counter {
	return &anchor.Counter{Device: d.ReadWriter(), Index: index, Auth: []byte(password)}
}

func TestCounterCountsAndNeverGoesBack(t *testing.T) {
	d := open(t, swtpm.Start(t))
	index, err := d.MakeCounter([]byte("password"))
	if err != nil {
		t.Fatal(err)
	}
	c := counter(d, index, "password")
	if err := c.Increment(); err != nil { // a counter that never counted cannot be read
		t.Fatal(err)
	}
	before, err := c.Read()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := c.Increment(); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := c.Read(); err != nil || after != before+3 {
		t.Errorf("%d after %d: %v", after, before, err)
	}
	if err := counter(d, index, "guess").Increment(); err == nil || !strings.Contains(err.Error(), "0x98e") && !strings.Contains(err.Error(), "0x9a2") {
		t.Errorf("with another password: %v", err)
	}
	second, err := d.MakeCounter([]byte("other"))
	if err != nil || second == index {
		t.Errorf("a second counter: 0x%x, %v", second, err)
	}
	if err := d.RemoveCounter(index); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(); err == nil {
		t.Error("a removed counter is read")
	}
	again, err := d.MakeCounter([]byte("password"))
	if err != nil || again != index {
		t.Fatalf("0x%x, %v", again, err)
	}
	if err := c.Increment(); err != nil {
		t.Fatal(err)
	}
	if value, err := c.Read(); err != nil || value <= before+3 {
		t.Errorf("made again at %d, where it was %d: %v", value, before+3, err)
	}
	if err := d.RemoveCounter(0x01c00002); err == nil {
		t.Error("an index of the manufacturer's was removed")
	}
}

// host is what an attacker with the disk restores: the anchor's file.
type host struct {
	t    *testing.T
	path string
	c    *anchor.Counter
	now  time.Time
}

var volume = [16]byte{1}

func (h *host) open(accept bool) *anchor.TPM {
	h.t.Helper()
	storage, err := anchor.OpenFile(filepath.Dir(h.path), volume)
	if err != nil {
		h.t.Fatal(err)
	}
	file, err := anchor.NewFile(storage, bytes.Repeat([]byte{7}, 32), volume)
	if err != nil {
		h.t.Fatal(err)
	}
	return anchor.NewTPM(file, h.c, accept, func() time.Time { return h.now })
}

func (h *host) copy() []byte {
	h.t.Helper()
	text, err := os.ReadFile(h.path)
	if err != nil {
		h.t.Fatal(err)
	}
	return text
}

func (h *host) restore(text []byte) {
	h.t.Helper()
	if err := os.WriteFile(h.path, text, 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// load says what an opening now would make of the anchor, and changes it no more than that does.
func (h *host) load() (store.State, error) {
	a := h.open(false)
	defer a.Close()
	return a.Load(volume)
}

func newHost(t *testing.T) *host {
	d := open(t, swtpm.Start(t))
	index, err := d.MakeCounter([]byte("p"))
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t, filepath.Join(t.TempDir(), "01000000000000000000000000000000"), counter(d, index, "p"), time.Unix(1000, 0)}
	if err := h.c.Increment(); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestFileAndVolumeOfBeforeTheLastCountAreRefused(t *testing.T) {
	h := newHost(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a := h.open(true)
	if s, err := a.Load(volume); err != nil || s != (store.State{}) {
		t.Fatalf("a new volume: %+v, %v", s, err)
	}
	must(a.Commit(volume, store.State{Epoch: 1}))
	must(a.Commit(volume, store.State{Epoch: 2, Clean: true}))
	must(a.Close())
	first := h.copy()

	a = h.open(false)
	if s, err := a.Load(volume); err != nil || s.Epoch != 2 {
		t.Fatal(s, err)
	}
	must(a.Commit(volume, store.State{Epoch: 3}))
	opened := h.copy()
	must(a.Note(volume, store.State{Epoch: 3, Sequence: 5}))
	value, err := h.c.Read()
	must(err)
	h.now = h.now.Add(anchor.CountEvery / 2)
	must(a.Commit(volume, store.State{Epoch: 4}))
	if now, err := h.c.Read(); err != nil || now != value {
		t.Errorf("the memory of the TPM is not spared: %d after %d, %v", now, value, err)
	}
	h.now = h.now.Add(anchor.CountEvery)
	must(a.Commit(volume, store.State{Epoch: 5}))
	must(a.Note(volume, store.State{Epoch: 5, Sequence: 1}))
	must(a.Close()) // as kill -9 leaves it
	killed := h.copy()

	for name, copy := range map[string][]byte{"OfTheFormerOpening": first, "OfBeforeTheCountInBetween": opened} {
		h.restore(copy)
		if _, err := h.load(); store.KindOf(err) != store.RolledBack {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.restore(nil)
	if _, err := h.load(); store.KindOf(err) != store.RolledBack {
		t.Errorf("the file was emptied: %v", err)
	}
	h.restore(killed)
	if s, err := h.load(); err != nil || s != (store.State{Epoch: 5, Sequence: 1}) {
		t.Errorf("the newest: %+v, %v", s, err)
	}
	h.restore(first)
	a = h.open(true)
	if _, err := a.Load(volume); err != nil {
		t.Errorf("an accepted rollback: %v", err)
	}
	must(a.Commit(volume, store.State{Epoch: 6}))
	must(a.Close())
	if s, err := h.load(); err != nil || s.Epoch != 6 {
		t.Errorf("after it: %+v, %v", s, err)
	}
}

// deaf is a TPM that is cut off at the n-th command from now.
type deaf struct {
	anchorDevice
	left int
}

type anchorDevice interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
}

func (d *deaf) Write(p []byte) (int, error) {
	if d.left--; d.left < 0 {
		return 0, errors.New("cut off")
	}
	return d.anchorDevice.Write(p)
}

func TestCrashBetweenFileAndCounterIsNoRollback(t *testing.T) {
	h := newHost(t)
	a := h.open(true)
	if _, err := a.Load(volume); err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(volume, store.State{Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	a.Close()
	before := h.copy()

	device := h.c.Device
	h.c.Device = &deaf{device.(anchorDevice), 1} // it can be read, and not count
	a = h.open(false)
	if _, err := a.Load(volume); err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(volume, store.State{Epoch: 2}); err == nil {
		t.Fatal("the counter counted")
	}
	a.Close()
	h.c.Device = device
	if s, err := h.load(); err != nil || s.Epoch != 2 {
		t.Fatalf("after the crash: %+v, %v", s, err)
	}
	if s, err := h.load(); err != nil || s.Epoch != 2 {
		t.Fatalf("once more: %+v, %v", s, err)
	}
	h.restore(before)
	if _, err := h.load(); store.KindOf(err) != store.RolledBack {
		t.Errorf("the file of before the crash: %v", err)
	}
}
