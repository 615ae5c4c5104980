// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// TestOverlay mounts unpacked layers and looks at them as a container would.
func TestOverlay(t *testing.T) {
	store := newStore(t)
	sticky := dir("tmp")
	sticky.Mode, sticky.Uid = 0o1777, 7
	lower := pack(t, dir("./"), file("kept", "lower"), file("deleted", "x"), file("replaced", "lower"), file("gone/a/b", "x"),
		file("emptied/old", "x"), file("renewed/old", "x"), file("late/old", "x"), file("was-directory/x", "x"), file("was-file", "x"),
		file("implied/old", "x"), sticky, file("tmp/old", "x"))
	upper := pack(t, file(".wh.deleted", ""), file("replaced", "upper"), file(".wh.gone", ""), dir("emptied"),
		file("emptied/.wh..wh..opq", ""), file("emptied/new", "x"), file(".wh.renewed", ""), dir("renewed"), file("renewed/new", "x"),
		dir("late"), file("late/new", "x"), file(".wh.late", ""), file("was-directory", "now a file"), dir("was-file"),
		file("was-file/x", "x"), file(".wh.implied", ""), file("implied/new", "x"), file("tmp/new", "x"))
	unpacked := mustUnpack(t, store, imageOf(lower, upper))
	merged := mountOverlay(t, unpacked.Layers)
	want := []string{"emptied", "emptied/new", "implied", "implied/new", "kept", "late", "late/new", "renewed", "renewed/new", "replaced",
		"tmp", "tmp/new", "tmp/old", "was-directory", "was-file", "was-file/x"}
	if got := tree(t, merged); !slices.Equal(got, want) {
		t.Errorf("merged tree\n%q\nwant\n%q", got, want)
	}
	if got := readFile(t, filepath.Join(merged, "replaced")); got != "upper" {
		t.Errorf("replaced holds %q", got)
	}
	var status unix.Stat_t
	if err := unix.Stat(filepath.Join(merged, "tmp"), &status); err != nil || status.Mode&0o7777 != 0o1777 || status.Uid != 7 {
		t.Errorf("an implied /tmp has mode %o, owner %d, %v", status.Mode, status.Uid, err)
	}
}

// TestOpaqueRoot shows that a layer can hide all below it, which overlayfs cannot express.
func TestOpaqueRoot(t *testing.T) {
	store := newStore(t)
	unpacked := mustUnpack(t, store, imageOf(pack(t, file("old", "x")), pack(t, file(".wh..wh..opq", ""), file("new", "x")), pack(t, file("newer", "x"))))
	if got, want := tree(t, mountOverlay(t, unpacked.Layers)), []string{"new", "newer"}; !slices.Equal(got, want) {
		t.Errorf("merged tree %q, want %q", got, want)
	}
}

func mountOverlay(t *testing.T, layers []string) string {
	t.Helper()
	merged, work := t.TempDir(), t.TempDir()
	for _, name := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(work, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	lower := slices.Clone(layers)
	slices.Reverse(lower)
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", strings.Join(lower, ":"), work, work)
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(merged, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return merged
}

func tree(t *testing.T, root string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, _ os.DirEntry, err error) error {
		if name != root {
			names = append(names, strings.TrimPrefix(name, root+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestCorruptLayers shows that a layer that is not what its image says is refused and not kept.
func TestCorruptLayers(t *testing.T) {
	noise := make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(noise)
	content := pack(t, file("first", "x"), file("noise", string(noise)))
	other := pack(t, file("first", "y"))
	packed := compress(t, content)
	broken := bytes.Clone(packed)
	broken[len(broken)/2] ^= 1
	shut := fmt.Errorf("connection lost")
	claim := func(content, blob, real []byte) layer {
		l := memory(content, blob)
		l.open = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(real)), nil }
		return l
	}
	for _, c := range []struct {
		finding, want string
		layer         layer
	}{
		{"flipped bit in gzip", `gzip: invalid checksum`, claim(content, packed, broken)},
		{"truncated gzip", `entry "noise": unexpected EOF`, claim(content, packed, packed[:len(packed)/2])},
		{"truncated gzip header", `unexpected EOF`, claim(content, packed, packed[:5])},
		{"truncated tar in an entry", `entry "noise": unexpected EOF`, claim(content, content, content[:len(content)/2])},
		{"truncated tar between entries", `its tar has digest sha256:`, claim(content, content, content[:1024+512*2])},
		{"nothing at all", `its tar has digest sha256:`, claim(content, packed, nil)},
		{"other content in the tar", `its tar has digest ` + digestOf(other).String(), claim(content, other, other)},
		{"other compression of the same tar", `has digest ` + digestOf(packed).String(), func() layer {
			l := claim(content, content, packed)
			l.size = int64(len(packed))
			return l
		}()},
		{"more bytes than the manifest says", `is longer than the`, claim(content, packed, append(bytes.Clone(packed), 0))},
		{"garbage after gzip", `gzip: invalid header`, func() layer {
			blob := append(bytes.Clone(packed), "garbage, long enough to be a header"...)
			return claim(content, blob, blob)
		}()},
		{"zstd that wants a history of gigabytes", `window size exceeded`, memory(content, []byte("\x28\xb5\x2f\xfd\x00\xb0\x01\x00\x00\x00\x00"))},
		{"no tar", `after the start: archive/tar: invalid tar header`, memory(noise, noise)},
		{"lost connection", `entry "noise": connection lost`, func() layer {
			l := memory(content, content)
			l.open = func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(bytes.NewReader(content[:300_000]), failing{shut})), nil
			}
			return l
		}()},
	} {
		t.Run(c.finding, func(t *testing.T) {
			store := newStore(t)
			_, err := store.Layers(context.Background(), &Image{layers: []layer{c.layer}})
			contains(t, err, "layer "+c.layer.digest().String()+": ")
			contains(t, err, c.want)
			checkClean(t, store)
			if exists(store.layer(c.layer.diffID.Hex)) {
				t.Error("the layer is in the store")
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestCompressions shows that the same tar gives the same layer however it is compressed.
func TestCompressions(t *testing.T) {
	content := pack(t, file("f", "content"))
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, blob := range map[string][]byte{"plain": content, "gzip": compress(t, content), "zstd": encoder.EncodeAll(content, nil)} {
		unpacked := mustUnpack(t, newStore(t), &Image{layers: []layer{memory(content, blob)}})
		if got := readFile(t, filepath.Join(unpacked.Layers[0], "f")); got != "content" {
			t.Errorf("%s: %q", name, got)
		}
		if !strings.HasSuffix(unpacked.Layers[0], digestOf(content).Hex) {
			t.Errorf("%s: kept as %s", name, unpacked.Layers[0])
		}
	}
}

// TestCacheAndProgress shows that a layer is read once, and what the caller hears.
func TestCacheAndProgress(t *testing.T) {
	store := newStore(t)
	opened := 0
	content := pack(t, file("f", strings.Repeat("x", 3<<20)))
	l := memory(content, content)
	inner := l.open
	l.open = func(ctx context.Context) (io.ReadCloser, error) { opened++; return inner(ctx) }
	var events []Event
	store.Progress = func(e Event) { events = append(events, e) }
	for range 2 {
		mustUnpack(t, store, &Image{layers: []layer{l}})
	}
	if opened != 1 {
		t.Errorf("opened %d times", opened)
	}
	size := int64(len(content))
	if len(events) < 6 || events[0].Done != 0 || events[1].Done < 1<<20 || events[1].Done >= size || events[len(events)-1].Done != size {
		t.Errorf("events %+v", events)
	}
	if e := events[0]; e.Layer != l.digest().String() || e.Number != 1 || e.Count != 1 || e.Total != size {
		t.Errorf("event %+v", e)
	}
}

// TestCancel shows that a cancelled pull leaves nothing.
func TestCancel(t *testing.T) {
	store := newStore(t)
	ctx, cancel := context.WithCancel(context.Background())
	store.Progress = func(e Event) {
		if e.Done > 0 {
			cancel()
		}
	}
	_, err := store.Layers(ctx, imageOf(pack(t, file("f", strings.Repeat("x", 8<<20)))))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	checkClean(t, store)
}

// TestOpenStore shows that a store that others can reach into is refused.
func TestOpenStore(t *testing.T) {
	store := newStore(t)
	if err := os.Mkdir(store.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := store.Layers(context.Background(), imageOf(pack(t, file("f", ""))))
	contains(t, err, "must be user 0's own and 0700")
	store.Dir = "relative"
	_, err = store.Layers(context.Background(), imageOf(pack(t, file("f", ""))))
	contains(t, err, `store "relative": is not an absolute path`)
}

// realistic makes a layer like a small distribution: directories of small files and a few large ones.
func realistic(t testing.TB, files int) []byte {
	headers := []tar.Header{dir("./")}
	random := rand.New(rand.NewSource(2))
	for i := range files {
		if i%40 == 0 {
			headers = append(headers, dir(fmt.Sprintf("usr/d%d", i/40)))
		}
		content := make([]byte, random.Intn(30_000)/2)
		random.Read(content)
		content = append(content, bytes.Repeat([]byte("text "), len(content)/5)...)
		headers = append(headers, file(fmt.Sprintf("usr/d%d/f%d", i/40, i), string(content)))
	}
	return pack(t, headers...)
}

// TestManyUnpackers unpacks one image from goroutines and processes at once.
func TestManyUnpackers(t *testing.T) {
	store := newStore(t)
	content := realistic(t, 2000)
	source := writeFile(t, content)
	var group sync.WaitGroup
	failures := make(chan error, 16)
	for range 8 {
		group.Go(func() {
			_, err := store.Layers(context.Background(), imageOf(content))
			failures <- err
		})
	}
	for range 3 {
		group.Go(func() {
			output, err := child(store.Dir, source, "").CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, output)
			}
			failures <- err
		})
	}
	group.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			t.Error(err)
		}
	}
	checkClean(t, store)
	if got := len(tree(t, store.layer(digestOf(content).Hex))); got != 2000+50+1 {
		t.Errorf("%d files", got)
	}
}

// TestKilledUnpacker kills a process in the middle of a layer and sweeps after it, but not after one at work.
func TestKilledUnpacker(t *testing.T) {
	store := newStore(t)
	content := realistic(t, 200)
	source := writeFile(t, content)
	process := child(store.Dir, source, "stop in the middle")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	begun := store.temporary(digestOf(content).Hex)
	for deadline := time.Now().Add(20 * time.Second); !exists(filepath.Join(begun, "usr/d1")); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			process.Process.Kill()
			t.Fatal("the process does not unpack")
		}
	}
	if err := store.Sweep(); err != nil {
		t.Fatal(err)
	}
	if !exists(begun) || !exists(begun+lockSuffix) {
		t.Error("swept after a process at work")
	}
	process.Process.Kill()
	process.Wait()
	if !exists(begun) {
		t.Fatal("nothing left to sweep: the test shows nothing")
	}
	if err := store.Sweep(); err != nil {
		t.Fatal(err)
	}
	checkClean(t, store)
	mustUnpack(t, store, imageOf(content))
}

// child is this test binary as another process that unpacks one tar.
func child(store, source, stop string) *exec.Cmd {
	command := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v")
	command.Env = append(os.Environ(), "IMAGE_TEST_STORE="+store, "IMAGE_TEST_SOURCE="+source, "IMAGE_TEST_STOP="+stop)
	return command
}

// TestChild is what child runs.
func TestChild(t *testing.T) {
	directory := os.Getenv("IMAGE_TEST_STORE")
	if directory == "" {
		t.Skip("is run by other tests")
	}
	content := []byte(readFile(t, os.Getenv("IMAGE_TEST_SOURCE")))
	l := memory(content, content)
	if os.Getenv("IMAGE_TEST_STOP") != "" {
		l.open = func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(content[:len(content)/2]), stuck{})), nil
		}
	}
	if _, err := (Store{Dir: directory}).Layers(context.Background(), &Image{layers: []layer{l}}); err != nil {
		t.Fatal(err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { time.Sleep(time.Minute); return 0, io.EOF }

func writeFile(t testing.TB, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "layer.tar")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// BenchmarkUnpack reports MB/s of tar; gzip to show what decompression costs.
func BenchmarkUnpack(b *testing.B) {
	content := realistic(b, 5000)
	for name, blob := range map[string][]byte{"plain": content, "gzip": compress(b, content)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				store := newStore(b)
				if _, err := store.Layers(context.Background(), &Image{layers: []layer{memory(content, blob)}}); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				os.RemoveAll(store.Dir)
				b.StartTimer()
			}
		})
	}
}
