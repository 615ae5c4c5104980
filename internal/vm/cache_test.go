// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestOnlyTheFirstCallerBuilds(t *testing.T) {
	c := cache{t.TempDir()}
	var built atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			path, err := c.once(t.Context(), "section/name", func(directory string) error {
				built.Add(1)
				time.Sleep(20 * time.Millisecond)
				return os.WriteFile(filepath.Join(directory, "file"), nil, 0o600)
			})
			if err != nil || !exists(filepath.Join(path, "file")) {
				t.Errorf("%s: %v", path, err)
			}
		})
	}
	group.Wait()
	if built.Load() != 1 {
		t.Errorf("built %d times", built.Load())
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	c := cache{t.TempDir()}
	broken := errors.New("broken")
	if _, err := c.once(t.Context(), "name", func(string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	entries, err := os.ReadDir(c.root)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != "name"+lockSuffix {
			t.Errorf("%s is left", entry.Name())
		}
	}
	if _, err := c.once(t.Context(), "name", complete); err != nil {
		t.Errorf("second try: %v", err)
	}
}

func TestWaitingForALockCanBeCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := lock(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestUnusedStatesExpire(t *testing.T) {
	c := cache{t.TempDir()}
	old := time.Now().Add(-2 * time.Hour)
	for _, name := range []string{"old", "new"} {
		path, err := c.once(t.Context(), "states/"+name, complete)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := used(filepath.Join(c.root, "states/new")); err != nil {
		t.Fatal(err)
	}
	if err := c.expire("states", time.Hour); err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Join(c.root, "states/old")) || !exists(filepath.Join(c.root, "states/new")) {
		t.Error("the wrong states are left")
	}
	if err := c.expire("none", time.Hour); err != nil {
		t.Errorf("a section that does not exist: %v", err)
	}
}
